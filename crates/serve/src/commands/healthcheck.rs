//! Requests the readiness of a local server (`serve healthcheck`), for containers without any other HTTP client.

use std::time::Duration;

use anyhow::anyhow;
use cli::{Outcome, Refused};
use serde::Serialize;
use tracking::loopback_client;

use crate::args::HealthcheckArgs;

#[derive(Serialize)]
struct Summary {
    status: &'static str,
    address: String,
}

/// Sends one request.
///
/// # Errors
/// [`Refused`] if the server does not respond or is not ready.
pub(crate) fn request_readiness(args: &HealthcheckArgs) -> anyhow::Result<Outcome> {
    let time = Duration::try_from_secs_f64(args.timeout)
        .map_err(|_| anyhow!("--timeout {}: must be a number of seconds", args.timeout))?;
    let address = format!("http://{}/health/ready", args.address);
    let response = loopback_client(time)?.get(&address).send();
    let response = response.map_err(|error| Refused(format!("{address}: does not respond: {}", cause(&error))))?;
    let status = response.status();
    if !status.is_success() {
        let body = response.text().unwrap_or_default();
        return Err(Refused(format!("{address}: is not ready: {status} {}", body.trim())).into());
    }
    Ok(Outcome::done(&Summary { status: "ready", address: address.clone() }, format!("healthcheck ready: {address}")))
}

/// The root cause of an error.
fn cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
