//! Rows that come as a stream and are answered as one: CSV, NDJSON, Arrow. Whatever their number, few of them are in memory.
//!
//! A row that breaks the schema stays in its place, without a prediction and with what is wrong with it: by then the answer has begun.

use std::{
    io::{self, BufReader, Read, Write},
    sync::Arc,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::{
    app::{Role, Shared},
    arrow_rows, body,
    csv_rows::{self, Scored},
    engine::Engine,
    ndjson_rows,
    refusal::Refusal,
};

/// What is written before it is sent.
const CHUNK: usize = 1 << 16;
/// Chunks that wait to be sent.
const WAITING: usize = 8;

/// How rows are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    Csv,
    Ndjson,
    Arrow,
}

impl Format {
    /// The format of a media type.
    pub(crate) fn of(media_type: &str) -> Option<Self> {
        Some(match media_type {
            "text/csv" => Self::Csv,
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Self::Ndjson,
            "application/vnd.apache.arrow.stream" => Self::Arrow,
            _ => return None,
        })
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Ndjson => "application/x-ndjson",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }
}

/// Answers a stream of rows. What is wrong before the first row is answered is a refusal; what comes after that ends the stream.
///
/// # Errors
/// If the header or the first rows cannot be read.
pub(crate) async fn answer(
    app: Shared,
    engine: Arc<Engine>,
    role: Role,
    format: Format,
    headers: &HeaderMap,
    body: Body,
    turn: OwnedSemaphorePermit,
) -> Result<Response, Refusal> {
    let limit = app.limits.stream;
    if body::declared(headers).is_some_and(|length| length > limit) {
        return Err(Refusal::too_large(limit as usize));
    }
    let bytes = body.into_data_stream().map_err(io::Error::other);
    let idle = app.limits.time;
    let bytes = Box::pin(impatient(bytes, idle));
    let input = SyncIoBridge::new(StreamReader::new(bytes));
    let (sender, mut chunks) = mpsc::channel(WAITING);
    let work = tokio::task::spawn_blocking(move || {
        let mut output = Chunks { sender: sender.clone(), waiting: Vec::with_capacity(CHUNK) };
        let input = BufReader::with_capacity(CHUNK, Bounded { input, left: limit });
        let done = match format {
            Format::Csv => csv_rows::score(&engine, input, &mut output),
            Format::Ndjson => ndjson_rows::score(&engine, input, &mut output),
            Format::Arrow => arrow_rows::score(&engine, input, &mut output),
        };
        let flushed = done.and_then(|scored| Ok((scored, output.flush()?)));
        match flushed {
            Ok((Scored { rows, .. }, ())) => app.metrics.predicted(role, rows, std::time::Duration::ZERO),
            Err(error) => {
                app.log.info("a stream of rows ended early", json!({"error": error.to_string()}));
                let _ = sender.blocking_send(Err(error));
            }
        }
        drop(turn);
    });
    let first: Bytes = match chunks.recv().await {
        Some(Ok(chunk)) => chunk,
        Some(Err(error)) => return Err(Refusal::bad_request(error.to_string())),
        None if work.await.is_ok() => Bytes::new(),
        None => return Err(Refusal::bad_request("the rows could not be read")),
    };
    let rest = stream::unfold(chunks, |mut chunks| async move { chunks.recv().await.map(|chunk| (chunk, chunks)) });
    let body = Body::from_stream(stream::once(async move { Ok(first) }).chain(rest));
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    Ok(response)
}

/// The stream, which ends in an error when nothing comes for a while.
fn impatient(
    bytes: impl futures_util::Stream<Item = io::Result<Bytes>> + Send,
    idle: std::time::Duration,
) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(Box::pin(bytes), move |mut bytes| async move {
        match tokio::time::timeout(idle, bytes.next()).await {
            Ok(next) => next.map(|next| (next, bytes)),
            Err(_) => Some((Err(io::Error::new(io::ErrorKind::TimedOut, "no more rows came")), bytes)),
        }
    })
}

/// Reads so many bytes and no more.
struct Bounded<R> {
    input: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other("the stream is too long"))?;
        Ok(read)
    }
}

/// Sends what is written in chunks. It waits for a slow reader, and fails when there is none any more.
struct Chunks {
    sender: mpsc::Sender<io::Result<Bytes>>,
    waiting: Vec<u8>,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let chunk = Bytes::from(std::mem::replace(&mut self.waiting, Vec::with_capacity(CHUNK)));
        self.sender.blocking_send(Ok(chunk)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}
