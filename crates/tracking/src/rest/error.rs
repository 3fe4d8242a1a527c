//! What a server's refusals mean, and what to do about them.

use std::{error::Error, time::Duration};

use serde::Deserialize;

use crate::{error::TrackingError, rest::http_config::Login};

/// Longer answers are cut in messages.
const MAX_MESSAGE_CHARS: usize = 300;

/// An answer that is not a success.
pub(super) struct ServerError<'a> {
    pub(super) base: &'a str,
    pub(super) what: &'static str,
    pub(super) status: u16,
    pub(super) login: &'a Login,
    pub(super) text: &'a str,
}

/// MLflow's own error.
#[derive(Deserialize)]
struct MlflowError {
    error_code: String,
    #[serde(default)]
    message: String,
}

/// What the refusal means, and whether asking again is of no use whatever the status says.
pub(super) fn explain(response: &ServerError, wait: Option<Duration>) -> (TrackingError, bool) {
    let ServerError { base, what, status, login, text } = *response;
    let mlflow: Option<MlflowError> = serde_json::from_str(text).ok();
    let code = mlflow.as_ref().map(|error| error.error_code.clone());
    let host = base.split("://").nth(1).unwrap_or(base).split('/').next().unwrap_or_default();
    let (reason, is_permanent) = match status {
        401 => (login_reason(login), false),
        403 if text.contains("Invalid Host header") => (
            format!(
                "it refuses the host name in its address (403). Start it with `--allowed-hosts {host}`, or write an address \
                 that it knows, such as its IP address"
            ),
            false,
        ),
        403 if text.contains("Cross-origin") => {
            ("it takes the request for one of a foreign web page (403); is there a proxy that adds `Origin`?".into(), false)
        }
        403 => {
            let who = match login {
                Login::Basic(name, _) => format!("the user \"{name}\""),
                Login::Bearer(_) => "the owner of this token".into(),
                Login::None => "somebody without a login".into(),
            };
            (
                format!(
                    "{who} has no right to do that (403). Ask for EDIT permission on the experiment (and the registered model), \
                     or use an experiment of your own: MLFLOW_EXPERIMENT_NAME"
                ),
                false,
            )
        }
        404 if mlflow.is_none() && what.contains("logged model") => (
            "it knows no logged models (404): it is an MLflow older than 3.0. Upgrade it with `pip install -U mlflow` and `mlflow \
             db upgrade`"
                .into(),
            false,
        ),
        404 | 405 if mlflow.is_none() => (
            format!(
                "it is not an MLflow server, or the address lacks the path under which one is served ({status}, and no answer of \
                 MLflow's). Open {base}/health in a browser: an MLflow server answers OK"
            ),
            false,
        ),
        413 => ("the request is too large for it or for a proxy before it (413). Raise the proxy's limit".into(), false),
        503 if text.contains("Artifact serving is disabled") => (
            "it takes no artifacts (503: it was started with `--no-serve-artifacts`). Start it with `--serve-artifacts` and \
             `--artifacts-destination DIR`"
                .into(),
            true,
        ),
        _ => {
            let said = mlflow.as_ref().map_or_else(|| first_line(text), |error| cut(&error.message));
            let later = wait.map_or(String::new(), |wait| format!("; it asks to come back in {} s", wait.as_secs()));
            (format!("it answers {status}{}{later}", if said.is_empty() { said } else { format!(": {said}") }), false)
        }
    };
    let error = TrackingError::RequestRejected { server: base.to_owned(), what, reason, code, status };
    (error, is_permanent)
}

fn login_reason(login: &Login) -> String {
    match login {
        Login::None => "it wants a login (401). Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or \
                        MLFLOW_TRACKING_TOKEN, or write name and password to ~/.mlflow/credentials"
            .into(),
        Login::Basic(name, _) => format!(
            "it does not accept the login of \"{name}\" (401). Check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or \
             ~/.mlflow/credentials"
        ),
        Login::Bearer(_) => "it does not accept the token (401). Check MLFLOW_TRACKING_TOKEN".into(),
    }
}

/// An answer that should be JSON and is not what was expected.
pub(super) fn not_mlflow(base: &str, what: &'static str, bytes: &[u8], error: &serde_json::Error) -> TrackingError {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]);
    let reason = if text.trim_start().starts_with('<') {
        "it answers with a web page. Is it an MLflow server, or is there a page for logging in before it?".into()
    } else {
        format!("its answer is not MLflow's ({error}): {}", first_line(&text))
    };
    TrackingError::RequestRejected { server: base.to_owned(), what, reason, code: None, status: 200 }
}

/// What is said of a server whose certificate cannot be trusted.
pub(super) fn untrusted_certificate(chain: &str) -> String {
    let ours = if chain.contains("CaUsedAsEndEntity") {
        "It is a self-signed one that may sign others: make it with basicConstraints=CA:FALSE"
    } else {
        "Name the certificates of those who vouch for it with MLFLOW_TRACKING_SERVER_CERT_PATH"
    };
    format!(
        "its certificate is not trusted ({chain}). {ours}, or set MLFLOW_TRACKING_INSECURE_TLS=true where nobody can listen"
    )
}

/// Why nobody answered, in a few words.
pub(super) fn cause(error: &reqwest::Error, timeout: Duration) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", timeout.as_secs_f64());
    }
    chain(error)
}

/// The innermost causes of an error: the outer ones only repeat the address.
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
        return "with a web page".into();
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

    fn said(status: u16, text: &str, login: &Login) -> String {
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
                "it wants a login (401). Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, or write name and password to ~/.mlflow/credentials",
            ),
            (
                401,
                "",
                &ada,
                "it does not accept the login of \"ada\" (401). Check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or ~/.mlflow/credentials",
            ),
            (
                403,
                "Invalid Host header - possible DNS rebinding attack detected",
                &ada,
                "it refuses the host name in its address (403). Start it with `--allowed-hosts mlflow:5000`, or write an address that it knows, such as its IP address",
            ),
            (
                403,
                "Permission denied",
                &ada,
                "the user \"ada\" has no right to do that (403). Ask for EDIT permission on the experiment (and the registered model), or use an experiment of your own: MLFLOW_EXPERIMENT_NAME",
            ),
            (
                404,
                "<!doctype html><title>404 Not Found</title>",
                &ada,
                "it is not an MLflow server, or the address lacks the path under which one is served (404, and no answer of MLflow's). Open http://mlflow:5000/ml/health in a browser: an MLflow server answers OK",
            ),
            (
                503,
                "{\"detail\":\"Artifact serving is disabled\"}",
                &ada,
                "it takes no artifacts (503: it was started with `--no-serve-artifacts`). Start it with `--serve-artifacts` and `--artifacts-destination DIR`",
            ),
            (500, "<html>", &ada, "it answers 500: with a web page; it asks to come back in 9 s"),
            (
                400,
                "{\"error_code\":\"INVALID_PARAMETER_VALUE\",\"message\":\"bad key\"}",
                &ada,
                "it answers 400: bad key; it asks to come back in 9 s",
            ),
        ] {
            assert_eq!(said(status, text, login), format!("{begins}{expected}"));
            assert!(!said(status, text, login).contains("secret"));
        }
    }
}
