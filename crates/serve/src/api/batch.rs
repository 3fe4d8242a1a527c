//! `POST /batch-predict`: a list of rows, or a streamed table.

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
        json_scan::{ListScan, MAX_ROW_BYTES, Segment, split_list},
    },
    loaded_model::LoadedModel,
    prediction_json::{push_details, push_number},
    row_schema::RawValue,
    validation::{ErrorDetail, FieldError, MAX_ERRORS_LISTED},
};
use predictor::Prediction;
use rayon::prelude::*;
use schema::CellValue;
use tokio::time::timeout;

use crate::{
    admission::{
        memory_budget::{self, Reservation},
        message_memory::MessageMemory,
        unfinished_bodies::RequestClient,
        work::Work,
    },
    api::{
        predict::unreadable,
        stream::{self, StreamFormat},
    },
    http::{
        body,
        error::ApiError,
        request_id::current_request_id,
        spooled_body::{self, SpooledBody},
    },
    models::role::Role,
    server::connection::RequestResources,
    state::AppState,
};

/// Of larger parts than this, drift counts one row of [`DRIFT_SAMPLING_STEP`].
const SMALL_PART_ROWS: usize = 256;
const DRIFT_SAMPLING_STEP: usize = 8;

/// `POST /batch-predict`.
pub(crate) async fn batch(
    State(app): State<&'static AppState>,
    RawQuery(query): RawQuery,
    Extension(client): Extension<RequestClient>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let mut body = Some(body);
    let answer = predict_batch(app, query.as_deref(), &client, &headers, &mut body).await;
    if let Some(unread) = body {
        body::drain(unread, body::declared_length(&headers), app.limits.body).await;
    }
    answer
}

/// Predicts a batch. A body that is rejected before it is read is left in `body`.
async fn predict_batch(
    app: &'static AppState,
    query: Option<&str>,
    client: &RequestClient,
    headers: &HeaderMap,
    body: &mut Option<Body>,
) -> Result<Response, ApiError> {
    let address = client.address;
    let details = match query {
        None | Some("" | "details=false") => false,
        Some("details=true") => true,
        Some(other) => return Err(ApiError::bad_request(format!("\"{other}\": the only parameter is details=true"))),
    };
    let models = app.models.load_full();
    let (role, model) = models.route(&app.traffic_split, headers, current_request_id(headers))?;
    let model = model.clone();
    if let Some(format) = body::media_type(headers).and_then(|named| StreamFormat::from_media_type(&named)) {
        let decoder_memory = client.table.as_ref().map_or(0, |table| table.decoder_memory);
        let slot = app.permits.acquire_stream_slot(address).await?;
        let memory = app.permits.reserve(memory_budget::table_cost(decoder_memory), address).await?;
        let body = body.take().unwrap_or_default();
        let messages = MessageMemory::new(app, client);
        return stream::predict_table(app, (role, model), format, headers, body, messages, (slot, memory)).await;
    }
    body::check_json(headers, ", text/csv, application/x-ndjson or application/vnd.apache.arrow.stream")?;
    let body = body::collect(body.take().unwrap_or_default()).await?;
    let memory = app.permits.reserve(memory_budget::list_cost(), address).await?;
    process_batch(app, memory, move |work| predict_list(app, &model, role, &body, details, work)).await
}

/// Runs a batch on a separate thread, for at most the time limit. Slot and memory belong to the work, and are released when it has ended,
/// even if the request was given up before.
///
/// # Errors
/// If there is no slot, or the work takes too long or fails.
pub(crate) async fn process_batch(
    app: &'static AppState,
    memory: Reservation,
    process: impl FnOnce(&Work) -> Result<SpooledBody, ApiError> + Send + 'static,
) -> Result<Response, ApiError> {
    let slot = app.permits.acquire_batch_slot().await?;
    let (work, _stop) = app.start_work();
    let task = tokio::task::spawn_blocking(move || {
        process(&work).map(|body| (body, (slot, memory_budget::keep_response_share(memory))))
    });
    let time = app.limits.time;
    let Ok(result) = timeout(time, task).await else {
        let message = format!("not completed within {} seconds; send fewer rows at a time, or a stream", time.as_secs_f64());
        return Err(ApiError::busy(StatusCode::SERVICE_UNAVAILABLE, message, 1));
    };
    let (body, resources) = result.unwrap_or_else(|_| Err(ApiError::internal()))?;
    let mut response = body.into_response("application/json").map_err(|error| spooled_body::storage_error(app, &error))?;
    RequestResources::attach(&mut response, resources);
    Ok(response)
}

