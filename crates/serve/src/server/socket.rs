//! The socket of a connection. It fails when the client stops reading, and reports when a response is completely sent.

use std::{
    io::{self, IoSlice, Write},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep_until},
};

use crate::{http::head::HeadBytes, server::connection::HttpConnection, state::AppState};

/// The error for a connection that exceeds the limit.
const TOO_MANY_CONNECTIONS_MESSAGE: &str = "too many open connections";
/// The error for a connection without a request at shutdown.
const SHUTTING_DOWN_MESSAGE: &str = "the server is shutting down";
/// The average number of bytes per second that a client must read, once it was slow for [`SLOW_CLIENT_FACTOR`] times the time limit.
const MIN_BYTES_PER_SECOND: u64 = 1024;
const SLOW_CLIENT_FACTOR: u32 = 10;

/// A period in which bytes wait for the client.
struct Stall {
    began: Instant,
    /// Bytes sent since.
    taken: u64,
    /// When the connection is given up.
    end: Pin<Box<Sleep>>,
    /// Whether `end` counts from the last byte.
    set: bool,
}

/// The socket of a connection.
pub(crate) struct Socket {
    /// None once it is dropped.
    stream: Option<TcpStream>,
    app: &'static AppState,
    connection: Arc<HttpConnection>,
    head: Arc<HeadBytes>,
    stall: Option<Stall>,
}

impl Socket {
    pub(crate) fn new(
        stream: TcpStream,
        app: &'static AppState,
        connection: Arc<HttpConnection>,
        head: Arc<HeadBytes>,
    ) -> Self {
        Self { stream: Some(stream), app, connection, head, stall: None }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Tracks the result of a write.
    fn written(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_pending() {
            ready!(self.wait(context));
            self.reset();
            let message = "the client does not read its response";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)));
        }
        if let (Poll::Ready(Ok(bytes)), Some(stall)) = (&written, &mut self.stall) {
            stall.taken += *bytes as u64;
            stall.set = false;
        }
        written
    }

    /// Discards unsent bytes when the socket is closed.
    fn reset(&self) {
        if let Some(stream) = &self.stream {
            // if this fails, the system tries to send for a while
            let _ = stream.set_zero_linger();
        }
    }

    /// Ready when the client has exceeded the time limits.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (time, now) = (self.app.limits.time, Instant::now());
        let stall = self.stall.get_or_insert_with(|| Stall {
            began: now,
            taken: 0,
            end: Box::pin(sleep_until((now + time).into())),
            set: false,
        });
        if !stall.set {
            let slowest = stall.began + time * SLOW_CLIENT_FACTOR + Duration::from_secs(stall.taken / MIN_BYTES_PER_SECOND);
            stall.end.as_mut().reset((now + time).min(slowest).into());
            stall.set = true;
            self.connection.stall(Some(now));
        }
        stall.end.as_mut().poll(context)
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = self.stream()?.poll_read(context, buffer);
        if read.is_ready() {
            self.head.add(&buffer.filled()[before..]);
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write(context, bytes);
        self.written(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write_vectored(context, parts);
        self.written(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Called when all bytes are written.
    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.sent(&self.app.in_flight) {
            self.stall = None;
            self.head.begin();
        } else if self.stall.is_some() {
            self.connection.stall(None);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(context)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if !self.connection.notice.is_sent() {
            return;
        }
        // a client that has sent no request gets the reason
        if self.connection.is_new() {
            let reason = if self.app.is_draining() { SHUTTING_DOWN_MESSAGE } else { TOO_MANY_CONNECTIONS_MESSAGE };
            self.stream.take().into_iter().for_each(|stream| answer_unavailable(stream, reason));
        } else if self.stall.is_some() {
            self.reset();
        }
    }
}

/// Rejects a connection that exceeds the limit.
pub(crate) fn reject_connection(stream: TcpStream) {
    answer_unavailable(stream, TOO_MANY_CONNECTIONS_MESSAGE);
}

/// Sends 503, as far as possible without waiting, and closes.
fn answer_unavailable(stream: TcpStream, reason: &str) {
    let body = format!("{{\"error\":\"{reason}\",\"detail\":[]}}");
    let head = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-type: application/json";
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write_all(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
    }
}
