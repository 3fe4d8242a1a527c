//! MLflow's own SQLite database and artifact folder, written without MLflow. Imported by the tracker and by `sync`.
//!
//! A new database has the tables of MLflow 3.0, which later releases upgrade in place when they open it. Statements name every column
//! and check the tables as they are now. So a database can be written before and after such an upgrade, and while a server has it open:
//! transactions are short and wait for one another.

pub(crate) mod list;
pub(crate) mod orphaned_runs;
pub(crate) mod read;
pub(crate) mod registry;
pub(crate) mod relocate;
pub(crate) mod run_store;
pub(crate) mod schema_check;
pub(crate) mod store;
pub(crate) mod write;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod spool_tests;
#[cfg(test)]
mod tests;