/// The result of a part of a list.
#[derive(Default)]
struct PartResult {
    rows: usize,
    errors: RowErrors,
    text: Vec<u8>,
}

/// The first errors of rows, and their number.
#[derive(Default)]
pub(crate) struct RowErrors {
    listed: Vec<FieldError>,
    count: usize,
}

impl RowErrors {
    /// Adds the errors of a row.
    fn add(&mut self, row: usize, errors: Vec<FieldError>) {
        let count = errors.len();
        self.append(
            Self { listed: errors.into_iter().map(|error| FieldError { row: Some(0), ..error }).collect(), count },
            row,
        );
    }

    /// The detail of the next error.
    fn detail(&self) -> ErrorDetail {
        if self.listed.len() >= MAX_ERRORS_LISTED { ErrorDetail::Count } else { ErrorDetail::Whole }
    }

    /// Adds errors of rows that are counted from `first`.
    pub(crate) fn append(&mut self, next: Self, first: usize) {
        let shift = |error: FieldError| FieldError { row: error.row.map(|row| first + row), ..error };
        let left = MAX_ERRORS_LISTED.saturating_sub(self.listed.len());
        self.listed.extend(next.listed.into_iter().take(left).map(shift));
        self.count += next.count;
    }

    /// Returns the errors as an API error.
    ///
    /// # Errors
    /// If there are any.
    pub(crate) fn check(self) -> Result<(), ApiError> {
        if self.count > 0 { Err(ApiError::invalid_rows_excerpt(self.listed, self.count)) } else { Ok(()) }
    }

    /// Whether there are any.
    fn any(&self) -> bool {
        self.count > 0
    }

    /// The detail for the following rows, where `without` is the detail without errors. After an error, no more predictions are needed.
    pub(crate) fn wanted(&self, without: OutputDetail) -> OutputDetail {
        if self.any() { OutputDetail::ErrorsOnly(self.detail()) } else { without }
    }
}

/// Predicts a list of rows, one block of parts after the other. Only their predictions are kept.
fn predict_list(
    app: &AppState,
    model: &LoadedModel,
    role: Role,
    body: &[u8],
    details: bool,
    work: &Work,
) -> Result<SpooledBody, ApiError> {
    let body = utf8(body).map_err(unreadable)?;
    let segments = match split_list(body.as_bytes(), rows_per_task(model.row_schema.fields.len()), app.limits.rows) {
        ListScan::Rows(segments) => segments,
        ListScan::TooMany(rows) => return Err(too_many_rows(rows, app.limits.rows)),
        ListScan::LongRow(row) => {
            let message = format!("row {row} is longer than the limit of {MAX_ROW_BYTES} bytes per row");
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message));
        }
        ListScan::NotAList if body.len() > MAX_ROW_BYTES => {
            return Err(unreadable(Unreadable::Form("a list of rows must begin with [".into())));
        }
        ListScan::NotAList | ListScan::Other => match check_list(&model.row_schema, body).map_err(unreadable)? {
            0 => Vec::new(),
            _ => return Err(ApiError::internal()),
        },
    };
    let storage_error = |error: io::Error| spooled_body::storage_error(app, &error);
    let (mut answer, mut errors, mut rows) = (SpooledBody::new(app.limits.stream), RowErrors::default(), 0);
    answer.push(b"[".to_vec()).map_err(storage_error)?;
    for block in segments.chunks(tasks_per_block()) {
        let permit = work.begin_block().map_err(|_| request_ended())?;
        let wanted = errors.wanted(if details { OutputDetail::Details } else { OutputDetail::Values });
        let read = |segment: &Segment| {
            let text = ["[", &body[segment.range.clone()], "]"].concat();
            let rows = read_rows(&model.row_schema, &text, wanted.detail()).ok()?;
            let mut part = predict_part(app, model, &rows, wanted);
            if segment.first > 0 && !part.text.is_empty() {
                part.text.insert(0, b',');
            }
            Some(part)
        };
        let parts: Option<Vec<PartResult>> = block.par_iter().map(read).collect();
        let Some(parts) = parts else {
            // the list is read again to find the position of the error
            check_list(&model.row_schema, body).map_err(unreadable)?;
            return Err(ApiError::internal());
        };
        for (segment, part) in block.iter().zip(parts) {
            if !part.text.is_empty() {
                answer.push(part.text).map_err(storage_error)?;
            }
            errors.append(part.errors, segment.first);
            rows += part.rows;
        }
        drop(permit);
    }
    errors.check()?;
    answer.push(b"]".to_vec()).map_err(storage_error)?;
    app.metrics.record_predictions(role, rows as u64, Duration::ZERO);
    Ok(answer)
}

