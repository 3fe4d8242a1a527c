//! Error responses of servers: what they mean, and what to do.

use std::{error::Error, time::Duration};

use serde::Deserialize;

use crate::{error::TrackingError, rest::http_config::Login};

/// Characters of a response in a message at most.
const MAX_MESSAGE_CHARS: usize = 300;

/// A response with an error status.
pub(super) struct ServerError<'a> {
    pub(super) base: &'a str,
    pub(super) what: &'static str,
    pub(super) status: u16,
    pub(super) login: &'a Login,
    pub(super) text: &'a str,
}

/// The body of MLflow's errors.
#[derive(Deserialize)]
struct MlflowError {
    error_code: String,
    #[serde(default)]
    message: String,
}

/// The error for a response, and whether a retry is useless although the status allows one.
pub(super) fn explain(response: &ServerError, wait: Option<Duration>) -> (TrackingError, bool) {
    let ServerError { base, what, status, login, text } = *response;
    let mlflow: Option<MlflowError> = serde_json::from_str(text).ok();
    let code = mlflow.as_ref().map(|error| error.error_code.clone());
    let host = base.split("://").nth(1).unwrap_or(base).split('/').next().unwrap_or_default();
    let (reason, is_permanent) = match status {
        401 => (login_reason(login), false),
        403 if text.contains("Invalid Host header") => (
            format!(
                "the server rejects the host name of its address (403). Start it with `--allowed-hosts {host}`, or use an address \
                 that it allows, such as its IP address"
            ),
            false,
        ),
        403 if text.contains("Cross-origin") => {
            ("the server rejects the request as cross-origin (403). Remove the proxy's header `Origin`".into(), false)
        }
        403 => {
            let who = match login {
                Login::Basic(name, _) => format!("the user \"{name}\""),
                Login::Bearer(_) => "the owner of this token".into(),
                Login::None => "a client without a login".into(),
            };
            (
                format!(
                    "{who} has no permission for this (403). Ask for EDIT permission on the experiment and the registered model, or \
                     use another experiment: MLFLOW_EXPERIMENT_NAME"
                ),
                false,
            )
        }
        404 if mlflow.is_none() && what.contains("logged model") => (
            "the server does not support logged models (404): its MLflow is older than 3.0. Upgrade it with `pip install -U mlflow` \
             and `mlflow db upgrade`"
                .into(),
            false,
        ),
        404 | 405 if mlflow.is_none() => (
            format!(
                "this is not an MLflow server, or the address lacks its path prefix ({status}). Open {base}/health in a browser: an \
                 MLflow server returns OK"
            ),
            false,
        ),
        413 => ("the request is too large for the server or its proxy (413). Raise the proxy's limit".into(), false),
        503 if text.contains("Artifact serving is disabled") => (
            "the server does not serve artifacts (503: it was started with `--no-serve-artifacts`). Start it with `--serve-artifacts` \
             and `--artifacts-destination DIR`"
                .into(),
            true,
        ),
        _ => {
            let message = mlflow.as_ref().map_or_else(|| first_line(text), |error| cut(&error.message));
            let later = wait.map_or(String::new(), |wait| format!("; the server asks for a retry in {} s", wait.as_secs()));
            (format!("the server returned {status}{}{later}", if message.is_empty() { message } else { format!(": {message}") }), false)
        }
    };
    let error = TrackingError::RequestRejected { server: base.to_owned(), what, reason, code, status };
    (error, is_permanent)
}

fn login_reason(login: &Login) -> String {
    match login {
        Login::None => "the server requires a login (401). Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or \
                        MLFLOW_TRACKING_TOKEN, or write name and password to ~/.mlflow/credentials"
            .into(),
        Login::Basic(name, _) => format!(
            "the server rejects the login of \"{name}\" (401). Check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or \
             ~/.mlflow/credentials"
        ),
        Login::Bearer(_) => "the server rejects the token (401). Check MLFLOW_TRACKING_TOKEN".into(),
    }
}

