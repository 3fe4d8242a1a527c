//! Tables of any length: CSV, NDJSON, Arrow. A few thousand rows of them are in memory at a time; answers that are long wait on the disk.
//!
//! The answer begins when the last row has come. Most clients read nothing before they have sent all, so that an answer in between would wait
//! for them, and they for it; and a fault in the middle of a table can be answered as one. A row that breaks the schema stays in its place,
//! without a prediction and with what is wrong with it.

use std::{
    io::{self, BufReader, BufWriter, Read, Write},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::HeaderMap,
    response::Response,
};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use inference::{
    formats::{arrow, csv, ndjson, table::ScoringSummary},
    loaded_model::LoadedModel,
};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::{
    admission::{
        memory_budget::{self, Reservation},
        message_memory::MessageMemory,
        work::Work,
    },
    http::{
        body,
        error::ApiError,
        spooled_body::{self, Spool},
    },
    models::{load::DeployedModel, role::Role},
    server::connection::Held,
    state::AppState,
};

/// What is read and written at a time.
const CHUNK: usize = 1 << 16;

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

    fn score(
        self,
        engine: &LoadedModel,
        input: impl io::BufRead,
        output: impl Write,
        work: &Work,
        memory: MessageMemory,
    ) -> io::Result<ScoringSummary> {
        match self {
            Self::Csv => csv::score(engine, input, output, work),
            Self::Ndjson => ndjson::score(engine, input, output, work),
            Self::Arrow => arrow::score(engine, input, output, work, memory),
        }
    }
}

/// Answers a table.
///
/// # Errors
/// If it is too long, comes too slowly, or cannot be read.
pub(crate) async fn answer(
    app: &'static AppState,
    (role, engine): (Role, Arc<DeployedModel>),
    format: Format,
    headers: &HeaderMap,
    body: Body,
    messages: MessageMemory,
    (place, memory): (OwnedSemaphorePermit, Reservation),
) -> Result<Response, ApiError> {
    let limit = app.limits.stream;
    let too_long = || ApiError::too_large(usize::try_from(limit).unwrap_or(usize::MAX));
    if body::declared(headers).is_some_and(|length| length > limit) {
        return Err(too_long());
    }
    let bytes = Box::pin(impatient(body.into_data_stream().map_err(io::Error::other), app.limits.time));
    let input = SyncIoBridge::new(StreamReader::new(bytes));
    let (work, _stop) = app.start_work();
    let task = tokio::task::spawn_blocking(move || {
        let input = BufReader::with_capacity(CHUNK, Bounded { input, left: limit });
        let mut output = BufWriter::with_capacity(CHUNK, Spool::new(limit));
        let scored = format.score(&engine, input, &mut output, &work, messages)?;
        let output = output.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok::<_, io::Error>((scored, output, (place, memory_budget::of_answer(memory))))
    });
    // a reader that broke down was given what it could not read
    let done = task.await.unwrap_or_else(|_| Err(io::Error::other("the rows could not be read")));
    let (scored, output, held) = done.map_err(|error| match error.kind() {
        // of the table; from the system it is said of the file that the answer waits in
        io::ErrorKind::FileTooLarge if error.raw_os_error().is_none() => too_long(),
        io::ErrorKind::ResourceBusy => app.permits.overloaded(),
        _ if spooled_body::cannot_be_kept(&error) => spooled_body::refuse(app, &error),
        _ => ApiError::bad_request(error.to_string()),
    })?;
    app.metrics.predicted(role, scored.rows, Duration::ZERO);
    let mut response = output.into_response(format.media_type()).map_err(|error| spooled_body::refuse(app, &error))?;
    Held::attach(&mut response, held);
    Ok(response)
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
