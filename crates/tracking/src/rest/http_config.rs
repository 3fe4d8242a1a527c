//! The configuration of HTTP requests: MLflow's environment variables and its file of credentials.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{entities::variables::VariableLookup, error::TrackingError};

/// Retries at most, as in MLflow's own client.
const MAX_RETRIES: u32 = 10;

/// The configuration of HTTP requests.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// The login of a client.
    pub login: Login,
    /// Whether the server's certificate is not checked.
    pub insecure_tls: bool,
    /// The file with the certificate authorities of the server, PEM; `None` for those of the system.
    pub server_certificates: Option<PathBuf>,
    /// The file with the client's certificate and key, PEM.
    pub client_certificate: Option<PathBuf>,
    /// The timeout of a response.
    pub timeout: Duration,
    /// Retries.
    pub max_retries: u32,
    /// Seconds of backoff: there is no pause before the first retry, twice this before the second, four times before the third, up to
    /// two minutes.
    pub backoff_factor: f64,
    /// Random seconds at most that are added to a pause.
    pub backoff_jitter: f64,
    /// Whether pauses follow the server's `Retry-After`.
    pub respect_retry_after: bool,
    /// Whether redirections are followed.
    pub redirects: bool,
    /// The workspace on a server with several.
    pub workspace: Option<String>,
}

/// The login of a client.
#[derive(Clone, Default, Eq, PartialEq)]
pub enum Login {
    /// No login.
    #[default]
    None,
    /// User name and password.
    Basic(String, String),
    /// A bearer token.
    Bearer(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Basic(name, _) => write!(f, "Basic({name}, …)"),
            Self::Bearer(_) => f.write_str("Bearer(…)"),
        }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            login: Login::None,
            insecure_tls: false,
            server_certificates: None,
            client_certificate: None,
            timeout: Duration::from_mins(2),
            max_retries: 7,
            backoff_factor: 2.0,
            backoff_jitter: 1.0,
            respect_retry_after: true,
            redirects: true,
            workspace: None,
        }
    }
}

impl HttpConfig {
    /// Reads the variables of MLflow's own client, with its defaults.
    ///
    /// | variable | default | what it sets |
    /// |---|---|---|
    /// | `MLFLOW_TRACKING_USERNAME`, `_PASSWORD` | `~/.mlflow/credentials` | [`Login::Basic`]; it has precedence over a token, as in MLflow's client |
    /// | `MLFLOW_TRACKING_TOKEN` | | [`Login::Bearer`] |
    /// | `MLFLOW_TRACKING_INSECURE_TLS` | false | no certificate is checked |
    /// | `MLFLOW_TRACKING_SERVER_CERT_PATH` | the system's | the certificate authorities of the server |
    /// | `MLFLOW_TRACKING_CLIENT_CERT_PATH` | | certificate and key of the client |
    /// | `MLFLOW_HTTP_REQUEST_TIMEOUT` | 120 | seconds |
    /// | `MLFLOW_HTTP_REQUEST_MAX_RETRIES` | 7 | retries, at most 10 |
    /// | `MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR`, `_JITTER` | 2, 1 | seconds |
    /// | `MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER`, `MLFLOW_ALLOW_HTTP_REDIRECTS` | true | |
    /// | `MLFLOW_WORKSPACE` | | `X-MLFLOW-WORKSPACE` |
    ///
    /// # Errors
    /// Names the variable whose value cannot be used.
    pub fn from_variables(variables: VariableLookup) -> Result<Self, TrackingError> {
        let default = Self::default();
        let path = |name: &str| variables(name).map(PathBuf::from);
        let settings = Self {
            login: login(variables)?,
            insecure_tls: truth(variables, "MLFLOW_TRACKING_INSECURE_TLS", default.insecure_tls)?,
            server_certificates: path("MLFLOW_TRACKING_SERVER_CERT_PATH"),
            client_certificate: path("MLFLOW_TRACKING_CLIENT_CERT_PATH"),
            timeout: Duration::from_secs_f64(number(
                variables,
                "MLFLOW_HTTP_REQUEST_TIMEOUT",
                default.timeout.as_secs_f64(),
                0.001..=86_400.0,
            )?),
            max_retries: number(
                variables,
                "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
                f64::from(default.max_retries),
                0.0..=f64::from(MAX_RETRIES),
            )? as u32,
            backoff_factor: number(variables, "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", default.backoff_factor, 0.0..=3600.0)?,
            backoff_jitter: number(variables, "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", default.backoff_jitter, 0.0..=3600.0)?,
            respect_retry_after: truth(variables, "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER", default.respect_retry_after)?,
            redirects: truth(variables, "MLFLOW_ALLOW_HTTP_REDIRECTS", default.redirects)?,
            workspace: variables("MLFLOW_WORKSPACE"),
        };
        if settings.insecure_tls && settings.server_certificates.is_some() {
            return Err(TrackingError::InvalidVariable {
                name: "MLFLOW_TRACKING_INSECURE_TLS".into(),
                reason: "and MLFLOW_TRACKING_SERVER_CERT_PATH exclude each other; set one of them".into(),
            });
        }
        Ok(settings)
    }
}

