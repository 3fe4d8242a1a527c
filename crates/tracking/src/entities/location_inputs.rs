//! The paths that a program reads from a store, for the check that it writes none of them.

use artifact::RunPaths;

use crate::{entities::location::Location, sqlite::store::SqliteStore};

impl Location {
    /// Adds the paths that are read from this location: a database and its artifact folders, or nothing of a server. `flag` is the flag
    /// that names a model there.
    #[must_use]
    pub fn add_inputs(&self, paths: RunPaths, flag: &str) -> RunPaths {
        match self {
            Self::Sqlite { database } => {
                let paths = paths.input_database(&format!("the store of {flag}"), database);
                SqliteStore::new(database).add_artifacts(paths, &format!("the artifacts of {flag}"))
            }
            Self::Server { .. } => paths,
        }
    }
}
