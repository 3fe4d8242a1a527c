//! Where runs are to be recorded, as a user writes it.

use std::path::{Path, PathBuf};

use crate::error::TrackingError;

/// What MLflow's commands use where nothing else is said.
pub(crate) const DEFAULT: &str = "mlflow.db";

/// A tracking URI, understood.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Location {
    /// A file in the layout of MLflow's own SQLite store.
    Sqlite {
        /// The file.
        database: PathBuf,
    },
    /// A server.
    Server {
        /// Its address.
        base: String,
    },
}

impl Default for Location {
    fn default() -> Self {
        Self::Sqlite { database: PathBuf::from(DEFAULT) }
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Sqlite { database } => database.display().fmt(f),
            // a password in it is nobody else's business
            Self::Server { base } => match (base.find("://"), base.rfind('@')) {
                (Some(scheme), Some(at)) if at > scheme => write!(f, "{}{}", &base[..scheme + 3], &base[at + 1..]),
                _ => f.write_str(base),
            },
        }
    }
}

impl Location {
    /// Understands `http://host:port/path` and `https://…`, and `sqlite:///relative.db` and `sqlite:////absolute.db`, as SQLAlchemy
    /// writes them.
    ///
    /// # Errors
    /// If it is something else.
    pub fn parse(uri: &str) -> Result<Self, TrackingError> {
        let refused = || TrackingError::Location { uri: uri.to_owned() };
        let lower = uri.to_ascii_lowercase();
        if let Some(rest) = lower.strip_prefix("http://").or_else(|| lower.strip_prefix("https://")) {
            let host = rest.split('/').next().unwrap_or_default();
            return if host.is_empty() { Err(refused()) } else { Ok(Self::Server { base: uri.to_owned() }) };
        }
        let Some(rest) = uri.strip_prefix("sqlite://") else {
            let other = uri.contains("://") || uri.starts_with("file:") || uri.starts_with("databricks");
            return Err(if other { TrackingError::Scheme { uri: uri.to_owned() } } else { refused() });
        };
        let path = rest.strip_prefix('/').ok_or_else(refused)?;
        if path.is_empty() || path.ends_with('/') || path.contains('?') {
            return Err(refused());
        }
        Ok(Self::Sqlite { database: Path::new(path).to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_as_sqlalchemy_names_it_and_a_server_by_its_address() {
        let found = |uri: &str| Location::parse(uri).map(|location| location.to_string()).map_err(|error| error.to_string());
        assert_eq!(found("sqlite:///mlflow.db"), Ok("mlflow.db".into()));
        assert_eq!(found("sqlite:////var/lib/mlflow.db"), Ok("/var/lib/mlflow.db".into()));
        assert_eq!(found("sqlite:///../runs/a b.db"), Ok("../runs/a b.db".into()));
        assert_eq!(found("HTTPS://host/ml"), Ok("HTTPS://host/ml".into()));
        assert_eq!(found("https://ada:secret@host/ml"), Ok("https://host/ml".into()));
        for wrong in ["sqlite://mlflow.db", "sqlite:///", "mlflow.db", "", "sqlite:///a.db?mode=ro", "http://", "http:///x"]
        {
            let error = found(wrong).unwrap_err();
            assert!(error.starts_with(&format!("{wrong}: is not a place where runs can be recorded; write ")), "{error}");
        }
        for other in ["postgresql://db/mlflow", "file:/tmp/mlruns", "databricks", "s3://bucket/runs"] {
            let error = found(other).unwrap_err();
            assert!(
                error.starts_with(&format!("{other}: runs are recorded on an MLflow server or in an SQLite")),
                "{error}"
            );
        }
    }
}