fn login(variables: VariableLookup) -> Result<Login, TrackingError> {
    let (mut name, mut password) = (variables("MLFLOW_TRACKING_USERNAME"), variables("MLFLOW_TRACKING_PASSWORD"));
    if name.is_none() && password.is_none() {
        let home = variables("HOME").or_else(|| variables("USERPROFILE"));
        if let Some(home) = home {
            (name, password) = credentials(&Path::new(&home).join(".mlflow/credentials"))?;
        }
    }
    Ok(match (name, password, variables("MLFLOW_TRACKING_TOKEN")) {
        (Some(name), Some(password), _) => Login::Basic(name, password),
        (_, _, Some(token)) => Login::Bearer(token),
        _ => Login::None,
    })
}

/// User name and password of MLflow's file of credentials, an INI file with a section `[mlflow]`.
fn credentials(path: &Path) -> Result<(Option<String>, Option<String>), TrackingError> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok((None, None)) };
    let invalid = |reason: String| TrackingError::InvalidFile { path: path.to_owned(), reason };
    let mut file = configparser::ini::Ini::new();
    file.set_inline_comment_symbols(Some(&[]));
    file.read(text).map_err(|error| invalid(format!("is not an INI file: {error}")))?;
    let of = |key: &str| file.get("mlflow", key).filter(|value| !value.is_empty());
    Ok((of("mlflow_tracking_username"), of("mlflow_tracking_password")))
}

fn truth(variables: VariableLookup, name: &str, default: bool) -> Result<bool, TrackingError> {
    match variables(name).map(|value| value.to_lowercase()).as_deref() {
        None => Ok(default),
        Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(other) => {
            Err(TrackingError::InvalidVariable { name: name.into(), reason: format!("is \"{other}\"; write true or false") })
        }
    }
}

fn number(
    variables: VariableLookup,
    name: &str,
    default: f64,
    range: std::ops::RangeInclusive<f64>,
) -> Result<f64, TrackingError> {
    let Some(text) = variables(name) else { return Ok(default) };
    let value = text.trim().parse().ok().filter(|value| range.contains(value));
    value.ok_or_else(|| TrackingError::InvalidVariable {
        name: name.into(),
        reason: format!("is \"{text}\"; write a number from {} to {}", range.start(), range.end()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<HttpConfig, String> {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        HttpConfig::from_variables(&find).map_err(|error| error.to_string())
    }

    #[test]
    fn variables_are_those_of_the_official_client() {
        let value = settings(&[]).unwrap();
        assert_eq!((value.max_retries, value.timeout.as_secs(), value.login), (7, 120, Login::None));
        let value = settings(&[
            ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2"),
            ("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0.5"),
            ("MLFLOW_TRACKING_TOKEN", "t"),
            ("MLFLOW_ALLOW_HTTP_REDIRECTS", "0"),
        ]);
        let value = value.unwrap();
        assert_eq!((value.max_retries, value.backoff_factor, value.redirects), (2, 0.5, false));
        assert_eq!(value.login, Login::Bearer("t".into()));
        let both =
            [("MLFLOW_TRACKING_USERNAME", "ada"), ("MLFLOW_TRACKING_PASSWORD", "secret"), ("MLFLOW_TRACKING_TOKEN", "t")];
        let login = settings(&both).unwrap().login;
        assert_eq!(login, Login::Basic("ada".into(), "secret".into()));
        assert_eq!(format!("{login:?}"), "Basic(ada, …)");
    }

    #[test]
    fn the_file_of_credentials_is_read_and_the_environment_goes_before_it() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".mlflow")).unwrap();
        let text = "[mlflow]\nmlflow_tracking_username = ada\nmlflow_tracking_password = a=b#c\\d \n";
        std::fs::write(home.path().join(".mlflow/credentials"), text).unwrap();
        let home = home.path().to_str().unwrap();
        assert_eq!(settings(&[("HOME", home)]).unwrap().login, Login::Basic("ada".into(), "a=b#c\\d".into()));
        let other = [("HOME", home), ("MLFLOW_TRACKING_USERNAME", "bob"), ("MLFLOW_TRACKING_PASSWORD", "x")];
        assert_eq!(settings(&other).unwrap().login, Login::Basic("bob".into(), "x".into()));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (variables, expected) in [
            (
                vec![("MLFLOW_TRACKING_INSECURE_TLS", "maybe")],
                "MLFLOW_TRACKING_INSECURE_TLS is \"maybe\"; write true or false",
            ),
            (
                vec![("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "11")],
                "MLFLOW_HTTP_REQUEST_MAX_RETRIES is \"11\"; write a number from 0 to 10",
            ),
            (
                vec![("MLFLOW_TRACKING_INSECURE_TLS", "true"), ("MLFLOW_TRACKING_SERVER_CERT_PATH", "ca.pem")],
                "MLFLOW_TRACKING_INSECURE_TLS and MLFLOW_TRACKING_SERVER_CERT_PATH exclude each other; set one of them",
            ),
        ] {
            assert_eq!(settings(&variables).unwrap_err(), expected);
        }
    }
}
