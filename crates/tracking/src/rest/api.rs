//! Calls of MLflow's REST API for runs and logged models.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::{Serialize, Serializer};
use serde_json::json;

use crate::{
    entities::run::{LoggedModel, Metric, Run, RunDataset, Status},
    error::TrackingError,
    rest::{
        connection::{Request, ServerConnection},
        responses::{
            Experiment, ExperimentResponse, ModelOutput, RemoteModel, RemoteRun, RunResponse, SearchPage, key_values,
        },
    },
};

/// A metric in a request. JSON has no NaN; MLflow accepts its name.
#[derive(Serialize)]
struct MetricBody<'a> {
    key: &'a str,
    #[serde(serialize_with = "number")]
    value: f64,
    timestamp: i64,
    step: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dataset_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dataset_digest: Option<&'a str>,
}

fn number<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    match *value {
        value if value.is_finite() => serializer.serialize_f64(value),
        value if value.is_nan() => serializer.serialize_str("NaN"),
        value if value > 0.0 => serializer.serialize_str("Infinity"),
        _ => serializer.serialize_str("-Infinity"),
    }
}

/// `model_ids` maps our ids of models to those of the server.
fn bodies<'a>(metric: &'a Metric, model_ids: &'a BTreeMap<String, String>) -> MetricBody<'a> {
    MetricBody {
        key: &metric.key,
        value: metric.value,
        timestamp: metric.timestamp,
        step: metric.step,
        model_id: metric.model_id.as_ref().and_then(|id| model_ids.get(id)).map(String::as_str),
        dataset_name: metric.dataset.as_ref().map(|(name, _)| name.as_str()),
        dataset_digest: metric.dataset.as_ref().map(|(_, digest)| digest.as_str()),
    }
}

/// Limits of MLflow for one call.
const MAX_METRICS_PER_CALL: usize = 1000;
const MAX_PARAMS_PER_CALL: usize = 100;
const MAX_TAGS_PER_CALL: usize = 100;
/// The limit of MLflow for all entities of one call.
const MAX_ENTITIES_PER_CALL: usize = 1000;

/// Logs parameters, tags and metrics, in as few calls as the limits allow.
pub(super) fn log_batch(
    connection: &ServerConnection,
    run_id: &str,
    params: &[(String, String)],
    tags: &BTreeMap<String, String>,
    metrics: &[Metric],
    model_ids: &BTreeMap<String, String>,
) -> Result<(), TrackingError> {
    let params = key_values(params.iter().map(|(key, value)| (key, value)));
    let tags = key_values(tags);
    let bodies: Vec<MetricBody> = metrics.iter().map(|metric| bodies(metric, model_ids)).collect();
    let (mut params, mut tags, mut bodies) = (params.as_slice(), tags.as_slice(), bodies.as_slice());
    loop {
        let (these_params, more_params) = params.split_at(params.len().min(MAX_PARAMS_PER_CALL));
        let (these_tags, more_tags) = tags.split_at(tags.len().min(MAX_TAGS_PER_CALL));
        let capacity = MAX_METRICS_PER_CALL.min(MAX_ENTITIES_PER_CALL - these_params.len() - these_tags.len());
        let (these, more) = bodies.split_at(bodies.len().min(capacity));
        let body = json!({"run_id": run_id, "params": these_params, "tags": these_tags, "metrics": these});
        connection.send(&Request::post("logging parameters, metrics and tags", "runs/log-batch", &body))?;
        (params, tags, bodies) = (more_params, more_tags, more);
        if params.is_empty() && tags.is_empty() && bodies.is_empty() {
            return Ok(());
        }
    }
}

/// Logs metrics of a running run, in one call without retries.
pub(super) fn log_metrics_once(
    connection: &ServerConnection,
    run_id: &str,
    metrics: &[Metric],
) -> Result<(), TrackingError> {
    let none = BTreeMap::new();
    let bodies: Vec<MetricBody> = metrics.iter().take(MAX_METRICS_PER_CALL).map(|metric| bodies(metric, &none)).collect();
    let body = json!({"run_id": run_id, "metrics": bodies});
    let request = Request::post("logging metrics", "runs/log-batch", &body);
    connection.send(&Request { retries: Some(0), ..request })
}

/// The experiment called `name`, even if it was deleted.
pub(super) fn get_experiment(connection: &ServerConnection, name: &str) -> Result<Experiment, TrackingError> {
    let get = Request::get("finding the experiment", "experiments/get-by-name", vec![("experiment_name", name.to_owned())]);
    connection.call::<ExperimentResponse>(&get).map(|response| response.experiment)
}

/// The id of the experiment called `name`, which is created if it does not exist.
pub(super) fn experiment(connection: &ServerConnection, name: &str) -> Result<String, TrackingError> {
    for _ in 0..2 {
        match get_experiment(connection, name) {
            Ok(experiment) if experiment.lifecycle_stage == "deleted" => {
                return Err(TrackingError::DeletedExperiment {
                    store: connection.base().to_owned(),
                    name: name.to_owned(),
                    id: experiment.experiment_id,
                });
            }
            Ok(experiment) => return Ok(experiment.experiment_id),
            Err(error) if error.code() == Some("RESOURCE_DOES_NOT_EXIST") => {}
            Err(error) => return Err(error),
        }
        let create = Request::post("creating the experiment", "experiments/create", &json!({ "name": name }));
        match connection.call::<Experiment>(&create) {
            Ok(created) => return Ok(created.experiment_id),
            // created by another program, or by an attempt whose response was lost
            Err(error) if error.code() == Some("RESOURCE_ALREADY_EXISTS") => {}
            Err(error) => return Err(error),
        }
    }
    get_experiment(connection, name).map(|experiment| experiment.experiment_id)
}

