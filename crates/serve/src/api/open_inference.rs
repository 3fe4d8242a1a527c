//! The Open Inference Protocol, version 2, over HTTP, for clients of KServe (<https://github.com/kserve/open-inference-protocol>).
//!
//! A column is a tensor of the shape `[rows]` or `[rows, 1]`. A request may select the prediction and the ends of its interval.

use std::{
    io::{self, Write},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use inference::{
    blocks::{BlockGate, rows_per_task, tasks_per_block},
    formats::table::Header,
    loaded_model::LoadedModel,
    prediction_json::push_number,
    row_schema::RawValue,
};
use predictor::Prediction;
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::{
    admission::{memory_budget, unfinished_bodies::RequestClient, work::Work},
    api::{
        batch::{OutputDetail, RowErrors, process_batch, request_ended, validate_and_predict},
        tensors::{TensorLimits, Tensors, read_tensors},
    },
    http::{
        body,
        error::{ApiError, json_response},
        request_id::current_request_id,
        spooled_body::{self, SpooledBody},
    },
    models::{load::DeployedModel, role::Role},
    state::AppState,
};

/// Numbers that are written at a time.
const NUMBERS_PER_CHUNK: usize = 4096;

/// `GET /v2`.
pub(crate) async fn server() -> Response {
    let description = json!({"name": "serve", "version": env!("CARGO_PKG_VERSION"), "extensions": []});
    json_response(StatusCode::OK, description.to_string())
}

/// `GET /v2/models/{name}`.
pub(crate) async fn metadata(
    State(app): State<&'static AppState>,
    Path(path): Path<Vec<String>>,
) -> Result<Response, ApiError> {
    let (_, model) = find_model(app, &path)?;
    let inputs: Vec<Value> = model
        .row_schema
        .fields
        .iter()
        .map(|field| {
            let numeric = field.column.spec.kind.is_number();
            json!({"name": field.name(), "datatype": if numeric { "FP64" } else { "BYTES" }, "shape": [-1]})
        })
        .collect();
    let outputs: Vec<Value> =
        output_names(&model).iter().map(|name| json!({"name": name, "datatype": "FP64", "shape": [-1]})).collect();
    let description = json!({
        "name": model.name(),
        "versions": [model.info.version],
        "platform": "house_price_predictor",
        "inputs": inputs,
        "outputs": outputs,
    });
    Ok(json_response(StatusCode::OK, description.to_string()))
}

/// `GET /v2/models/{name}/ready`.
pub(crate) async fn ready(
    State(app): State<&'static AppState>,
    Path(path): Path<Vec<String>>,
) -> Result<Response, ApiError> {
    let (_, model) = find_model(app, &path)?;
    let ready = model.predict_typical_row().is_ok() && !app.is_draining();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(json_response(status, json!({"name": model.name(), "ready": ready}).to_string()))
}

/// `POST /v2/models/{name}/infer`.
pub(crate) async fn infer(
    State(app): State<&'static AppState>,
    Path(path): Path<Vec<String>>,
    Extension(client): Extension<RequestClient>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (mut role, mut model) = find_model(app, &path)?;
    body::check_json(&headers, "")?;
    if path.len() == 1 {
        // no version is given
        let models = app.models.load();
        let (chosen, by) = models.route(&app.traffic_split, &headers, current_request_id(&headers))?;
        (role, model) = (chosen, by.clone());
    }
    let body = body::collect(body).await?;
    let cost = memory_budget::tensors_cost(body.len() as u64, app.limits.rows, model.row_schema.fields.len());
    let memory = app.permits.reserve(cost, client.address).await?;
    let request_id = current_request_id(&headers).to_owned();
    process_batch(app, memory, move |work| render_inference(app, &model, role, body, &request_id, work)).await
}

/// The model that a path names: the champion, or the model with the given version.
fn find_model(app: &AppState, path: &[String]) -> Result<(Role, Arc<DeployedModel>), ApiError> {
    let models = app.models.load();
    let not_found = |what: String| Err(ApiError::new(StatusCode::NOT_FOUND, what));
    let (champion, challenger) = (&models.champion, models.challenger.as_ref());
    match path {
        [name] if name == champion.name() => Ok((Role::Champion, champion.clone())),
        [name, version] => {
            let all = [Some((Role::Champion, champion)), challenger.map(|model| (Role::Challenger, model))];
            let named = |(_, model): &(Role, &Arc<DeployedModel>)| model.name() == name && model.info.version == *version;
            match all.into_iter().flatten().find(named) {
                Some((role, model)) => Ok((role, model.clone())),
                None => not_found(format!("this server has no version \"{version}\" of \"{name}\"")),
            }
        }
        [name, ..] => not_found(format!("this server has no model \"{name}\"; it has \"{}\"", champion.name())),
        [] => not_found("the path names no model".into()),
    }
}

/// The names of the outputs: the prediction, and the ends of its interval if the model has intervals.
pub(crate) fn output_names(model: &LoadedModel) -> Vec<String> {
    let target = model.target();
    let interval = model.predictor.model().file().interval.is_some();
    let bounds = ["low", "high"].map(|end| format!("{target}_{end}")).into_iter().filter(|_| interval);
    [target.to_owned()].into_iter().chain(bounds).collect()
}

fn render_inference(
    app: &AppState,
    model: &LoadedModel,
    role: Role,
    body: Bytes,
    request_id: &str,
    work: &Work,
) -> Result<SpooledBody, ApiError> {
    let known = output_names(model);
    let tensors = read_tensors(TensorLimits { fields: &model.row_schema, outputs: &known, rows: app.limits.rows }, &body)?;
    drop(body);
    let sent = model.row_schema.fields.iter().zip(&tensors.columns).filter(|(_, column)| column.is_some());
    let names: Vec<&str> = sent.map(|(field, _)| field.name()).collect();
    Header::find(&model.row_schema, &names).map_err(ApiError::bad_request)?;
    let predictions = predict_rows(app, model, &tensors, work)?;
    app.metrics.record_predictions(role, tensors.rows as u64, Duration::ZERO);
    let mut answer = SpooledBody::new(app.limits.stream);
    write_response(&mut answer, model, &tensors, &known, &predictions, request_id)
        .map_err(|error| spooled_body::storage_error(app, &error))?;
    Ok(answer)
}

/// Writes the response.
fn write_response(
    body: &mut SpooledBody,
    model: &LoadedModel,
    tensors: &Tensors,
    known: &[String],
    predictions: &[Prediction],
    request_id: &str,
) -> io::Result<()> {
    let id = json!(tensors.id.as_deref().unwrap_or(request_id));
    let (name, version) = (json!(model.name()), json!(model.info.version));
    write!(body, "{{\"id\":{id},\"model_name\":{name},\"model_version\":{version},\"outputs\":[")?;
    let target = [model.target().to_owned()];
    let wanted = if tensors.outputs.is_empty() { &target[..] } else { &tensors.outputs };
    for (place, output) in wanted.iter().enumerate() {
        let of = |prediction: &Prediction| match known.iter().position(|known| known == output) {
            Some(1) => prediction.interval.map_or(f64::NAN, |(low, _)| low),
            Some(2) => prediction.interval.map_or(f64::NAN, |(_, high)| high),
            _ => prediction.value,
        };
        body.write_all(if place > 0 { &b",{\"data\":["[..] } else { b"{\"data\":[" })?;
        for (part, predictions) in predictions.chunks(NUMBERS_PER_CHUNK).enumerate() {
            let mut text = Vec::with_capacity(predictions.len() * 20);
            for (row, prediction) in predictions.iter().enumerate() {
                if part + row > 0 {
                    text.push(b',');
                }
                push_number(&mut text, of(prediction));
            }
            body.push(text)?;
        }
        write!(body, "],\"datatype\":\"FP64\",\"name\":{},\"shape\":[{}]}}", json!(output), tensors.rows)?;
    }
    body.write_all(b"]}")
}

/// Predicts all rows, one block of tasks after the other.
fn predict_rows(app: &AppState, model: &LoadedModel, tensors: &Tensors, work: &Work) -> Result<Vec<Prediction>, ApiError> {
    let per_task = rows_per_task(model.row_schema.fields.len());
    let tasks: Vec<Range<usize>> =
        (0..tensors.rows).step_by(per_task).map(|first| first..tensors.rows.min(first + per_task)).collect();
    let (mut predictions, mut errors) = (Vec::with_capacity(tensors.rows), RowErrors::default());
    for block in tasks.chunks(tasks_per_block()) {
        let permit = work.begin_block().map_err(|_| request_ended())?;
        let wanted = errors.wanted(OutputDetail::Details);
        let task = |rows: &Range<usize>| {
            let values: Vec<Vec<RawValue>> = rows
                .clone()
                .map(|row| {
                    let columns = tensors.columns.iter();
                    columns.map(|column| column.as_ref().map_or(RawValue::Absent, |column| column.value(row))).collect()
                })
                .collect();
            let values = values.iter().map(|values| (values.as_slice(), &[][..]));
            let (validated, predictions) = validate_and_predict(app, model, values, wanted)?;
            model.count_many(
                validated.iter().zip(&predictions).map(|(cells, prediction)| (cells.as_slice(), prediction.value)),
            );
            Ok(predictions)
        };
        let parts: Vec<Result<Vec<Prediction>, RowErrors>> = block.par_iter().map(task).collect();
        for (rows, part) in block.iter().zip(parts) {
            match part {
                Ok(part) => predictions.extend(part),
                Err(part_errors) => errors.append(part_errors, rows.start),
            }
        }
        drop(permit);
    }
    errors.check()?;
    Ok(predictions)
}
