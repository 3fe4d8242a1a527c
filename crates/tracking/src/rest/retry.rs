//! When a request is retried, and after which pause: the rules of MLflow's own client.

use std::time::Duration;

use crate::rest::http_config::HttpConfig;

/// Seconds of a pause at most.
const MAX_PAUSE_SECONDS: f64 = 120.0;

/// Whether a retry may succeed after a response with this status.
pub(super) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// Whether a response with this status may have a `Retry-After` header.
pub(super) fn may_send_retry_after(status: u16) -> bool {
    matches!(status, 413 | 429 | 503)
}

/// The pause before attempt `attempt`, the first retry being 1. `chance` is between 0 and 1.
/// There is none before the first retry, then `factor · 2ⁿ⁻¹` seconds and a random part, as in urllib3's `Retry`.
pub(super) fn pause(settings: &HttpConfig, attempt: u32, chance: f64) -> Duration {
    if attempt <= 1 {
        return Duration::ZERO;
    }
    let seconds = settings.backoff_factor * 2f64.powi(attempt as i32 - 1) + settings.backoff_jitter * chance;
    Duration::from_secs_f64(seconds.clamp(0.0, MAX_PAUSE_SECONDS))
}

/// The delay of a `Retry-After` header: seconds, or a date. `now` is in seconds since 1970-01-01 UTC.
pub(super) fn retry_after(value: &str, now: i64) -> Option<Duration> {
    let value = value.trim();
    let seconds = match value.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => seconds,
        _ => (jiff::fmt::rfc2822::parse(value).ok()?.timestamp().as_second() - now) as f64,
    };
    Some(Duration::from_secs_f64(seconds.clamp(0.0, 1e9)))
}

/// Whether the pause is short enough to wait for; otherwise the run is sent later.
pub(super) fn is_acceptable_pause(pause: Duration) -> bool {
    pause.as_secs_f64() <= MAX_PAUSE_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_those_of_the_official_client() {
        let settings = HttpConfig::default();
        let pauses: Vec<u64> = (1..=7).map(|attempt| pause(&settings, attempt, 0.0).as_secs()).collect();
        assert_eq!(pauses, [0, 4, 8, 16, 32, 64, 120]);
        assert_eq!(pause(&settings, 2, 0.5).as_millis(), 4500);
    }

    #[test]
    fn a_server_may_name_seconds_or_a_moment() {
        assert_eq!(retry_after("7", 0), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("-7", 0), Some(Duration::ZERO));
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 10), Some(Duration::from_secs(50)));
        assert_eq!(retry_after("soon", 0), None);
        assert!(is_acceptable_pause(Duration::from_mins(2)) && !is_acceptable_pause(Duration::from_hours(1)));
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let again: Vec<u16> = (200..600).filter(|status| is_transient(*status)).collect();
        assert_eq!(again, [408, 429, 500, 502, 503, 504]);
        assert!(may_send_retry_after(413) && !may_send_retry_after(500));
    }
}
