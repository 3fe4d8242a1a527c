//! `POST /predict` and `POST /explain`: one row.

use std::{cell::RefCell, time::Instant};

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use inference::{
    formats::json::{Unreadable, read_row},
    loaded_model::RowPrediction,
    prediction_json::{Context, cell_json, render_explanation, render_prediction},
    validation::{ErrorDetail, FieldError, FieldErrorKind},
};
use predictor::Scratch;
use schema::CellValue;
use serde_json::{Value, json};

use crate::{
    admission::auth::Caller,
    http::{
        body,
        clock::with_timestamp,
        error::{ApiError, json_response},
    },
    models::{load::DeployedModel, role::Role},
    state::AppState,
};

/// Maximum bytes of the body of one row.
pub(crate) const MAX_ROW_BODY_BYTES: usize = 256 << 10;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// The kind of response to a row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ResponseKind {
    /// `POST /predict`.
    Prediction,
    /// `POST /explain`.
    Explanation,
}

/// A request of a caller, and its model.
struct RequestContext<'a> {
    app: &'static AppState,
    model: &'a DeployedModel,
    role: Role,
    caller: Caller,
    request_id: &'a str,
}

/// Serves a request for one row. The middleware calls it directly, without the router, because these requests are the most frequent.
///
/// # Errors
/// If the row cannot be read, or is invalid.
pub(crate) async fn row(
    app: &'static AppState,
    kind: ResponseKind,
    caller: Caller,
    headers: &HeaderMap,
    request_id: &str,
    body: Bytes,
) -> Result<Response, ApiError> {
    let _memory = app.permits.reserve_row(body.len())?;
    body::check_json(headers, "")?;
    // a fast model runs on the thread of the connection, a slow one on a separate thread
    let (role, model) = {
        let models = app.models.load();
        let (role, model) = models.route(&app.traffic_split, headers, request_id)?;
        if model.is_quick {
            let text = RequestContext { app, model, role, caller, request_id }.answer(kind, &body)?;
            return Ok(json_response(StatusCode::OK, text));
        }
        (role, model.clone())
    };
    let id = request_id.to_owned();
    let work = move || RequestContext { app, model: &model, role, caller, request_id: &id }.answer(kind, &body);
    let text = tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(ApiError::internal()))?;
    Ok(json_response(StatusCode::OK, text))
}

/// The error of a body that cannot be read as rows.
pub(crate) fn unreadable(reason: Unreadable) -> ApiError {
    match reason {
        Unreadable::Syntax(message) => ApiError::bad_request(format!("the body is not JSON: {message}")),
        Unreadable::Form(message) => {
            ApiError::invalid_rows(vec![FieldError::new("", FieldErrorKind::Malformed, message, Value::Null)])
        }
    }
}

impl RequestContext<'_> {
    /// Predicts the row; returns the body of the response.
    fn answer(&self, kind: ResponseKind, body: &[u8]) -> Result<Vec<u8>, ApiError> {
        let Self { app, model, role, request_id, .. } = *self;
        let row = read_row(&model.row_schema, body).map_err(unreadable)?;
        let mut errors = row.errors;
        let cells = model.row_schema.validate(&row.values, &model.predictor, ErrorDetail::Whole, &mut errors);
        if !errors.is_empty() {
            app.metrics.record_field_errors(model, &errors);
            return Err(ApiError::invalid_rows(errors));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let started = Instant::now();
            let prediction = model.predict_row(&cells, scratch).map_err(ApiError::invalid_rows)?;
            app.metrics.record_predictions(role, 1, started.elapsed());
            self.record_prediction(&cells, &prediction);
            Ok(with_timestamp(|now| {
                let context = Context { role: role.name(), request_id, now };
                match kind {
                    ResponseKind::Prediction => render_prediction(model, &prediction, context),
                    ResponseKind::Explanation => render_explanation(model, &cells, &prediction, scratch.features(), context),
                }
            }))
        })
    }

    /// Records a prediction in drift, metrics, prediction log and feedback, and queues it for the challenger.
    fn record_prediction(&self, cells: &[CellValue], row: &RowPrediction) {
        let Self { app, model, role, caller, request_id } = *self;
        let prediction = &row.prediction;
        model.count(cells, prediction.value);
        app.metrics.prediction_values.observe(prediction.value);
        app.metrics.record_warnings(&row.warnings);
        app.realised_errors.remember(caller, request_id, *prediction);
        if role == Role::Champion {
            app.shadow(cells, prediction.value);
        }
        if let Some(log) = &app.prediction_log {
            log.add(self.log_line(cells, row));
        }
    }

    /// The line of the prediction log.
    fn log_line(&self, cells: &[CellValue], row: &RowPrediction) -> Vec<u8> {
        let Self { model, role, caller, request_id, .. } = *self;
        let names = model.row_schema.fields.iter().map(|field| field.name().to_owned());
        let values: serde_json::Map<String, Value> = names.zip(cells.iter().map(cell_json)).collect();
        let warnings: Vec<Value> = row.warnings.iter().map(|warning| json!([warning.field, warning.kind])).collect();
        json!({
            "time": with_timestamp(str::to_owned),
            "caller": caller.0,
            "request_id": request_id,
            "model": model.name(),
            "model_version": model.info.version,
            "model_role": role.name(),
            "row": values,
            "prediction": row.prediction.value,
            "interval": row.prediction.interval,
            "warnings": warnings,
        })
        .to_string()
        .into_bytes()
    }
}
