//! The Open Inference Protocol, version 2, over HTTP (<https://github.com/kserve/open-inference-protocol>): what KServe's clients speak.
//!
//! A column is a tensor of the shape `[rows]` or `[rows, 1]`. Besides the prediction a request may ask for the ends of its interval.

use std::{borrow::Cow, sync::Arc};

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use predictor::Prediction;
use schema::ColumnType;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    app::{App, Role, Shared},
    batch::predict_checked,
    body,
    connection::Held,
    csv_rows::Header,
    engine::Engine,
    fields::Given,
    predict::{failed, id_of},
    refusal::{Refusal, json_response},
};

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    inputs: Vec<Tensor<'a>>,
    #[serde(borrow, default)]
    outputs: Option<Vec<Wanted<'a>>>,
}

#[derive(Deserialize)]
struct Tensor<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    shape: Vec<usize>,
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    data: Vec<Value>,
}

#[derive(Deserialize)]
struct Wanted<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// `GET /v2`.
pub(crate) async fn server() -> Response {
    let told = json!({"name": "serve", "version": env!("CARGO_PKG_VERSION"), "extensions": []});
    json_response(StatusCode::OK, told.to_string())
}

/// `GET /v2/models/{name}`.
pub(crate) async fn metadata(State(app): State<Shared>, Path(path): Path<Vec<String>>) -> Result<Response, Refusal> {
    let (_, engine) = engine_of(app, &path)?;
    let inputs: Vec<Value> = engine
        .fields
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
        "versions": [engine.about.version],
        "platform": "house_price_predictor",
        "inputs": inputs,
        "outputs": outputs,
    });
    Ok(json_response(StatusCode::OK, told.to_string()))
}

/// `GET /v2/models/{name}/ready`.
pub(crate) async fn ready(State(app): State<Shared>, Path(path): Path<Vec<String>>) -> Result<Response, Refusal> {
    let (_, engine) = engine_of(app, &path)?;
    let ready = engine.canary().is_ok() && !app.is_draining();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(json_response(status, json!({"name": engine.name(), "ready": ready}).to_string()))
}

/// `POST /v2/models/{name}/infer`.
pub(crate) async fn infer(
    State(app): State<Shared>,
    Path(path): Path<Vec<String>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let (mut role, mut engine) = engine_of(app, &path)?;
    body::check_json(&headers, "")?;
    if path.len() == 1 {
        // no version is named
        let models = app.models.load();
        let (chosen, by) = app.choose(&models, &headers, id_of(&headers))?;
        (role, engine) = (chosen, by.clone());
    }
    let body = body::whole(body).await?;
    let turn = app.turn().await?;
    let request_id = id_of(&headers).to_owned();
    let work = tokio::task::spawn_blocking(move || {
        let done = answer(app, &engine, role, &body, &request_id);
        (done, turn)
    });
    let (done, turn) = work.await.map_err(|_| failed())?;
    let mut response = json_response(StatusCode::OK, done?);
    Held::attach(&mut response, turn);
    Ok(response)
}

