//! Validates the heads of requests, beyond the checks of the HTTP parser.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header, request::Parts};
use memchr::memmem;

use crate::http::error::ApiError;

/// Maximum bytes of a request target.
const MAX_TARGET_BYTES: usize = 8 << 10;
/// Maximum bytes of a head, and of a read or write. Every open connection may send a head that does not end.
pub(crate) const MAX_HEAD_BYTES: usize = 16 << 10;
/// Buffer capacity that a connection keeps for its next head.
const RETAINED_HEAD_BYTES: usize = 4 << 10;

/// The content coding of a body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ContentCoding {
    Plain,
    Gzip,
}

/// The raw bytes of a head. The parser keeps `transfer-encoding` and drops a `content-length` beside it.
#[derive(Debug, Default)]
pub(crate) struct HeadBytes {
    /// Whether the next bytes are not a head.
    ended: AtomicBool,
    bytes: Mutex<Vec<u8>>,
}

impl HeadBytes {
    /// Keeps bytes that arrive while a head is expected.
    pub(crate) fn add(&self, bytes: &[u8]) {
        if !self.ended.load(Ordering::Relaxed) {
            let mut kept = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
            let free = MAX_HEAD_BYTES.saturating_sub(kept.len());
            kept.extend_from_slice(&bytes[..bytes.len().min(free)]);
        }
    }

    /// Whether the bytes of the parsed head are known. They are not if it began to arrive together with the previous request.
    fn is_known(&self, method: &str) -> bool {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        // empty lines may precede a head
        let head = bytes.trim_ascii_start();
        !self.ended.load(Ordering::Relaxed) && head.starts_with(method.as_bytes())
    }

    /// Whether the parsed head has a `content-length`.
    fn has_length(&self) -> bool {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let head = &bytes[..memmem::find(&bytes, b"\r\n\r\n").unwrap_or(bytes.len())];
        let named = |line: &[u8]| {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            name.eq_ignore_ascii_case(b"content-length")
        };
        head.split(|byte| *byte == b'\n').skip(1).any(named)
    }

    /// Whether the head continues after the kept bytes.
    fn is_cut(&self) -> bool {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.len() >= MAX_HEAD_BYTES && memmem::find(&bytes, b"\r\n\r\n").is_none()
    }

    /// The next bytes are not a head.
    fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// All requests are served: the next bytes are a head.
    pub(crate) fn begin(&self) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.clear();
        bytes.shrink_to(RETAINED_HEAD_BYTES);
        self.ended.store(false, Ordering::Relaxed);
    }
}

/// Validates a head; returns the content coding of its body.
///
/// # Errors
/// If it must be rejected: the connection cannot be used again.
pub(crate) fn check_head(parts: &Parts, bytes: &HeadBytes, has_body: bool) -> Result<ContentCoding, ApiError> {
    let (mut hosts, mut coding) = (0, ContentCoding::Plain);
    let (mut transfer, mut bytes_of_headers) = (false, 0);
    for (name, value) in &parts.headers {
        let name = name.as_str();
        bytes_of_headers += name.len() + value.len();
        match name {
            "host" => {
                hosts += 1;
                check_host(value)?;
            }
            "transfer-encoding" => transfer = true,
            "expect" => check_expectation(value)?,
            "content-encoding" if has_body => coding = check_coding(&parts.headers)?,
            _ => {}
        }
    }
    if transfer {
        check_transfer(&parts.headers)?;
        if !bytes.is_known(parts.method.as_str()) {
            let message = "transfer-encoding: a pipelined request needs a content-length";
            return Err(ApiError::bad_request(message));
        }
        // a content-length after these bytes would not be noticed
        if bytes.is_cut() {
            let message = format!("a head with transfer-encoding is longer than the limit of {MAX_HEAD_BYTES} bytes");
            return Err(ApiError::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, message));
        }
        if bytes.has_length() {
            return Err(ApiError::bad_request(
                "content-length: not allowed together with transfer-encoding; send one of them",
            ));
        }
    }
    bytes.end();
    if bytes_of_headers > MAX_HEAD_BYTES {
        let message = format!("the headers are longer than the limit of {MAX_HEAD_BYTES} bytes");
        return Err(ApiError::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, message));
    }
    if hosts == 0 && parts.version >= Version::HTTP_11 {
        return Err(ApiError::bad_request("host: is missing"));
    }
    if hosts > 1 {
        return Err(ApiError::bad_request("host: is repeated"));
    }
    if parts.uri.path_and_query().is_some_and(|target| target.as_str().len() > MAX_TARGET_BYTES) {
        let message = format!("the request target is longer than the limit of {MAX_TARGET_BYTES} bytes");
        return Err(ApiError::new(StatusCode::URI_TOO_LONG, message));
    }
    Ok(coding)
}

