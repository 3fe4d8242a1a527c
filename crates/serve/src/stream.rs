//! Tables of any length: CSV, NDJSON, Arrow. A few thousand rows of them are in memory at a time; answers that are long wait on the disk.
//!
//! The answer begins when the last row has come. Most clients read nothing before they have sent all, so that an answer in between would wait
//! for them, and they for it; and a fault in the middle of a table can be answered as one. A row that breaks the schema stays in its place,
//! without a prediction and with what is wrong with it.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, Write},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use serde_json::json;
use tempfile::SpooledData;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::{
    app::{Role, Shared},
    arrow_rows, body,
    connection::Held,
    csv_rows::{self, Scored},
    engine::Engine,
    ndjson_rows,
    refusal::Refusal,
};

/// What is read and sent at a time.
const CHUNK: usize = 1 << 16;
/// Chunks of a file that wait to be sent.
const WAITING: usize = 4;
/// Bytes of an answer that wait in memory.
const IN_MEMORY: usize = 8 << 20;

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

    fn score(self, engine: &Engine, input: impl io::BufRead, output: impl Write) -> io::Result<Scored> {
        match self {
            Self::Csv => csv_rows::score(engine, input, output),
            Self::Ndjson => ndjson_rows::score(engine, input, output),
            Self::Arrow => arrow_rows::score(engine, input, output),
        }
    }
}

/// Answers a table.
///
/// # Errors
/// If it is too long, comes too slowly, or cannot be read.
pub(crate) async fn answer(
    app: Shared,
    engine: Arc<Engine>,
    role: Role,
    format: Format,
    headers: &HeaderMap,
    body: Body,
    place: OwnedSemaphorePermit,
) -> Result<Response, Refusal> {
    let limit = app.limits.stream;
    let too_long = || Refusal::too_large(usize::try_from(limit).unwrap_or(usize::MAX));
    if body::declared(headers).is_some_and(|length| length > limit) {
        return Err(too_long());
    }
    let bytes = Box::pin(impatient(body.into_data_stream().map_err(io::Error::other), app.limits.time));
    let input = SyncIoBridge::new(StreamReader::new(bytes));
    let work = tokio::task::spawn_blocking(move || {
        let input = BufReader::with_capacity(CHUNK, Bounded { input, left: limit });
        let mut output = BufWriter::with_capacity(CHUNK, tempfile::spooled_tempfile(IN_MEMORY));
        let scored = format.score(&engine, input, &mut output)?;
        let mut output = output.into_inner().map_err(io::IntoInnerError::into_error)?;
        output.rewind()?;
        Ok::<_, io::Error>((scored, output, place))
    });
    // a reader that broke down was given what it could not read
    let done = work.await.unwrap_or_else(|_| Err(io::Error::other("the rows could not be read")));
    let (scored, output, place) = done.map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => too_long(),
        // a client's rows are in no file: it is ours that cannot be written
        io::ErrorKind::StorageFull
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::NotFound => {
            app.log.warn("an answer cannot be kept on the disk", json!({"error": error.to_string()}));
            let message = "the answer is longer than what can be kept here; send fewer rows at a time";
            Refusal::new(StatusCode::INSUFFICIENT_STORAGE, message)
        }
        _ => Refusal::bad_request(error.to_string()),
    })?;
    app.metrics.predicted(role, scored.rows, Duration::ZERO);
    let body = match output.into_inner() {
        SpooledData::InMemory(text) => Body::from(text.into_inner()),
        SpooledData::OnDisk(file) => Body::from_stream(chunks(file)),
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    Held::attach(&mut response, place);
    Ok(response)
}

/// A file from its beginning, in chunks, read by a thread that waits for whoever they are for.
fn chunks(mut file: File) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        let mut next = || -> io::Result<Vec<u8>> {
            let mut chunk = Vec::with_capacity(CHUNK);
            Read::take(&mut file, CHUNK as u64).read_to_end(&mut chunk)?;
            Ok(chunk)
        };
        loop {
            match next() {
                Ok(chunk) if chunk.is_empty() => return,
                chunk => {
                    let last = chunk.is_err();
                    if sender.blocking_send(chunk.map(Bytes::from)).is_err() || last {
                        return;
                    }
                }
            }
        }
    });
    stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|chunk| (chunk, receiver)) })
}

/// The stream, which ends in an error when nothing comes for a while.
fn impatient(
    bytes: impl Stream<Item = io::Result<Bytes>> + Send,
    patience: Duration,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(Box::pin(bytes), move |mut bytes| async move {
        match tokio::time::timeout(patience, bytes.next()).await {
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
        let left = self.left.checked_sub(read as u64);
        self.left = left.ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, "the table is too long"))?;
        Ok(read)
    }
}
