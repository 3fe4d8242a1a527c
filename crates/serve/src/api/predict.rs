//! `POST /predict` and `POST /explain`: one row.

use std::{cell::RefCell, io::Write, time::Instant};

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use features::Cell;
use model::Contributions;
use predictor::{Prediction, Workbench};
use serde_json::{Value, json};

use crate::{
    admission::auth::Caller,
    engine::Engine,
    fault::{Fault, FaultDetail, FaultKind, Warning},
    http::{
        body,
        clock::with_now,
        error::{Refusal, json_response},
    },
    json_rows::{Unreadable, read_row},
    server::middleware::REQUEST_ID,
    state::{Role, Shared},
};

/// Bytes of the body of one row at most.
pub(crate) const ROW_BODY: usize = 256 << 10;

thread_local! {
    static BENCH: RefCell<Workbench> = RefCell::default();
}

/// What is wanted of a row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    /// `POST /predict`.
    Prediction,
    /// `POST /explain`.
    Explanation,
}

/// Who asks whom.
struct Asked<'a> {
    app: Shared,
    engine: &'a Engine,
    role: Role,
    caller: Caller,
    request_id: &'a str,
}

/// What is said of a row.
pub(crate) struct Answer {
    pub(crate) prediction: Prediction,
    parts: Option<Contributions>,
    warnings: Vec<Warning>,
}

/// Answers for one row. The edge comes here straight, past the router: this is what is asked for most.
///
/// # Errors
/// If the row cannot be read, or breaks the schema.
pub(crate) async fn row(
    app: Shared,
    form: Form,
    caller: Caller,
    headers: &HeaderMap,
    request_id: &str,
    body: Bytes,
) -> Result<Response, Refusal> {
    let _memory = app.reserve_row(body.len())?;
    body::check_json(headers, "")?;
    // a quick model answers at once, a slow one on a thread that nobody else waits for
    let (role, engine) = {
        let models = app.models.load();
        let (role, engine) = app.choose(&models, headers, request_id)?;
        if engine.quick {
            let text = Asked { app, engine, role, caller, request_id }.answer(form, &body)?;
            return Ok(json_response(StatusCode::OK, text));
        }
        (role, engine.clone())
    };
    let id = request_id.to_owned();
    let work = move || Asked { app, engine: &engine, role, caller, request_id: &id }.answer(form, &body);
    let text = tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(failed()))?;
    Ok(json_response(StatusCode::OK, text))
}

/// The id that the edge gave a request.
pub(crate) fn id_of(headers: &HeaderMap) -> &str {
    headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// What is said where a thread broke down: it is a fault of ours.
pub(crate) fn failed() -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the prediction failed; the log says more")
}

/// What is said of a text that cannot be read.
pub(crate) fn unreadable(found: Unreadable) -> Refusal {
    match found {
        Unreadable::Syntax(message) => Refusal::bad_request(format!("the body is not JSON: {message}")),
        Unreadable::Form(message) => Refusal::faults(vec![Fault::new("", FaultKind::Malformed, message, Value::Null)]),
    }
}

impl Asked<'_> {
    /// Predicts the row; returns the body of the answer.
    fn answer(&self, form: Form, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let Self { app, engine, role, .. } = *self;
        let row = read_row(&engine.fields, body).map_err(unreadable)?;
        let mut faults = row.faults;
        let cells = engine.fields.judge(&row.given, &engine.predictor, FaultDetail::Whole, &mut faults);
        if !faults.is_empty() {
            app.metrics.faults(engine, &faults);
            return Err(Refusal::faults(faults));
        }
        BENCH.with_borrow_mut(|bench| {
            let started = Instant::now();
            let answer = engine.answer(&cells, bench)?;
            app.metrics.predicted(role, 1, started.elapsed());
            self.note(&cells, &answer);
            Ok(match form {
                Form::Prediction => render(self, &answer),
                Form::Explanation => render_explanation(self, &cells, &answer, bench.features()),
            })
        })
    }

    /// What is remembered of a row: drift, distribution, journal, feedback, the challenger in the background.
    fn note(&self, cells: &[Cell], answer: &Answer) {
        let Self { app, engine, role, caller, request_id } = *self;
        let prediction = &answer.prediction;
        engine.count(cells, prediction.value);
        app.metrics.values.observe(prediction.value);
        app.metrics.warnings(&answer.warnings);
        app.feedback.remember(caller, request_id, *prediction);
        if role == Role::Champion {
            app.shadow(cells, prediction.value);
        }
        if let Some(journal) = &app.journal {
            journal.add(record(self, cells, answer));
        }
    }
}

impl Engine {
    /// Predicts one row and takes the prediction apart.
    ///
    /// # Errors
    /// If there is no prediction for it.
    pub(crate) fn answer(&self, cells: &[Cell], bench: &mut Workbench) -> Result<Answer, Refusal> {
        let coverage = self.about.coverage;
        let predicted = match &self.explainer {
            Ok(explainer) => {
                let told = self.predictor.explain_row(explainer, cells, coverage, bench);
                told.map(|(prediction, parts)| (prediction, Some(parts)))
            }
            Err(_) => self.predictor.predict_row(cells, coverage, bench).map(|prediction| (prediction, None)),
        };
        let (prediction, parts) = predicted.map_err(|unknown| {
            Refusal::faults(vec![Fault::new(&unknown.column, FaultKind::UnknownLevel, unknown.reason, Value::Null)])
        })?;
        if !prediction.value.is_finite() {
            return Err(Refusal::faults(vec![Fault::no_prediction()]));
        }
        Ok(Answer { prediction, parts, warnings: self.fields.warnings(cells) })
    }
}

