//! Where runs are to be recorded, as a user writes it.

use std::path::{Path, PathBuf};

use crate::TrackingError;

/// What MLflow's commands use where nothing else is said.
const DEFAULT: &str = "mlflow.db";

/// A tracking URI, understood.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Location {
    /// The SQLite file.
    pub database: PathBuf,
}

impl Default for Location {
    fn default() -> Self {
        Self { database: PathBuf::from(DEFAULT) }
    }
}

impl Location {
    /// Understands `sqlite:///relative.db` and `sqlite:////absolute.db`, as SQLAlchemy writes them.
    ///
    /// # Errors
    /// If it is something else.
    pub fn parse(uri: &str) -> Result<Self, TrackingError> {
        let refused = || TrackingError::Location { uri: uri.to_owned() };
        let Some(rest) = uri.strip_prefix("sqlite://") else {
            let other = uri.contains("://") || uri.starts_with("file:") || uri.starts_with("databricks");
            return Err(if other { TrackingError::Scheme { uri: uri.to_owned() } } else { refused() });
        };
        let path = rest.strip_prefix('/').ok_or_else(refused)?;
        if path.is_empty() || path.ends_with('/') || path.contains('?') {
            return Err(refused());
        }
        Ok(Self { database: Path::new(path).to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_as_sqlalchemy_names_it() {
        let database = |uri: &str| Location::parse(uri).map(|location| location.database).map_err(|error| error.to_string());
        assert_eq!(database("sqlite:///mlflow.db"), Ok("mlflow.db".into()));
        assert_eq!(database("sqlite:////var/lib/mlflow.db"), Ok("/var/lib/mlflow.db".into()));
        assert_eq!(database("sqlite:///../runs/a b.db"), Ok("../runs/a b.db".into()));
        for wrong in ["sqlite://mlflow.db", "sqlite:///", "mlflow.db", "", "sqlite:///a.db?mode=ro"] {
            let error = database(wrong).unwrap_err();
            assert!(error.starts_with(&format!("{wrong}: is not a place where runs can be recorded; write ")), "{error}");
        }
        for other in ["http://localhost:5000", "postgresql://db/mlflow", "file:/tmp/mlruns", "databricks"] {
            let error = database(other).unwrap_err();
            assert!(error.starts_with(&format!("{other}: this program records runs in an SQLite file only")), "{error}");
        }
    }
}
