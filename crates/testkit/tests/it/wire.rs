//! HTTP byte by byte: requests that no client library sends, and the answers to them.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The status line and the headers, in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The host and the port of `http://HOST:PORT/…`.
pub(crate) fn host(url: &str) -> &str {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    rest.split('/').next().unwrap_or(rest)
}

/// Sends bytes on a connection of their own, and reads until the server closes it or nothing comes for five seconds.
pub(crate) fn exchange(address: &str, request: &[u8]) -> Answer {
    let mut connection = TcpStream::connect(address).expect("a connection");
    connection.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    // the server may refuse and close before it has read everything
    let _ = connection.write_all(request);
    let mut bytes = Vec::new();
    let _ = connection.read_to_end(&mut bytes);
    parse(&bytes).unwrap_or_else(|| {
        let start = String::from_utf8_lossy(&request[..request.len().min(200)]).into_owned();
        panic!("no answer to {start}: {}", String::from_utf8_lossy(&bytes))
    })
}

/// Splits the bytes of an answer.
pub(crate) fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head, body: bytes[end + 4..].to_vec() })
}
