//! `POST /batch-predict`: a list of rows, or a stream of them.

use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use features::Cell;
use predictor::Prediction;
use rayon::prelude::*;
use serde_json::json;
use tokio::time::timeout;

use crate::{
    app::{App, Role, Shared},
    body,
    connection::Held,
    engine::Engine,
    fault::{Fault, SHOWN},
    fields::Given,
    json_rows::{Row, Unreadable, check_list, read_rows, segments, utf8},
    predict::{failed, id_of, push_interval, push_number, unreadable},
    refusal::{Refusal, json_response},
    stream::{self, Format},
};

/// Rows that are predicted side by side.
const ROWS_PER_TASK: usize = 4096;
/// Of more rows than this at a time, drift counts one of [`ONE_OF`].
const FEW_ROWS: usize = 256;
const ONE_OF: usize = 8;

/// `POST /batch-predict`.
pub(crate) async fn batch(
    State(app): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let mut body = Some(body);
    let answer = take(app, query.as_deref(), &headers, &mut body).await;
    if let Some(unread) = body {
        body::drain(unread, &headers, app.limits.body).await;
    }
    answer
}

/// Answers a batch; a body that is refused before it is read stays where it is.
async fn take(app: Shared, query: Option<&str>, headers: &HeaderMap, body: &mut Option<Body>) -> Result<Response, Refusal> {
    let details = match query {
        None | Some("" | "details=false") => false,
        Some("details=true") => true,
        Some(other) => return Err(Refusal::bad_request(format!("\"{other}\": the only parameter is details=true"))),
    };
    let models = app.models.load_full();
    let (role, engine) = app.choose(&models, headers, id_of(headers))?;
    let engine = engine.clone();
    if let Some(format) = body::media_type(headers).and_then(|named| Format::of(&named)) {
        let place = app.stream().await?;
        let body = body.take().unwrap_or_default();
        return stream::answer(app, engine, role, format, headers, body, place).await;
    }
    body::check_json(headers, ", text/csv, application/x-ndjson or application/vnd.apache.arrow.stream")?;
    let time = app.limits.time;
    let body = body::whole(body.take().unwrap_or_default()).await?;
    let turn = app.turn().await?;
    let work = tokio::task::spawn_blocking(move || {
        let done = list(app, &engine, role, &body, details);
        (done, turn)
    });
    match timeout(time, work).await {
        Ok(Ok((done, turn))) => {
            let mut response = json_response(StatusCode::OK, done?);
            Held::attach(&mut response, turn);
            Ok(response)
        }
        Ok(Err(_)) => Err(failed()),
        Err(_) => Err(Refusal::busy(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not done within {} seconds; send fewer rows at a time, or a stream", time.as_secs_f64()),
            1,
        )),
    }
}

/// What came of a part of a list.
#[derive(Default)]
struct Part {
    rows: usize,
    /// Some of the faults.
    faults: Vec<Fault>,
    found: usize,
    text: Vec<u8>,
}

impl Part {
    /// Takes up what came of the rows behind these.
    fn append(&mut self, next: Self) {
        for fault in next.faults.into_iter().take(SHOWN.saturating_sub(self.faults.len())) {
            self.faults.push(Fault { row: fault.row.map(|row| self.rows + row), ..fault });
        }
        if !self.text.is_empty() && !next.text.is_empty() {
            self.text.push(b',');
        }
        self.text.extend(next.text);
        self.rows += next.rows;
        self.found += next.found;
    }
}

/// Predicts a list of rows.
fn list(app: &App, engine: &Engine, role: Role, body: &[u8], details: bool) -> Result<Vec<u8>, Refusal> {
    let body = utf8(body).map_err(unreadable)?;
    let of_rows = |rows: Vec<Row>| predict_rows(app, engine, &rows, details);
    let parts: Option<Vec<Part>> = segments(body.as_bytes()).and_then(|segments| {
        // what cannot be read in parts is read whole, for the place of the fault
        let read = |range: &std::ops::Range<usize>| {
            let text = ["[", &body[range.clone()], "]"].concat();
            let rows: Result<Vec<Row>, Unreadable> = read_rows(&engine.fields, &text);
            rows.ok().map(of_rows)
        };
        segments.par_iter().map(read).collect()
    });
    let mut whole = Part::default();
    if let Some(parts) = parts {
        parts.into_iter().for_each(|part| whole.append(part));
    } else {
        check_list(&engine.fields, body).map_err(unreadable)?;
        whole = of_rows(read_rows(&engine.fields, body).map_err(unreadable)?);
    }
    check_rows(whole.rows, app)?;
    if whole.found > 0 {
        return Err(Refusal::some_faults(whole.faults, whole.found));
    }
    app.metrics.predicted(role, whole.rows as u64, std::time::Duration::ZERO);
    Ok([b"[", whole.text.as_slice(), b"]"].concat())
}