/// The bytes that a host name may contain, RFC 3986, section 3.2.2.
const NAME_BYTES: [bool; 256] = {
    let (mut allowed, mut byte) = ([false; 256], 0_u8);
    while byte < 128 {
        allowed[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&'..=b',' | b';' | b'=');
        byte += 1;
    }
    allowed
};

/// `host [":" port]`: a name, an IPv4 address, or an IPv6 address in brackets.
fn check_host(value: &HeaderValue) -> Result<(), ApiError> {
    let bytes = value.as_bytes();
    let (host, port) = match bytes.iter().rposition(|byte| *byte == b':') {
        Some(colon) if bytes.last() != Some(&b']') => (&bytes[..colon], &bytes[colon + 1..]),
        _ => (bytes, &b""[..]),
    };
    let is_valid = match host {
        [b'[', address @ .., b']'] => {
            !address.is_empty() && address.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.' | b'v'))
        }
        name => !name.is_empty() && name.iter().all(|byte| NAME_BYTES[usize::from(*byte)]),
    };
    if is_valid && port.len() <= 5 && port.iter().all(u8::is_ascii_digit) {
        return Ok(());
    }
    Err(ApiError::bad_request("host: is not HOST or HOST:PORT"))
}

fn check_expectation(value: &HeaderValue) -> Result<(), ApiError> {
    if value.as_bytes().eq_ignore_ascii_case(b"100-continue") {
        return Ok(());
    }
    Err(ApiError::new(StatusCode::EXPECTATION_FAILED, "expect: only 100-continue is supported"))
}

/// The items of a header that is a list, in one value or in several.
fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let values = headers.get_all(name).into_iter();
    values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
}

fn check_transfer(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut chunked = 0;
    for item in items(headers, &header::TRANSFER_ENCODING) {
        if !item.eq_ignore_ascii_case(b"chunked") {
            let message = "transfer-encoding: only chunked is supported; send a gzip body with content-encoding: gzip";
            return Err(ApiError::new(StatusCode::NOT_IMPLEMENTED, message));
        }
        chunked += 1;
    }
    if chunked == 1 { Ok(()) } else { Err(ApiError::bad_request("transfer-encoding: chunked is repeated")) }
}