/// The model that a path names: the champion, or the one of the version that is named, too.
fn engine_of(app: &App, path: &[String]) -> Result<(Role, Arc<Engine>), Refusal> {
    let models = app.models.load();
    let absent = |what: String| Err(Refusal::new(StatusCode::NOT_FOUND, what));
    let (champion, challenger) = (&models.champion, models.challenger.as_ref());
    match path {
        [name] if name == champion.name() => Ok((Role::Champion, champion.clone())),
        [name, version] => {
            let all = [Some((Role::Champion, champion)), challenger.map(|engine| (Role::Challenger, engine))];
            let named = |(_, engine): &(Role, &Arc<Engine>)| engine.name() == name && engine.about.version == *version;
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
pub(crate) fn output_names(engine: &Engine) -> Vec<String> {
    let target = engine.target();
    let interval = engine.predictor.model().file().interval.is_some();
    let bounds = ["low", "high"].map(|end| format!("{target}_{end}")).into_iter().filter(|_| interval);
    [target.to_owned()].into_iter().chain(bounds).collect()
}

fn answer(app: &App, engine: &Engine, role: Role, body: &[u8], request_id: &str) -> Result<String, Refusal> {
    let request: Request =
        serde_json::from_slice(body).map_err(|error| Refusal::bad_request(format!("the body is not a request: {error}")))?;
    let rows = check_tensors(engine, &request)?;
    if rows > app.limits.rows {
        let message = format!("{rows} rows are more than the {} that a request may have", app.limits.rows);
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    let names: Vec<&str> = request.inputs.iter().map(|tensor| tensor.name.as_ref()).collect();
    let header = Header::find(&engine.fields, &names).map_err(Refusal::bad_request)?;
    let known = output_names(engine);
    let wanted: Vec<&str> = match &request.outputs {
        Some(outputs) if !outputs.is_empty() => outputs.iter().map(|wanted| wanted.name.as_ref()).collect(),
        _ => vec![engine.target()],
    };
    if let Some(other) = wanted.iter().find(|name| !known.iter().any(|known| known == *name)) {
        return Err(Refusal::bad_request(format!("there is no output \"{other}\"; there are {}", known.join(", "))));
    }
    let predictions = predict(app, engine, role, &request, &header, rows)?;
    let column = |of: &dyn Fn(&Prediction) -> f64| predictions.iter().map(of).collect::<Vec<f64>>();
    let outputs: Vec<Value> = wanted
        .iter()
        .map(|name| {
            let data = match known.iter().position(|known| known == name) {
                Some(1) => column(&|prediction| prediction.interval.map_or(f64::NAN, |(low, _)| low)),
                Some(2) => column(&|prediction| prediction.interval.map_or(f64::NAN, |(_, high)| high)),
                _ => column(&|prediction| prediction.value),
            };
            json!({"name": name, "datatype": "FP64", "shape": [rows], "data": data})
        })
        .collect();
    let id = request.id.as_deref().unwrap_or(request_id);
    Ok(json!({
        "model_name": engine.name(),
        "model_version": engine.about.version,
        "id": id,
        "outputs": outputs,
    })
    .to_string())
}

fn predict(
    app: &App,
    engine: &Engine,
    role: Role,
    request: &Request,
    header: &Header,
    rows: usize,
) -> Result<Vec<Prediction>, Refusal> {
    let given: Vec<Vec<Given>> =
        (0..rows).map(|row| header.given(|place| value(&request.inputs[place].data[row]))).collect();
    let rows_given = given.iter().map(|given| (given.as_slice(), &[][..]));
    let (judged, predictions) =
        predict_checked(app, engine, rows_given, true).map_err(|(faults, found)| Refusal::some_faults(faults, found))?;
    engine.count_many(judged.iter().zip(&predictions).map(|(cells, prediction)| (cells.as_slice(), prediction.value)));
    app.metrics.predicted(role, rows as u64, std::time::Duration::ZERO);
    Ok(predictions)
}

/// That all tensors are columns of one length; returns it.
fn check_tensors(engine: &Engine, request: &Request) -> Result<usize, Refusal> {
    let mut rows = None;
    for tensor in &request.inputs {
        let name = &tensor.name;
        let fault = |message: String| Err(Refusal::bad_request(format!("inputs: \"{name}\": {message}")));
        let Some(place) = engine.fields.place(name) else {
            if engine.fields.is_unused(name) {
                continue;
            }
            return fault(engine.fields.unknown(name, Value::Null).message);
        };
        let wanted = rows.unwrap_or(tensor.data.len());
        rows = Some(wanted);
        if tensor.shape != [wanted] && tensor.shape != [wanted, 1] {
            return fault(format!(
                "the shape is {:?}; a column of {wanted} rows has [{wanted}] or [{wanted}, 1]",
                tensor.shape
            ));
        }
        if tensor.data.len() != wanted {
            return fault(format!("has {} values where the shape says {wanted}", tensor.data.len()));
        }
        let numeric = matches!(
            tensor.datatype.as_ref(),
            "FP64" | "FP32" | "FP16" | "INT64" | "INT32" | "INT16" | "INT8" | "UINT64" | "UINT32" | "UINT16" | "UINT8"
        );
        let category = engine.fields.fields[place].column.spec.kind == ColumnType::Category;
        if tensor.datatype != "BYTES" && (!numeric || category) {
            let fitting = if category { "BYTES" } else { "FP64, FP32, INT64, INT32 or BYTES" };
            return fault(format!("is of the datatype {}; send {fitting}", tensor.datatype));
        }
    }
    rows.ok_or_else(|| Refusal::bad_request("inputs: none of the model's columns is there"))
}

fn value(value: &Value) -> Given<'_> {
    match value {
        Value::Null => Given::Null,
        Value::Number(number) => number.as_f64().map_or(Given::Other("a number"), Given::Number),
        Value::String(text) => Given::Text(Cow::Borrowed(text)),
        Value::Bool(true) => Given::Other("true"),
        Value::Bool(false) => Given::Other("false"),
        Value::Array(_) => Given::Other("a list"),
        Value::Object(_) => Given::Other("an object"),
    }
}
