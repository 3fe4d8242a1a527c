//! `serve healthcheck`: whether a server on this machine is ready, for containers that hold no other program to ask with.

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

/// Asks once.
///
/// # Errors
/// [`Refused`] if it does not answer, or says that it is not ready.
pub(crate) fn ask(args: &HealthcheckArgs) -> anyhow::Result<Outcome> {
    let time =
        Duration::try_from_secs_f64(args.timeout).map_err(|_| anyhow!("--timeout {}: is not a time", args.timeout))?;
    let address = format!("http://{}/health/ready", args.address);
    let answer = loopback_client(time)?.get(&address).send();
    let response = answer.map_err(|error| Refused(format!("{address}: does not answer: {}", cause(&error))))?;
    let status = response.status();
    if !status.is_success() {
        let said = response.text().unwrap_or_default();
        return Err(Refused(format!("{address}: is not ready: {status} {}", said.trim())).into());
    }
    Ok(Outcome::done(&Summary { status: "ready", address: address.clone() }, format!("healthcheck ready: {address}")))
}

/// What is behind an error: the last of those that caused it.
fn cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
