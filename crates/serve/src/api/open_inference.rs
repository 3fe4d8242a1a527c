//! The Open Inference Protocol, version 2, over HTTP (<https://github.com/kserve/open-inference-protocol>): what KServe's clients speak.
//!
//! A column is a tensor of the shape `[rows]` or `[rows, 1]`. Besides the prediction a request may ask for the ends of its interval.

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
    admission::{memory_budget, unfinished_bodies::Sender, work::Work},
    api::{
        batch::{Faults, Wanted, abandoned, answer_batch, predict_checked},
        tensors::{TensorLimits, Tensors, read_tensors},
    },
    http::{
        body,
        error::{ApiError, json_response},
        request_id::id_of,
        spooled_body::{self, Spool},
    },
    models::{load::DeployedModel, role::Role},
    state::AppState,
};

/// Numbers that are written at a time.
const WRITTEN: usize = 4096;

/// `GET /v2`.
pub(crate) async fn server() -> Response {
    let told = json!({"name": "serve", "version": env!("CARGO_PKG_VERSION"), "extensions": []});
    json_response(StatusCode::OK, told.to_string())
}

/// `GET /v2/models/{name}`.
pub(crate) async fn metadata(
    State(app): State<&'static AppState>,
    Path(path): Path<Vec<String>>,
) -> Result<Response, ApiError> {
    let (_, engine) = engine_of(app, &path)?;
    let inputs: Vec<Value> = engine
        .row_schema
        .fields
        .iter()
        .map(|field| {
            let numeric = field.column.spec.kind.is_number();
            json!({"name": field.name(), "datatype": if numeric { "FP64" } else { "BYTES" }, "shape": [-1]})
        })
        .collect();
    let outputs: Vec<Value> =
        output_names(&engine).iter().map(|name| json!({"name": name, "datatype": "FP64", "shape": [-1]})).collect();
    let told = json!({
        "name": engine.name(),
        "versions": [engine.info.version],
        "platform": "house_price_predictor",
        "inputs": inputs,
        "outputs": outputs,
    });
    Ok(json_response(StatusCode::OK, told.to_string()))
}

/// `GET /v2/models/{name}/ready`.
pub(crate) async fn ready(
    State(app): State<&'static AppState>,
    Path(path): Path<Vec<String>>,
) -> Result<Response, ApiError> {
    let (_, engine) = engine_of(app, &path)?;
    let ready = engine.predict_typical_row().is_ok() && !app.is_draining();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(json_response(status, json!({"name": engine.name(), "ready": ready}).to_string()))
}

/// `POST /v2/models/{name}/infer`.
pub(crate) async fn infer(
    State(app): State<&'static AppState>,
    Path(path): Path<Vec<String>>,
    Extension(sender): Extension<Sender>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (mut role, mut engine) = engine_of(app, &path)?;
    body::check_json(&headers, "")?;
    if path.len() == 1 {
        // no version is named
        let models = app.models.load();
        let (chosen, by) = models.route(&app.traffic_split, &headers, id_of(&headers))?;
        (role, engine) = (chosen, by.clone());
    }
    let body = body::whole(body).await?;
    let cost = memory_budget::tensors_cost(body.len() as u64, app.limits.rows, engine.row_schema.fields.len());
    let memory = app.permits.reserve(cost, sender.address).await?;
    let request_id = id_of(&headers).to_owned();
    answer_batch(app, memory, move |work| answer(app, &engine, role, body, &request_id, work)).await
}

/// The model that a path names: the champion, or the one of the version that is named, too.
fn engine_of(app: &AppState, path: &[String]) -> Result<(Role, Arc<DeployedModel>), ApiError> {
    let models = app.models.load();
    let absent = |what: String| Err(ApiError::new(StatusCode::NOT_FOUND, what));
    let (champion, challenger) = (&models.champion, models.challenger.as_ref());
    match path {
        [name] if name == champion.name() => Ok((Role::Champion, champion.clone())),
        [name, version] => {
            let all = [Some((Role::Champion, champion)), challenger.map(|engine| (Role::Challenger, engine))];
            let named = |(_, engine): &(Role, &Arc<DeployedModel>)| engine.name() == name && engine.info.version == *version;
            match all.into_iter().flatten().find(named) {
                Some((role, engine)) => Ok((role, engine.clone())),
                None => absent(format!("there is no version \"{version}\" of \"{name}\" here")),
            }
        }
        [name, ..] => absent(format!("there is no model \"{name}\" here; there is \"{}\"", champion.name())),
        [] => absent("no model is named".into()),
    }
}