/// The error of work that stopped with its request. It is never sent.
pub(crate) fn request_ended() -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "the request has ended")
}

fn too_many_rows(rows: usize, limit: usize) -> ApiError {
    let message = format!("{rows} rows exceed the limit of {limit} per list; send a stream, or fewer rows at a time");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

/// The detail of a result.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OutputDetail {
    /// Errors only, with messages or as a count.
    ErrorsOnly(ErrorDetail),
    /// Predictions.
    Values,
    /// Predictions with intervals.
    Details,
}

impl OutputDetail {
    /// The detail of the first error.
    fn detail(self) -> ErrorDetail {
        match self {
            Self::ErrorsOnly(detail) => detail,
            Self::Values | Self::Details => ErrorDetail::Whole,
        }
    }
}

/// The cells and predictions of valid rows (none if only errors are needed), or the errors of invalid ones.
type ValidatedRows<'a> = Result<(Vec<Vec<CellValue<'a>>>, Vec<Prediction>), RowErrors>;

/// Validates and predicts rows of raw values, each with its errors of reading: all rows, or none.
pub(crate) fn validate_and_predict<'a>(
    app: &AppState,
    model: &'a LoadedModel,
    rows: impl Iterator<Item = (&'a [RawValue<'a>], &'a [FieldError])>,
    wanted: OutputDetail,
) -> ValidatedRows<'a> {
    let (mut errors, mut validated) = (RowErrors::default(), Vec::with_capacity(rows.size_hint().0));
    for (place, (values, read)) in rows.enumerate() {
        let mut of_row = read.to_vec();
        // errors beyond the listed ones are only counted
        let detail = if wanted.detail() == ErrorDetail::Count { ErrorDetail::Count } else { errors.detail() };
        let cells = model.row_schema.validate(values, &model.predictor, detail, &mut of_row);
        app.metrics.record_field_errors(model, &of_row);
        errors.add(place, of_row);
        if !errors.any() && !matches!(wanted, OutputDetail::ErrorsOnly(_)) {
            validated.push(cells);
        }
    }
    if errors.any() {
        return Err(errors);
    }
    if validated.is_empty() {
        return Ok((validated, Vec::new()));
    }
    let predictions = model.predict_many(&validated, wanted == OutputDetail::Details);
    match predictions.iter().position(|prediction| !prediction.value.is_finite()) {
        Some(place) => {
            Err(RowErrors { listed: vec![FieldError { row: Some(place), ..FieldError::no_prediction() }], count: 1 })
        }
        None => Ok((validated, predictions)),
    }
}

fn predict_part(app: &AppState, model: &LoadedModel, rows: &[Row], wanted: OutputDetail) -> PartResult {
    let values = rows.iter().map(|row| (row.values.as_slice(), row.errors.as_slice()));
    let (validated, predictions) = match validate_and_predict(app, model, values, wanted) {
        Ok(predicted) => predicted,
        Err(errors) => return PartResult { rows: rows.len(), errors, text: Vec::new() },
    };
    // the drift window has about a thousand rows, so that a sample of a large part is enough
    let every = if rows.len() > SMALL_PART_ROWS { DRIFT_SAMPLING_STEP } else { 1 };
    let counted = validated.iter().zip(&predictions).step_by(every);
    model.count_many(counted.map(|(cells, prediction)| (cells.as_slice(), prediction.value)));
    let details = wanted == OutputDetail::Details;
    let mut text = Vec::with_capacity(predictions.len() * if details { 160 } else { 20 });
    for (place, (prediction, cells)) in predictions.iter().zip(&validated).enumerate() {
        if place > 0 {
            text.push(b',');
        }
        if details { push_details(&mut text, model, prediction, cells) } else { push_number(&mut text, prediction.value) }
    }
    PartResult { rows: rows.len(), errors: RowErrors::default(), text }
}
