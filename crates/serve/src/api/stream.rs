//! Streamed tables of any length: CSV, NDJSON, Arrow. A few thousand rows are in memory at a time; long responses are stored on disk.
//!
//! The response begins after the last row has arrived. Most clients read nothing before they have sent everything, so that both sides would
//! wait for each other. An error in the middle of a table can also be reported with its status. An invalid row keeps its position, without a
//! prediction and with its error.

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
        spooled_body::{self, SpooledBody},
    },
    models::{load::DeployedModel, role::Role},
    server::connection::RequestResources,
    state::AppState,
};

/// Bytes read and written at a time.
const CHUNK_BYTES: usize = 1 << 16;

/// The format of a table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StreamFormat {
    Csv,
    Ndjson,
    Arrow,
}

impl StreamFormat {
    /// The format of a media type.
    pub(crate) fn from_media_type(media_type: &str) -> Option<Self> {
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
        model: &LoadedModel,
        input: impl io::BufRead,
        output: impl Write,
        work: &Work,
        memory: MessageMemory,
    ) -> io::Result<ScoringSummary> {
        match self {
            Self::Csv => csv::score(model, input, output, work),
            Self::Ndjson => ndjson::score(model, input, output, work),
            Self::Arrow => arrow::score(model, input, output, work, memory),
        }
    }
}

/// Predicts a table.
///
/// # Errors
/// If it is too long, too slow, or cannot be read.
pub(crate) async fn predict_table(
    app: &'static AppState,
    (role, model): (Role, Arc<DeployedModel>),
    format: StreamFormat,
    headers: &HeaderMap,
    body: Body,
    messages: MessageMemory,
    (slot, memory): (OwnedSemaphorePermit, Reservation),
) -> Result<Response, ApiError> {
    let limit = app.limits.stream;
    let too_long = || ApiError::too_large(usize::try_from(limit).unwrap_or(usize::MAX));
    if body::declared_length(headers).is_some_and(|length| length > limit) {
        return Err(too_long());
    }
    let bytes = Box::pin(with_idle_timeout(body.into_data_stream().map_err(io::Error::other), app.limits.time));
    let input = SyncIoBridge::new(StreamReader::new(bytes));
    let (work, _stop) = app.start_work();
    let task = tokio::task::spawn_blocking(move || {
        let input = BufReader::with_capacity(CHUNK_BYTES, LimitedReader { input, left: limit });
        let mut output = BufWriter::with_capacity(CHUNK_BYTES, SpooledBody::new(limit));
        let summary = format.score(&model, input, &mut output, &work, messages)?;
        let output = output.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok::<_, io::Error>((summary, output, (slot, memory_budget::keep_response_share(memory))))
    });
    // a reader that panicked could not read its input
    let result = task.await.unwrap_or_else(|_| Err(io::Error::other("cannot read the rows")));
    let (summary, output, resources) = result.map_err(|error| match error.kind() {
        // this error is about the table; with a system error code it is about the file of the response
        io::ErrorKind::FileTooLarge if error.raw_os_error().is_none() => too_long(),
        io::ErrorKind::ResourceBusy => app.permits.overloaded(),
        _ if spooled_body::is_storage_error(&error) => spooled_body::storage_error(app, &error),
        _ => ApiError::bad_request(error.to_string()),
    })?;
    app.metrics.record_predictions(role, summary.rows, Duration::ZERO);
    let mut response =
        output.into_response(format.media_type()).map_err(|error| spooled_body::storage_error(app, &error))?;
    RequestResources::attach(&mut response, resources);
    Ok(response)
}

/// A stream that ends in an error when nothing arrives for `idle_timeout`.
fn with_idle_timeout(
    bytes: impl Stream<Item = io::Result<Bytes>> + Send,
    idle_timeout: Duration,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(Box::pin(bytes), move |mut bytes| async move {
        match tokio::time::timeout(idle_timeout, bytes.next()).await {
            Ok(next) => next.map(|next| (next, bytes)),
            Err(_) => Some((Err(io::Error::new(io::ErrorKind::TimedOut, "no more rows arrived in time")), bytes)),
        }
    })
}

/// Reads at most `left` bytes.
struct LimitedReader<R> {
    input: R,
    left: u64,
}

impl<R: Read> Read for LimitedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        let left = self.left.checked_sub(read as u64);
        self.left = left.ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, "the table is too long"))?;
        Ok(read)
    }
}