/// The error for a response that is not the expected JSON.
pub(super) fn not_mlflow(base: &str, what: &'static str, bytes: &[u8], error: &serde_json::Error) -> TrackingError {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]);
    let reason = if text.trim_start().starts_with('<') {
        "the server returned a web page. Check that this is an MLflow server without a login page before it".into()
    } else {
        format!("the response is not one of MLflow ({error}): {}", first_line(&text))
    };
    TrackingError::RequestRejected { server: base.to_owned(), what, reason, code: None, status: 200 }
}

/// The reason for a server whose certificate is not trusted.
pub(super) fn untrusted_certificate(chain: &str) -> String {
    let ours = if chain.contains("CaUsedAsEndEntity") {
        "It is self-signed and may sign others: create it with basicConstraints=CA:FALSE"
    } else {
        "Name its certificate authority with MLFLOW_TRACKING_SERVER_CERT_PATH"
    };
    format!(
        "its certificate is not trusted ({chain}). {ours}, or set MLFLOW_TRACKING_INSECURE_TLS=true on a private network"
    )
}

/// The reason for a missing response.
pub(super) fn cause(error: &reqwest::Error, timeout: Duration) -> String {
    if error.is_timeout() {
        return format!("no response within {} s", timeout.as_secs_f64());
    }
    chain(error)
}

/// The innermost causes of an error. The outer ones repeat the address.
pub(super) fn chain(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    let inner: Vec<String> = causes.iter().rev().take(2).rev().cloned().collect();
    if inner.is_empty() { error.to_string() } else { inner.join(": ") }
}

fn first_line(text: &str) -> String {
    if text.trim_start().starts_with('<') {
        return "a web page".into();
    }
    cut(text.trim().lines().next().unwrap_or_default())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(status: u16, text: &str, login: &Login) -> String {
        let response = ServerError { base: "http://mlflow:5000/ml", what: "creating the run", status, login, text };
        explain(&response, Some(Duration::from_secs(9))).0.to_string()
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        let ada = Login::Basic("ada".into(), "secret".into());
        let begins = "http://mlflow:5000/ml: creating the run: ";
        for (status, text, login, expected) in [
            (
                401,
                "You are not authenticated",
                &Login::None,
                "the server requires a login (401). Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or \
                 MLFLOW_TRACKING_TOKEN, or write name and password to ~/.mlflow/credentials",
            ),
            (
                401,
                "",
                &ada,
                "the server rejects the login of \"ada\" (401). Check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or \
                 ~/.mlflow/credentials",
            ),
            (
                403,
                "Invalid Host header - possible DNS rebinding attack detected",
                &ada,
                "the server rejects the host name of its address (403). Start it with `--allowed-hosts mlflow:5000`, or use an \
                 address that it allows, such as its IP address",
            ),
            (
                403,
                "Permission denied",
                &ada,
                "the user \"ada\" has no permission for this (403). Ask for EDIT permission on the experiment and the registered \
                 model, or use another experiment: MLFLOW_EXPERIMENT_NAME",
            ),
            (
                404,
                "<!doctype html><title>404 Not Found</title>",
                &ada,
                "this is not an MLflow server, or the address lacks its path prefix (404). Open http://mlflow:5000/ml/health in a \
                 browser: an MLflow server returns OK",
            ),
            (
                503,
                "{\"detail\":\"Artifact serving is disabled\"}",
                &ada,
                "the server does not serve artifacts (503: it was started with `--no-serve-artifacts`). Start it with \
                 `--serve-artifacts` and `--artifacts-destination DIR`",
            ),
            (500, "<html>", &ada, "the server returned 500: a web page; the server asks for a retry in 9 s"),
            (
                400,
                "{\"error_code\":\"INVALID_PARAMETER_VALUE\",\"message\":\"bad key\"}",
                &ada,
                "the server returned 400: bad key; the server asks for a retry in 9 s",
            ),
        ] {
            assert_eq!(message(status, text, login), format!("{begins}{expected}"));
            assert!(!message(status, text, login).contains("secret"));
        }
    }
}
