//! `POST /batch-predict`: a list of rows, or a stream of them.

use std::{io, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use inference::{
    blocks::{BlockGate, rows_per_task, tasks_per_block},
    formats::{
        json::{Row, Unreadable, check_list, read_rows, utf8},
        json_scan::{List, MAX_ROW_BYTES, Segment, split_list},
    },
    loaded_model::LoadedModel,
    prediction_json::{push_details, push_number},
    row_schema::RawValue,
    validation::{ErrorDetail, FieldError, MAX_ERRORS_LISTED},
};
use predictor::Prediction;
use rayon::prelude::*;
use schema::CellValue as Cell;
use tokio::time::timeout;

use crate::{
    admission::{
        memory_budget::{self, Reservation},
        message_memory::MessageMemory,
        unfinished_bodies::Sender,
        work::Work,
    },
    api::{
        predict::unreadable,
        stream::{self, Format},
    },
    http::{
        body,
        error::ApiError,
        request_id::id_of,
        spooled_body::{self, Spool},
    },
    models::role::Role,
    server::connection::Held,
    state::AppState,
};

/// Of more rows than this at a time, drift counts one of [`ONE_OF`].
const FEW_ROWS: usize = 256;
const ONE_OF: usize = 8;

/// `POST /batch-predict`.
pub(crate) async fn batch(
    State(app): State<&'static AppState>,
    RawQuery(query): RawQuery,
    Extension(sender): Extension<Sender>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let mut body = Some(body);
    let answer = take(app, query.as_deref(), &sender, &headers, &mut body).await;
    if let Some(unread) = body {
        body::drain(unread, body::declared(&headers), app.limits.body).await;
    }
    answer
}

/// Answers a batch; a body that is refused before it is read stays where it is.
async fn take(
    app: &'static AppState,
    query: Option<&str>,
    sender: &Sender,
    headers: &HeaderMap,
    body: &mut Option<Body>,
) -> Result<Response, ApiError> {
    let address = sender.address;
    let details = match query {
        None | Some("" | "details=false") => false,
        Some("details=true") => true,
        Some(other) => return Err(ApiError::bad_request(format!("\"{other}\": the only parameter is details=true"))),
    };
    let models = app.models.load_full();
    let (role, engine) = models.route(&app.traffic_split, headers, id_of(headers))?;
    let engine = engine.clone();
    if let Some(format) = body::media_type(headers).and_then(|named| Format::of(&named)) {
        let held = (
            app.permits.acquire_stream_slot(address).await?,
            app.permits.reserve(memory_budget::table_cost(sender.decoder_memory), address).await?,
        );
        let body = body.take().unwrap_or_default();
        let messages = MessageMemory::new(app, sender);
        return stream::answer(app, (role, engine), format, headers, body, messages, held).await;
    }
    body::check_json(headers, ", text/csv, application/x-ndjson or application/vnd.apache.arrow.stream")?;
    let body = body::whole(body.take().unwrap_or_default()).await?;
    let memory = app.permits.reserve(memory_budget::list_cost(), address).await?;
    answer_batch(app, memory, move |work| list(app, &engine, role, &body, details, work)).await
}

/// Answers a batch by work on a thread of its own, as long as a request may take. Its turn and its memory belong to the work: they come back
/// when it has ended, also after the request was given up.
///
/// # Errors
/// If there is no turn, or the work takes longer, goes wrong, or refuses.
pub(crate) async fn answer_batch(
    app: &'static AppState,
    memory: Reservation,
    answer: impl FnOnce(&Work) -> Result<Spool, ApiError> + Send + 'static,
) -> Result<Response, ApiError> {
    let turn = app.permits.acquire_batch_slot().await?;
    let (work, _stop) = app.start_work();
    let task =
        tokio::task::spawn_blocking(move || answer(&work).map(|answer| (answer, (turn, memory_budget::of_answer(memory)))));
    let time = app.limits.time;
    let Ok(done) = timeout(time, task).await else {
        let message = format!("not done within {} seconds; send fewer rows at a time, or a stream", time.as_secs_f64());
        return Err(ApiError::busy(StatusCode::SERVICE_UNAVAILABLE, message, 1));
    };
    let (answer, held) = done.unwrap_or_else(|_| Err(ApiError::internal()))?;
    let mut response = answer.into_response("application/json").map_err(|error| spooled_body::refuse(app, &error))?;
    Held::attach(&mut response, held);
    Ok(response)
}

/// What came of a part of a list.
#[derive(Default)]
struct Part {
    rows: usize,
    faults: Faults,
    text: Vec<u8>,
}

/// Some of the faults of rows, and how many there are.
#[derive(Default)]
pub(crate) struct Faults {
    shown: Vec<FieldError>,
    found: usize,
}

impl Faults {
    /// Adds the faults of a row.
    fn add(&mut self, row: usize, faults: Vec<FieldError>) {
        let found = faults.len();
        self.append(
            Self { shown: faults.into_iter().map(|fault| FieldError { row: Some(0), ..fault }).collect(), found },
            row,
        );
    }

    /// How much the next fault has to say.
    fn detail(&self) -> ErrorDetail {
        if self.shown.len() >= MAX_ERRORS_LISTED { ErrorDetail::Count } else { ErrorDetail::Whole }
    }

    /// Adds faults of rows that are counted from `first`.
    pub(crate) fn append(&mut self, next: Self, first: usize) {
        let place = |fault: FieldError| FieldError { row: fault.row.map(|row| first + row), ..fault };
        let left = MAX_ERRORS_LISTED.saturating_sub(self.shown.len());
        self.shown.extend(next.shown.into_iter().take(left).map(place));
        self.found += next.found;
    }

    /// Refuses rows that have faults.
    ///
    /// # Errors
    /// If there are any.
    pub(crate) fn check(self) -> Result<(), ApiError> {
        if self.found > 0 { Err(ApiError::some_faults(self.shown, self.found)) } else { Ok(()) }
    }

    /// Whether there are any.
    fn any(&self) -> bool {
        self.found > 0
    }

    /// What is wanted of the rows that follow, where `without` is wanted of rows without faults: those that cannot be answered need no
    /// predictions.
    pub(crate) fn wanted(&self, without: Wanted) -> Wanted {
        if self.any() { Wanted::Faults(self.detail()) } else { without }
    }
}

/// Predicts a list of rows, a block of parts after the other; only their answers are kept.
fn list(
    app: &AppState,
    engine: &LoadedModel,
    role: Role,
    body: &[u8],
    details: bool,
    work: &Work,
) -> Result<Spool, ApiError> {
    let body = utf8(body).map_err(unreadable)?;
    let segments = match split_list(body.as_bytes(), rows_per_task(engine.row_schema.fields.len()), app.limits.rows) {
        List::Rows(segments) => segments,
        List::TooMany(rows) => return Err(too_many_rows(rows, app.limits.rows)),
        List::LongRow(row) => {
            let message = format!("row {row} is longer than the {MAX_ROW_BYTES} bytes that a row may have");
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message));
        }
        List::NotAList if body.len() > MAX_ROW_BYTES => {
            return Err(unreadable(Unreadable::Form("a list of rows begins with [".into())));
        }
        List::NotAList | List::Other => match check_list(&engine.row_schema, body).map_err(unreadable)? {
            0 => Vec::new(),
            _ => return Err(ApiError::internal()),
        },
    };
    let kept = |error: io::Error| spooled_body::refuse(app, &error);
    let (mut answer, mut faults, mut rows) = (Spool::new(app.limits.stream), Faults::default(), 0);
    answer.push(b"[".to_vec()).map_err(kept)?;
    for block in segments.chunks(tasks_per_block()) {
        let turn = work.begin_block().map_err(|_| abandoned())?;
        let wanted = faults.wanted(if details { Wanted::Details } else { Wanted::Values });
        let read = |segment: &Segment| {
            let text = ["[", &body[segment.range.clone()], "]"].concat();
            let rows = read_rows(&engine.row_schema, &text, wanted.detail()).ok()?;
            let mut part = predict_part(app, engine, &rows, wanted);
            if segment.first > 0 && !part.text.is_empty() {
                part.text.insert(0, b',');
            }
            Some(part)
        };
        let parts: Option<Vec<Part>> = block.par_iter().map(read).collect();
        let Some(parts) = parts else {
            // the list is read once more, for the place of the fault
            check_list(&engine.row_schema, body).map_err(unreadable)?;
            return Err(ApiError::internal());
        };
        for (segment, part) in block.iter().zip(parts) {
            if !part.text.is_empty() {
                answer.push(part.text).map_err(kept)?;
            }
            faults.append(part.faults, segment.first);
            rows += part.rows;
        }
        drop(turn);
    }
    faults.check()?;
    answer.push(b"]".to_vec()).map_err(kept)?;
    app.metrics.predicted(role, rows as u64, Duration::ZERO);
    Ok(answer)
}

