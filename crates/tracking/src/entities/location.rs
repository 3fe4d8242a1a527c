//! Tracking URIs.

use std::path::{Path, PathBuf};

use crate::{entities::variables::VariableLookup, error::TrackingError};

/// The environment variable that holds the tracking URI of programs without a flag for it.
pub const TRACKING_URI_VARIABLE: &str = "MLFLOW_TRACKING_URI";
/// The database that MLflow's commands use by default, in the working directory.
pub(crate) const DEFAULT_DATABASE: &str = "mlflow.db";

/// A parsed tracking URI.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Location {
    /// A database in the layout of MLflow's own SQLite store.
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

/// A tracking URI that cannot be used, and where it was written.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    /// In the flag.
    #[error(transparent)]
    Flag(TrackingError),
    /// In [`TRACKING_URI_VARIABLE`].
    #[error(transparent)]
    Variable(TrackingError),
}

impl From<LocationError> for TrackingError {
    fn from(error: LocationError) -> Self {
        match error {
            LocationError::Flag(error) | LocationError::Variable(error) => error,
        }
    }
}

impl Default for Location {
    fn default() -> Self {
        Self::Sqlite { database: PathBuf::from(DEFAULT_DATABASE) }
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Sqlite { database } => database.display().fmt(f),
            // a password is not shown
            Self::Server { base } => match (base.find("://"), base.rfind('@')) {
                (Some(scheme), Some(at)) if at > scheme => write!(f, "{}{}", &base[..scheme + 3], &base[at + 1..]),
                _ => f.write_str(base),
            },
        }
    }
}

impl Location {
    /// The location that `flag` names; without a flag, the one in [`TRACKING_URI_VARIABLE`]; without both, `mlflow.db` in the working
    /// directory. `variable` looks up environment variables.
    ///
    /// # Errors
    /// If the flag or the variable holds no tracking URI; says which of the two, because the variable may be meant for another program.
    pub fn from_flag_or_environment(flag: Option<&str>, variable: VariableLookup) -> Result<Self, LocationError> {
        if let Some(uri) = flag {
            return Self::parse(uri).map_err(LocationError::Flag);
        }
        let uri = variable(TRACKING_URI_VARIABLE);
        uri.map_or_else(|| Ok(Self::default()), |uri| Self::parse(&uri).map_err(LocationError::Variable))
    }

    /// Parses `http://host:port/path`, `https://…`, and `sqlite:///relative.db` or `sqlite:////absolute.db`, as SQLAlchemy writes them.
    ///
    /// # Errors
    /// If it is something else.
    pub fn parse(uri: &str) -> Result<Self, TrackingError> {
        let invalid = || TrackingError::InvalidLocation { uri: uri.to_owned() };
        let lower = uri.to_ascii_lowercase();
        if let Some(rest) = lower.strip_prefix("http://").or_else(|| lower.strip_prefix("https://")) {
            let host = rest.split('/').next().unwrap_or_default();
            return if host.is_empty() { Err(invalid()) } else { Ok(Self::Server { base: uri.to_owned() }) };
        }
        let Some(rest) = uri.strip_prefix("sqlite://") else {
            let other = uri.contains("://") || uri.starts_with("file:") || uri.starts_with("databricks");
            return Err(if other { TrackingError::UnsupportedScheme { uri: uri.to_owned() } } else { invalid() });
        };
        let path = rest.strip_prefix('/').ok_or_else(invalid)?;
        if path.is_empty() || path.ends_with('/') || path.contains('?') {
            return Err(invalid());
        }
        Ok(Self::Sqlite { database: Path::new(path).to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_goes_before_the_variable_and_an_error_names_the_one_at_fault() {
        let find = |value: Option<&str>| {
            let value = value.map(str::to_owned);
            move |name: &str| value.clone().filter(|_| name == TRACKING_URI_VARIABLE)
        };
        let from = |flag: Option<&str>, variable: Option<&str>| Location::from_flag_or_environment(flag, &find(variable));
        assert_eq!(from(None, None).unwrap().to_string(), "mlflow.db");
        assert_eq!(from(None, Some("http://a")).unwrap().to_string(), "http://a");
        assert_eq!(from(Some("http://b"), Some("wrong")).unwrap().to_string(), "http://b");
        assert!(matches!(from(None, Some("wrong")), Err(LocationError::Variable(TrackingError::InvalidLocation { .. }))));
        assert!(matches!(from(Some("wrong"), Some("http://a")), Err(LocationError::Flag(_))));
    }

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
            assert!(error.starts_with(&format!("{wrong}: is not a tracking URI; write ")), "{error}");
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