fn check_rows(rows: usize, app: &App) -> Result<(), Refusal> {
    let limit = app.limits.rows;
    if rows <= limit {
        return Ok(());
    }
    let message = format!("{rows} rows are more than the {limit} that a list may have; send a stream, or fewer at a time");
    Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message))
}

fn predict_rows(app: &App, engine: &Engine, rows: &[Row], details: bool) -> Part {
    let parts: Vec<Part> = rows.par_chunks(ROWS_PER_TASK).map(|rows| predict_some(app, engine, rows, details)).collect();
    let mut whole = Part::default();
    parts.into_iter().for_each(|part| whole.append(part));
    whole
}

/// What a row that keeps to the schema is predicted as, or some of the faults of those that do not, and how many there are.
type Checked<'a> = Result<(Vec<Vec<Cell<'a>>>, Vec<Prediction>), (Vec<Fault>, usize)>;

/// Predicts rows of values, each with the faults that reading it found: all of them, or none.
pub(crate) fn predict_checked<'a>(
    app: &App,
    engine: &'a Engine,
    rows: impl Iterator<Item = (&'a [Given<'a>], &'a [Fault])>,
    intervals: bool,
) -> Checked<'a> {
    let (mut faults, mut found, mut judged) = (Vec::new(), 0, Vec::with_capacity(rows.size_hint().0));
    for (place, (given, read)) in rows.enumerate() {
        let mut of_row = read.to_vec();
        judged.push(engine.fields.judge(given, &engine.predictor, &mut of_row));
        app.metrics.faults(engine, &of_row);
        found += of_row.len();
        let room = SHOWN.saturating_sub(faults.len());
        faults.extend(of_row.into_iter().take(room).map(|fault| Fault { row: Some(place), ..fault }));
    }
    if found > 0 {
        return Err((faults, found));
    }
    let predictions = engine.predict_many(&judged, intervals);
    match predictions.iter().position(|prediction| !prediction.value.is_finite()) {
        Some(place) => Err((vec![Fault { row: Some(place), ..Fault::no_prediction() }], 1)),
        None => Ok((judged, predictions)),
    }
}

fn predict_some(app: &App, engine: &Engine, rows: &[Row], details: bool) -> Part {
    let given = rows.iter().map(|row| (row.given.as_slice(), row.faults.as_slice()));
    let (judged, predictions) = match predict_checked(app, engine, given, details) {
        Ok(predicted) => predicted,
        Err((faults, found)) => return Part { rows: rows.len(), faults, found, text: Vec::new() },
    };
    // drift looks at a thousand rows: of many at once a few will do
    let every = if rows.len() > FEW_ROWS { ONE_OF } else { 1 };
    let counted = judged.iter().zip(&predictions).step_by(every);
    engine.count_many(counted.map(|(cells, prediction)| (cells.as_slice(), prediction.value)));
    let mut text = Vec::with_capacity(rows.len() * if details { 160 } else { 20 });
    for (place, (prediction, cells)) in predictions.iter().zip(&judged).enumerate() {
        if place > 0 {
            text.push(b',');
        }
        if details { push_details(&mut text, engine, prediction, cells) } else { push_number(&mut text, prediction.value) }
    }
    Part { rows: rows.len(), text, ..Part::default() }
}

fn push_details(text: &mut Vec<u8>, engine: &Engine, prediction: &Prediction, cells: &[Cell]) {
    text.extend_from_slice(engine.keys.prediction.as_bytes());
    push_number(text, prediction.value);
    text.extend_from_slice(b",\"confidence_interval\":");
    push_interval(text, prediction.interval);
    text.extend_from_slice(b",\"warnings\":");
    text.extend(json!(engine.fields.warnings(cells)).to_string().into_bytes());
    text.push(b'}');
}