/// All pages of a search whose request is `body` sent to `path`.
pub(super) fn search(
    connection: &ServerConnection,
    what: &'static str,
    path: &str,
    body: &serde_json::Value,
    take: &mut dyn FnMut(SearchPage) -> bool,
) -> Result<(), TrackingError> {
    let mut body = body.clone();
    loop {
        let page: SearchPage = connection.call(&Request::post(what, path, &body))?;
        let next = page.next_page_token.clone();
        if !take(page) || next.is_empty() {
            return Ok(());
        }
        body["page_token"] = next.into();
    }
}

/// The runs of an experiment with this tag, except deleted ones.
pub(super) fn runs_with_tag(
    connection: &ServerConnection,
    experiment: &str,
    tag: &str,
    value: &str,
) -> Result<Vec<RemoteRun>, TrackingError> {
    let body = json!({
        "experiment_ids": [experiment],
        "filter": format!("tags.`{tag}` = '{value}'"),
        "run_view_type": "ACTIVE_ONLY",
        "max_results": 100,
        "order_by": ["attributes.start_time ASC"],
    });
    let mut results = Vec::new();
    search(connection, "finding the run", "runs/search", &body, &mut |page| {
        results.extend(page.runs);
        true
    })?;
    Ok(results)
}

/// The logged models of an experiment with this tag.
pub(super) fn models_with_tag(
    connection: &ServerConnection,
    experiment: &str,
    tag: &str,
    value: &str,
) -> Result<Vec<RemoteModel>, TrackingError> {
    let body = json!({"experiment_ids": [experiment], "filter": format!("tags.`{tag}` = '{value}'"), "max_results": 50});
    let mut results = Vec::new();
    search(connection, "finding the logged model", "logged-models/search", &body, &mut |page| {
        results.extend(page.models);
        true
    })?;
    Ok(results)
}

/// The request that creates `run`.
pub(super) fn create_run(experiment: &str, run: &Run, tags: &BTreeMap<String, String>) -> Request {
    Request::post(
        "creating the run",
        "runs/create",
        &json!({
            "experiment_id": experiment,
            "user_id": run.user,
            "run_name": run.run_name,
            "start_time": run.start_time,
            "tags": key_values(tags),
        }),
    )
}

/// The request that sets the status of a run.
pub(super) fn update_run(run_id: &str, status: Status, end_time: Option<i64>) -> Request {
    let mut body = json!({"run_id": run_id, "status": status.name()});
    if let Some(end) = end_time {
        body["end_time"] = end.into();
    }
    Request::post("ending the run", "runs/update", &body)
}

/// The request that creates a logged model.
pub(super) fn create_model(experiment: &str, run_id: &str, model: &LoggedModel, tags: &BTreeMap<String, String>) -> Request {
    let params = key_values(model.params.iter().map(|(key, value)| (key, value)));
    Request::post(
        "creating the logged model",
        "logged-models",
        &json!({
            "experiment_id": experiment,
            "name": model.name,
            "model_type": model.model_type,
            "source_run_id": run_id,
            "params": params,
            "tags": key_values(tags),
        }),
    )
}

/// The request that marks a logged model as complete.
pub(super) fn finish_model(model_id: &str) -> Request {
    let body = json!({"model_id": model_id, "status": "LOGGED_MODEL_READY"});
    Request::json("finishing the logged model", Method::PATCH, &format!("logged-models/{model_id}"), &body)
}

/// Logs the datasets of a run.
pub(super) fn log_inputs(connection: &ServerConnection, run_id: &str, datasets: &[RunDataset]) -> Result<(), TrackingError> {
    #[derive(Serialize)]
    struct DatasetBody<'a> {
        name: &'a str,
        digest: &'a str,
        source_type: &'a str,
        source: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        schema: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        profile: Option<&'a str>,
    }
    let input = |dataset: &RunDataset| {
        let bodies = DatasetBody {
            name: &dataset.name,
            digest: &dataset.digest,
            source_type: &dataset.source_type,
            source: &dataset.source,
            schema: dataset.schema.as_deref(),
            profile: dataset.profile.as_deref(),
        };
        json!({"tags": key_values(&dataset.tags), "dataset": bodies})
    };
    let datasets: Vec<serde_json::Value> = datasets.iter().map(input).collect();
    let body = json!({"run_id": run_id, "datasets": datasets});
    connection.send(&Request::post("logging the datasets", "runs/log-inputs", &body))
}

/// Links the models of a run. MLflow rejects a second link of a model; here it is no error.
pub(super) fn log_outputs(
    connection: &ServerConnection,
    run_id: &str,
    outputs: &[ModelOutput],
) -> Result<(), TrackingError> {
    let body = json!({"run_id": run_id, "models": outputs});
    match connection.send(&Request::post("linking the logged model", "runs/outputs", &body)) {
        Err(error) if error.code() == Some("BAD_REQUEST") => {
            let linked = run(connection, run_id)?.outputs.model_outputs;
            let all = outputs.iter().all(|output| linked.iter().any(|known| known.model_id == output.model_id));
            if all { Ok(()) } else { Err(error) }
        }
        other => other,
    }
}

/// The run with this id.
pub(super) fn run(connection: &ServerConnection, run_id: &str) -> Result<RemoteRun, TrackingError> {
    let get = Request::get("reading the run", "runs/get", vec![("run_id", run_id.to_owned())]);
    connection.call::<RunResponse>(&get).map(|response| response.run)
}
