//! The files of a store that a program reads, for the check that it writes none of them.

use artifact::RunPaths;

use crate::{entities::location::Location, sqlite::store::SqliteStore};

impl Location {
    /// Adds the files that are read of it: a database with the folders of its artifacts. Of a server there are none. `flag` is that which
    /// named a model there.
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
