//! The log: one line of JSON per event, on stderr.

use std::fmt::Write;

use axum::http::{HeaderMap, Method, StatusCode};
use cli::LogSink;
use serde_json::{Value, json};

use crate::{
    args::LogRequests,
    http::{clock::with_timestamp, endpoint::Endpoint},
};

/// Maximum characters of a method in the log.
const MAX_METHOD_LENGTH: usize = 32;

/// Writes log lines.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    sink: LogSink,
    requests: LogRequests,
}

/// The log entry of a request.
pub(crate) struct RequestEntry<'a> {
    pub(crate) method: &'a Method,
    pub(crate) endpoint: Endpoint,
    pub(crate) status: StatusCode,
    /// Microseconds.
    pub(crate) duration: u128,
    pub(crate) request_id: &'a str,
    pub(crate) trace: Option<Trace>,
}

impl Log {
    pub(crate) fn new(requests: LogRequests) -> Self {
        Self { sink: LogSink::start(), requests }
    }

    /// Writes an event: a stable key in snake case, a sentence, and fields.
    pub(crate) fn info(&self, event: &str, message: &str, fields: Value) {
        self.write("info", event, message, fields);
    }

    /// Writes an event that needs attention.
    pub(crate) fn warn(&self, event: &str, message: &str, fields: Value) {
        self.write("warn", event, message, fields);
    }

    fn write(&self, level: &str, event: &str, message: &str, fields: Value) {
        let mut line = json!({"time": with_timestamp(str::to_owned), "level": level, "event": event, "message": message});
        if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
            line.extend(fields);
        }
        self.sink.push(line.to_string().as_bytes());
    }

    /// Writes the line of a request, unless `--log-requests` excludes it.
    pub(crate) fn request(&self, entry: &RequestEntry) {
        let failed = entry.status.as_u16() >= 400;
        match self.requests {
            LogRequests::All => {}
            LogRequests::Failed if failed => {}
            _ => return,
        }
        let mut line = String::with_capacity(384);
        let method = entry.method.as_str();
        let method = method.get(..MAX_METHOD_LENGTH).unwrap_or(method);
        // methods and ids consist of letters, digits and a few signs: nothing needs escaping
        with_timestamp(|now| {
            let _ = write!(
                line,
                r#"{{"time":"{now}","level":"{}","event":"request","message":"request completed","method":"{}","handler":"{}","status":{},"duration_us":{},"request_id":"{}""#,
                if entry.status.is_server_error() { "warn" } else { "info" },
                method,
                entry.endpoint.path(),
                entry.status.as_u16(),
                entry.duration,
                entry.request_id,
            );
        });
        if let Some(trace) = &entry.trace {
            let _ = write!(line, r#","trace_id":"{}","parent_id":"{}""#, trace.id(), trace.parent());
        }
        line.push('}');
        self.sink.push(line.as_bytes());
    }

    /// Waits until all lines are written.
    pub(crate) fn flush(&self) {
        self.sink.flush();
    }
}

/// A W3C `traceparent`: version, trace, parent, flags.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trace(String);

impl Trace {
    /// The header, if it is present and valid (<https://www.w3.org/TR/trace-context/>).
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get("traceparent")?.to_str().ok()?;
        let parts: Vec<&str> = text.split('-').collect();
        let [version, trace, parent, flags, ..] = parts.as_slice() else { return None };
        let hex = |part: &str, length: usize| {
            part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        };
        let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
        let is_valid = hex(version, 2) && *version != "ff" && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
        let is_complete = parts.len() == 4 || *version != "00";
        (is_valid && is_complete && !zero(trace) && !zero(parent)).then(|| Self(text.to_owned()))
    }

    fn id(&self) -> &str {
        &self.0[3..35]
    }

    fn parent(&self) -> &str {
        &self.0[36..52]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_taken_where_it_is_sound() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", text.parse().unwrap());
            Trace::from_headers(&headers).map(|trace| (trace.id().to_owned(), trace.parent().to_owned()))
        };
        let (id, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        assert_eq!(of(&format!("00-{id}-{parent}-01")), Some((id.into(), parent.into())));
        assert_eq!(of(&format!("01-{id}-{parent}-01-more")), Some((id.into(), parent.into())));
        let zeros = "0".repeat(32);
        for bad in [
            format!("00-{id}-{parent}"),
            format!("ff-{id}-{parent}-01"),
            format!("00-{id}-{parent}-01-more"),
            format!("00-{zeros}-{parent}-01"),
            format!("00-{}-{parent}-01", id.to_uppercase()),
            "x".into(),
        ] {
            assert_eq!(of(&bad), None, "{bad}");
        }
    }
}
