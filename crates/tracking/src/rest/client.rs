//! The HTTP client of a server: certificates, proxies and time limits.

use crate::{
    error::TrackingError,
    rest::{
        error::{self},
        http_config::HttpConfig,
    },
};
use reqwest::{
    blocking::Client,
    header::{HeaderMap, HeaderValue},
};
use std::{
    path::{Path, PathBuf},
    sync::Once,
    time::Duration,
};

/// The environment variables that name certificates.
pub(crate) const SERVER_CERTIFICATE_VARIABLE: &str = "MLFLOW_TRACKING_SERVER_CERT_PATH";

pub(crate) const CLIENT_CERTIFICATE_VARIABLE: &str = "MLFLOW_TRACKING_CLIENT_CERT_PATH";

/// Installs the cryptography provider of this program, once. HTTP clients need it.
pub fn choose_cryptography() {
    static CRYPTOGRAPHY: Once = Once::new();
    CRYPTOGRAPHY.call_once(|| {
        // another part of the program may have installed one before
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

pub(crate) fn client(settings: &HttpConfig) -> Result<Client, TrackingError> {
    choose_cryptography();
    let context = |name: &str| {
        let name = name.to_owned();
        move |error: reqwest::Error| TrackingError::InvalidVariable {
            name,
            reason: format!("cannot be used: {}", error::chain(&error)),
        }
    };
    let read = |name: &str, path: &Path| {
        std::fs::read(path).map_err(|error| TrackingError::InvalidVariable {
            name: name.to_owned(),
            reason: format!("names {}, which cannot be read: {error}", path.display()),
        })
    };
    let mut headers = HeaderMap::new();
    if let Some(workspace) = settings.workspace.as_deref().and_then(|name| HeaderValue::try_from(name).ok()) {
        headers.insert("x-mlflow-workspace", workspace);
    }
    let pem = |name: &str, path: &Option<PathBuf>| path.as_deref().map(|path| read(name, path)).transpose();
    let (roots, identity) = (
        pem(SERVER_CERTIFICATE_VARIABLE, &settings.server_certificates)?,
        pem(CLIENT_CERTIFICATE_VARIABLE, &settings.client_certificate)?,
    );
    let roots = roots
        .map(|pem| reqwest::Certificate::from_pem_bundle(&pem))
        .transpose()
        .map_err(context(SERVER_CERTIFICATE_VARIABLE))?;
    let identity =
        identity.map(|pem| reqwest::Identity::from_pem(&pem)).transpose().map_err(context(CLIENT_CERTIFICATE_VARIABLE))?;
    let builder = |roots: Option<Vec<reqwest::Certificate>>| {
        let mut builder = Client::builder()
            .user_agent(concat!("house-price-predictor/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers.clone())
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout)
            .tls_danger_accept_invalid_certs(settings.insecure_tls)
            .redirect(if settings.redirects {
                reqwest::redirect::Policy::default()
            } else {
                reqwest::redirect::Policy::none()
            });
        if let Some(roots) = roots {
            builder = builder.tls_certs_only(roots);
        }
        if let Some(identity) = identity.clone() {
            builder = builder.identity(identity);
        }
        builder
    };
    let client = match builder(roots).build() {
        // a container may have no certificates, and a client without root certificates cannot be created even for http://
        Err(_) if settings.server_certificates.is_none() => builder(Some(mozilla_roots()?)).build(),
        client => client,
    };
    // the remaining cause is a certificate
    let name = if settings.client_certificate.is_some() { CLIENT_CERTIFICATE_VARIABLE } else { SERVER_CERTIFICATE_VARIABLE };
    client.map_err(context(name))
}

/// The root certificates of Mozilla, as of the build of this program.
pub(crate) fn mozilla_roots() -> Result<Vec<reqwest::Certificate>, TrackingError> {
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|der| reqwest::Certificate::from_der(der));
    roots.collect::<Result<_, _>>().map_err(|error| TrackingError::InvalidVariable {
        name: SERVER_CERTIFICATE_VARIABLE.to_owned(),
        reason: format!("is required, because neither the system nor this program has trusted root certificates: {error}"),
    })
}

/// An HTTP client for servers on this machine, without proxy and TLS.
///
/// # Errors
/// If it cannot be created.
pub fn loopback_client(timeout: Duration) -> Result<Client, reqwest::Error> {
    choose_cryptography();
    Client::builder().no_proxy().tls_certs_only([]).timeout(timeout).build()
}
