//! The socket of a connection: it ends where a client does not take its answer, and says when all of an answer is sent.

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

use crate::{http::head::HeadBytes, server::connection::Connection, state::AppState};

/// The reason that a connection without a place gets.
const FULL: &str = "too many connections are open";
/// The reason that a connection without a request gets where the server ends.
const ENDING: &str = "the server is going down";
/// Bytes a second that a client takes at least, on average, once it has been slow for [`SLOW_TIMES`] times the limit of time.
const SLOWEST: u64 = 1024;
const SLOW_TIMES: u32 = 10;

/// A socket that bytes wait for.
struct Stall {
    began: Instant,
    /// Bytes taken since.
    taken: u64,
    /// When it is given up.
    end: Pin<Box<Sleep>>,
    /// Whether `end` counts from the last byte.
    set: bool,
}

/// The socket of a connection.
pub(crate) struct Socket {
    /// None once it is dropped.
    stream: Option<TcpStream>,
    app: &'static AppState,
    connection: Arc<Connection>,
    head: Arc<HeadBytes>,
    stall: Option<Stall>,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, app: &'static AppState, connection: Arc<Connection>, head: Arc<HeadBytes>) -> Self {
        Self { stream: Some(stream), app, connection, head, stall: None }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Notes what a write did.
    fn written(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_pending() {
            ready!(self.wait(context));
            self.reset();
            let message = "the client does not take its answer";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)));
        }
        if let (Poll::Ready(Ok(bytes)), Some(stall)) = (&written, &mut self.stall) {
            stall.taken += *bytes as u64;
            stall.set = false;
        }
        written
    }

    /// Lets the system forget what it was to send, too, when the socket is closed.
    fn reset(&self) {
        if let Some(stream) = &self.stream {
            // what fails here only lets the system try for a while
            let _ = stream.set_zero_linger();
        }
    }

    /// Ready when the client has had enough time.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (time, now) = (self.app.limits.time, Instant::now());
        let stall = self.stall.get_or_insert_with(|| Stall {
            began: now,
            taken: 0,
            end: Box::pin(sleep_until((now + time).into())),
            set: false,
        });
        if !stall.set {
            let slowest = stall.began + time * SLOW_TIMES + Duration::from_secs(stall.taken / SLOWEST);
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

    /// Called when nothing is left to be written.
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
        if !self.connection.notice.is_given() {
            return;
        }
        // a client that has sent no request gets the reason
        if self.connection.is_new() {
            let reason = if self.app.is_draining() { ENDING } else { FULL };
            self.stream.take().into_iter().for_each(|stream| answer_unavailable(stream, reason));
        } else if self.stall.is_some() {
            self.reset();
        }
    }
}

/// Refuses a connection that has no place.
pub(crate) fn turn_away(stream: TcpStream) {
    answer_unavailable(stream, FULL);
}

/// Answers 503, as far as that goes without waiting, and closes.
fn answer_unavailable(stream: TcpStream, reason: &str) {
    let body = format!("{{\"error\":\"{reason}\",\"detail\":[]}}");
    let head = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-type: application/json";
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write_all(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
    }
}