/// The answer to `POST /predict`.
fn render(asked: &Asked, answer: &Answer) -> Vec<u8> {
    let engine = asked.engine;
    let mut out = Vec::with_capacity(640);
    out.extend_from_slice(engine.keys.prediction.as_bytes());
    push_number(&mut out, answer.prediction.value);
    out.extend_from_slice(b",\"confidence_interval\":");
    push_interval(&mut out, answer.prediction.interval);
    out.extend_from_slice(b",\"interval_coverage\":");
    push_number(&mut out, engine.about.coverage);
    out.extend_from_slice(b",\"features_importance\":{");
    if let Some(parts) = &answer.parts {
        for (place, (key, part)) in engine.keys.explained.iter().zip(&parts.parts).enumerate() {
            if place > 0 {
                out.push(b',');
            }
            out.extend_from_slice(key.as_bytes());
            push_number(&mut out, *part);
        }
    }
    out.extend_from_slice(b"},\"base_value\":");
    push_number(&mut out, answer.parts.as_ref().map_or(f64::NAN, |parts| parts.base));
    // ids and roles are made of letters, digits and a few signs
    with_now(|now| {
        let _ = write!(
            out,
            ",\"prediction_time\":\"{now}\",\"model_version\":{},\"model_role\":\"{}\",\"request_id\":\"{}\",\"warnings\":",
            engine.keys.version,
            asked.role.name(),
            asked.request_id
        );
    });
    if answer.warnings.is_empty() {
        out.extend_from_slice(b"[]");
    } else {
        out.extend(json!(answer.warnings).to_string().into_bytes());
    }
    out.push(b'}');
    out
}

/// The answer to `POST /explain`.
fn render_explanation(asked: &Asked, cells: &[Cell], answer: &Answer, features: &[f64]) -> Vec<u8> {
    let engine = asked.engine;
    let model = engine.predictor.model();
    let value = |name: &str| engine.fields.place(name).map_or(Value::Null, |place| cell_json(&cells[place]));
    let columns: Vec<Value> = answer.parts.as_ref().map_or(Vec::new(), |parts| {
        let names = engine.predictor.explained().iter().zip(&parts.parts);
        names.map(|(name, part)| json!({"column": name, "value": value(name), "contribution": part})).collect()
    });
    let parts = engine.explainer.as_ref().ok().map(|explainer| explainer.explain(model, features).1);
    let named = model.file().features.iter().zip(features).enumerate();
    let features: Vec<Value> = named
        .map(|(place, (name, value))| {
            json!({"feature": name, "value": value, "contribution": parts.as_ref().map(|parts| parts.parts[place])})
        })
        .collect();
    let mut told = json!({
        "prediction": answer.prediction.value,
        "confidence_interval": answer.prediction.interval,
        "base_value": answer.parts.as_ref().map(|parts| parts.base),
        "columns": columns,
        "features": features,
        "model_version": engine.about.version,
        "model_role": asked.role.name(),
        "request_id": asked.request_id,
        "warnings": answer.warnings,
    });
    if let Err(reason) = &engine.explainer {
        told["unexplained"] = json!(reason);
    }
    told.to_string().into_bytes()
}

/// A line of the journal.
fn record(asked: &Asked, cells: &[Cell], answer: &Answer) -> Vec<u8> {
    let Asked { engine, role, caller, request_id, .. } = *asked;
    let names = engine.fields.fields.iter().map(|field| field.name().to_owned());
    let row: serde_json::Map<String, Value> = names.zip(cells.iter().map(cell_json)).collect();
    let kinds: Vec<Value> = answer.warnings.iter().map(|warning| json!([warning.field, warning.kind])).collect();
    json!({
        "time": with_now(str::to_owned),
        "caller": caller.0,
        "request_id": request_id,
        "model": engine.name(),
        "model_version": engine.about.version,
        "model_role": role.name(),
        "row": row,
        "prediction": answer.prediction.value,
        "interval": answer.prediction.interval,
        "warnings": kinds,
    })
    .to_string()
    .into_bytes()
}

fn cell_json(cell: &Cell) -> Value {
    match cell {
        Cell::Missing => Value::Null,
        Cell::Number(value) => json!(value),
        Cell::Level(level) => json!(level),
    }
}

/// A number as JSON has it: what is none is `null`.
pub(crate) fn push_number(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        // the shortest text that is read as the same number; writing to memory does not fail
        let _ = serde_json::to_writer(out, &value);
    } else {
        out.extend_from_slice(b"null");
    }
}

pub(crate) fn push_interval(out: &mut Vec<u8>, interval: Option<(f64, f64)>) {
    match interval {
        Some((low, high)) => {
            out.push(b'[');
            push_number(out, low);
            out.push(b',');
            push_number(out, high);
            out.push(b']');
        }
        None => out.extend_from_slice(b"null"),
    }
}