fn check_coding(headers: &HeaderMap) -> Result<ContentCoding, ApiError> {
    let known = |item: &&[u8]| !item.eq_ignore_ascii_case(b"identity");
    let codings: Vec<&[u8]> = items(headers, &header::CONTENT_ENCODING).filter(known).collect();
    match codings.as_slice() {
        [] => Ok(ContentCoding::Plain),
        [one] if one.eq_ignore_ascii_case(b"gzip") || one.eq_ignore_ascii_case(b"x-gzip") => Ok(ContentCoding::Gzip),
        _ => {
            Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-encoding: only gzip is supported, and only once"))
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn coding_of(version: Version, headers: &[(&str, &str)]) -> Result<ContentCoding, u16> {
        let mut request = Request::builder().version(version).uri("/predict");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let bytes = HeadBytes::default();
        bytes.add(b"GET / HTTP/1.1\r\n\r\n");
        check_head(&parts, &bytes, true).map_err(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn a_request_names_one_host() {
        let with = |hosts: &[&str]| {
            let headers: Vec<(&str, &str)> = hosts.iter().map(|host| ("host", *host)).collect();
            coding_of(Version::HTTP_11, &headers).map_err(|status| assert_eq!(status, 400)).is_ok()
        };
        for good in ["houses.example", "houses.example:8000", "127.0.0.1", "[::1]", "[::1]:80", "x:", "a_b"] {
            assert!(with(&[good]), "{good}");
        }
        for bad in ["", ":80", "a b", "a/b", "user@host", "a:b", "a:123456", "[]", "[::1", "a,b:1:2", "http://x"] {
            assert!(!with(&[bad]), "{bad}");
        }
        assert!(!with(&[]) && !with(&["x", "x"]) && !with(&["x", "y"]));
        assert_eq!(coding_of(Version::HTTP_10, &[]), Ok(ContentCoding::Plain));
        assert_eq!(coding_of(Version::HTTP_10, &[("host", "x"), ("host", "x")]), Err(400));
    }

    #[test]
    fn codings_and_expectations_are_known_or_refused() {
        for (name, values, expected) in [
            ("content-encoding", vec!["gzip"], Ok(ContentCoding::Gzip)),
            ("content-encoding", vec!["X-GZIP"], Ok(ContentCoding::Gzip)),
            ("content-encoding", vec!["identity, gzip"], Ok(ContentCoding::Gzip)),
            ("content-encoding", vec!["identity"], Ok(ContentCoding::Plain)),
            ("content-encoding", vec![""], Ok(ContentCoding::Plain)),
            ("content-encoding", vec!["br"], Err(415)),
            ("content-encoding", vec!["gzip, gzip"], Err(415)),
            ("content-encoding", vec!["gzip", "deflate"], Err(415)),
            ("transfer-encoding", vec!["chunked"], Ok(ContentCoding::Plain)),
            ("transfer-encoding", vec!["Chunked"], Ok(ContentCoding::Plain)),
            ("transfer-encoding", vec!["gzip, chunked"], Err(501)),
            ("transfer-encoding", vec!["gzip", "chunked"], Err(501)),
            ("transfer-encoding", vec!["identity, chunked"], Err(501)),
            ("transfer-encoding", vec!["chunked, chunked"], Err(400)),
            ("expect", vec!["100-Continue"], Ok(ContentCoding::Plain)),
            ("expect", vec!["200-ok"], Err(417)),
            ("expect", vec!["100-continue", "x"], Err(417)),
            ("expect", vec![""], Err(417)),
        ] {
            let headers: Vec<(&str, &str)> = values.iter().map(|value| (name, *value)).chain([("host", "x")]).collect();
            assert_eq!(coding_of(Version::HTTP_11, &headers), expected, "{name} {values:?}");
        }
    }

    #[test]
    fn a_length_beside_chunks_is_seen() {
        let seen = |head: &str| {
            let bytes = HeadBytes::default();
            bytes.add(head.as_bytes());
            bytes.has_length()
        };
        assert!(seen("POST / HTTP/1.1\r\nContent-Length: 5\r\ntransfer-encoding: chunked\r\n\r\n"));
        assert!(seen("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-LENGTH:5\r\n\r\n"));
        assert!(!seen("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\ncontent-length: 5\r\n"));
        assert!(!seen("POST / HTTP/1.1\r\nx-content-length: 5\r\n\r\n"));
        let cut = |head: &str| {
            let bytes = HeadBytes::default();
            bytes.add(head.as_bytes());
            bytes.is_cut()
        };
        let padding = "x".repeat(MAX_HEAD_BYTES);
        assert!(cut(&format!("POST / HTTP/1.1\r\nx: {padding}\r\ncontent-length: 5\r\n\r\n")));
        assert!(!cut(&format!("POST / HTTP/1.1\r\nx: y\r\n\r\n{padding}")) && !cut("POST / HTTP/1.1\r\n"));
        let bytes = HeadBytes::default();
        bytes.add(b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n");
        assert!(bytes.is_known("POST") && !bytes.is_known("GET") && bytes.has_length());
        bytes.end();
        assert!(!bytes.is_known("POST"));
        bytes.begin();
        assert!(!bytes.is_known("POST") && !bytes.has_length());
        bytes.add(b"\r\nPOST / HTTP/1.1\r\n");
        assert!(bytes.is_known("POST"));
    }
}