/// The refusal of work that stopped with its request. It is never sent.
pub(crate) fn abandoned() -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "the request has ended")
}

fn too_many_rows(rows: usize, limit: usize) -> ApiError {
    let message = format!("{rows} rows are more than the {limit} that a list may have; send a stream, or fewer at a time");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

/// What is wanted of rows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wanted {
    /// To know what is wrong with them, in words or as a count.
    Faults(ErrorDetail),
    /// Predictions.
    Values,
    /// Predictions with intervals.
    Details,
}

impl Wanted {
    /// How much the first fault has to say.
    fn detail(self) -> ErrorDetail {
        match self {
            Self::Faults(detail) => detail,
            Self::Values | Self::Details => ErrorDetail::Whole,
        }
    }
}

/// The cells and predictions of rows that keep to the schema (none if only faults are wanted), or the faults of those that do not.
type Checked<'a> = Result<(Vec<Vec<Cell<'a>>>, Vec<Prediction>), Faults>;

/// Predicts rows of values, each with the faults that reading it found: all of them, or none.
pub(crate) fn predict_checked<'a>(
    app: &AppState,
    engine: &'a LoadedModel,
    rows: impl Iterator<Item = (&'a [RawValue<'a>], &'a [FieldError])>,
    wanted: Wanted,
) -> Checked<'a> {
    let (mut faults, mut judged) = (Faults::default(), Vec::with_capacity(rows.size_hint().0));
    for (place, (given, read)) in rows.enumerate() {
        let mut of_row = read.to_vec();
        // others than those that are listed are only counted
        let detail = if wanted.detail() == ErrorDetail::Count { ErrorDetail::Count } else { faults.detail() };
        let cells = engine.row_schema.validate(given, &engine.predictor, detail, &mut of_row);
        app.metrics.faults(engine, &of_row);
        faults.add(place, of_row);
        if !faults.any() && !matches!(wanted, Wanted::Faults(_)) {
            judged.push(cells);
        }
    }
    if faults.any() {
        return Err(faults);
    }
    if judged.is_empty() {
        return Ok((judged, Vec::new()));
    }
    let predictions = engine.predict_many(&judged, wanted == Wanted::Details);
    match predictions.iter().position(|prediction| !prediction.value.is_finite()) {
        Some(place) => Err(Faults { shown: vec![FieldError { row: Some(place), ..FieldError::no_prediction() }], found: 1 }),
        None => Ok((judged, predictions)),
    }
}

fn predict_part(app: &AppState, engine: &LoadedModel, rows: &[Row], wanted: Wanted) -> Part {
    let given = rows.iter().map(|row| (row.values.as_slice(), row.faults.as_slice()));
    let (judged, predictions) = match predict_checked(app, engine, given, wanted) {
        Ok(predicted) => predicted,
        Err(faults) => return Part { rows: rows.len(), faults, text: Vec::new() },
    };
    // drift looks at a thousand rows: of many at once a few will do
    let every = if rows.len() > FEW_ROWS { ONE_OF } else { 1 };
    let counted = judged.iter().zip(&predictions).step_by(every);
    engine.count_many(counted.map(|(cells, prediction)| (cells.as_slice(), prediction.value)));
    let details = wanted == Wanted::Details;
    let mut text = Vec::with_capacity(predictions.len() * if details { 160 } else { 20 });
    for (place, (prediction, cells)) in predictions.iter().zip(&judged).enumerate() {
        if place > 0 {
            text.push(b',');
        }
        if details { push_details(&mut text, engine, prediction, cells) } else { push_number(&mut text, prediction.value) }
    }
    Part { rows: rows.len(), faults: Faults::default(), text }
}