/// What can be asked for: the prediction, and the ends of its interval where there is one.
pub(crate) fn output_names(engine: &LoadedModel) -> Vec<String> {
    let target = engine.target();
    let interval = engine.predictor.model().file().interval.is_some();
    let bounds = ["low", "high"].map(|end| format!("{target}_{end}")).into_iter().filter(|_| interval);
    [target.to_owned()].into_iter().chain(bounds).collect()
}

fn answer(
    app: &AppState,
    engine: &LoadedModel,
    role: Role,
    body: Bytes,
    request_id: &str,
    work: &Work,
) -> Result<Spool, ApiError> {
    let known = output_names(engine);
    let tensors = read_tensors(TensorLimits { fields: &engine.row_schema, outputs: &known, rows: app.limits.rows }, &body)?;
    drop(body);
    let came = engine.row_schema.fields.iter().zip(&tensors.columns).filter(|(_, column)| column.is_some());
    let names: Vec<&str> = came.map(|(field, _)| field.name()).collect();
    Header::find(&engine.row_schema, &names).map_err(ApiError::bad_request)?;
    let predictions = predict(app, engine, &tensors, work)?;
    app.metrics.predicted(role, tensors.rows as u64, Duration::ZERO);
    let mut answer = Spool::new(app.limits.stream);
    write(&mut answer, engine, &tensors, &known, &predictions, request_id)
        .map_err(|error| spooled_body::refuse(app, &error))?;
    Ok(answer)
}

/// Writes the answer.
fn write(
    answer: &mut Spool,
    engine: &LoadedModel,
    tensors: &Tensors,
    known: &[String],
    predictions: &[Prediction],
    request_id: &str,
) -> io::Result<()> {
    let id = json!(tensors.id.as_deref().unwrap_or(request_id));
    let (name, version) = (json!(engine.name()), json!(engine.info.version));
    write!(answer, "{{\"id\":{id},\"model_name\":{name},\"model_version\":{version},\"outputs\":[")?;
    let target = [engine.target().to_owned()];
    let wanted = if tensors.outputs.is_empty() { &target[..] } else { &tensors.outputs };
    for (place, output) in wanted.iter().enumerate() {
        let of = |prediction: &Prediction| match known.iter().position(|known| known == output) {
            Some(1) => prediction.interval.map_or(f64::NAN, |(low, _)| low),
            Some(2) => prediction.interval.map_or(f64::NAN, |(_, high)| high),
            _ => prediction.value,
        };
        answer.write_all(if place > 0 { &b",{\"data\":["[..] } else { b"{\"data\":[" })?;
        for (part, predictions) in predictions.chunks(WRITTEN).enumerate() {
            let mut text = Vec::with_capacity(predictions.len() * 20);
            for (row, prediction) in predictions.iter().enumerate() {
                if part + row > 0 {
                    text.push(b',');
                }
                push_number(&mut text, of(prediction));
            }
            answer.push(text)?;
        }
        write!(answer, "],\"datatype\":\"FP64\",\"name\":{},\"shape\":[{}]}}", json!(output), tensors.rows)?;
    }
    answer.write_all(b"]}")
}

/// Predicts all rows, a block of tasks after the other.
fn predict(app: &AppState, engine: &LoadedModel, tensors: &Tensors, work: &Work) -> Result<Vec<Prediction>, ApiError> {
    let per_task = rows_per_task(engine.row_schema.fields.len());
    let tasks: Vec<Range<usize>> =
        (0..tensors.rows).step_by(per_task).map(|first| first..tensors.rows.min(first + per_task)).collect();
    let (mut predictions, mut faults) = (Vec::with_capacity(tensors.rows), Faults::default());
    for block in tasks.chunks(tasks_per_block()) {
        let turn = work.begin_block().map_err(|_| abandoned())?;
        let wanted = faults.wanted(Wanted::Details);
        let task = |rows: &Range<usize>| {
            let given: Vec<Vec<RawValue>> = rows
                .clone()
                .map(|row| {
                    let columns = tensors.columns.iter();
                    columns.map(|column| column.as_ref().map_or(RawValue::Absent, |column| column.given(row))).collect()
                })
                .collect();
            let given = given.iter().map(|given| (given.as_slice(), &[][..]));
            let (judged, predictions) = predict_checked(app, engine, given, wanted)?;
            engine
                .count_many(judged.iter().zip(&predictions).map(|(cells, prediction)| (cells.as_slice(), prediction.value)));
            Ok(predictions)
        };
        let parts: Vec<Result<Vec<Prediction>, Faults>> = block.par_iter().map(task).collect();
        for (rows, part) in block.iter().zip(parts) {
            match part {
                Ok(part) => predictions.extend(part),
                Err(found) => faults.append(found, rows.start),
            }
        }
        drop(turn);
    }
    faults.check()?;
    Ok(predictions)
}
