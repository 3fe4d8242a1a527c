//! Converts the record of a run to an MLflow run.

use std::path::Path;

use artifact::RunRecord;
use schema::{TEST, TRAIN};
use tracking::{Metric, PARENT_TAG, RESUMED_TAG, Run};

use crate::config::Config;

/// Our name of a metric, MLflow's name, and how its value is computed from ours.
type MetricName = (&'static str, &'static str, fn(f64) -> f64);
/// The names that MLflow's own logging gives our metrics, so that MLflow compares runs of scikit-learn with ours:
/// `mlflow.sklearn.autolog` for training rows, `mlflow.models.evaluate` for test rows.
const MLFLOW_METRICS: [MetricName; 10] = [
    ("train_mae", "training_mean_absolute_error", identity),
    ("train_rmse", "training_root_mean_squared_error", identity),
    ("train_rmse", "training_mean_squared_error", squared),
    ("train_r2", "training_r2_score", identity),
    ("train_r2", "training_score", identity),
    ("mae", "mean_absolute_error", identity),
    ("rmse", "root_mean_squared_error", identity),
    ("rmse", "mean_squared_error", squared),
    ("r2", "r2_score", identity),
    ("mape", "mean_absolute_percentage_error", identity),
];

/// The names that MLflow's own logging gives our metric `key`.
pub(crate) fn mlflow_names(key: &str) -> impl Iterator<Item = &'static str> {
    // without metrics of another value, such as the squared error
    let is_same = move |(ours, _, convert): &&MetricName| *ours == key && convert(2.0) == 2.0;
    MLFLOW_METRICS.iter().filter(is_same).map(|(_, mlflow, _)| *mlflow)
}

fn identity(value: f64) -> f64 {
    value
}

fn squared(value: f64) -> f64 {
    value * value
}

/// The run in `record`, in the configured experiment and below the configured parent run.
pub(crate) fn mlflow_run(config: &Config, record: &RunRecord) -> Run {
    let mut run = Run::from_record(record);
    run.experiment.clone_from(&config.experiment);
    if let Some(parent) = &config.parent {
        run.tags.insert(PARENT_TAG.into(), parent.clone());
    }
    if config.resumed.is_some() {
        run.tags.insert(RESUMED_TAG.into(), "true".into());
    }
    let mlflow_metrics: Vec<Metric> = MLFLOW_METRICS
        .iter()
        .filter_map(|(ours, mlflow_name, convert)| {
            let metric = run.metrics.iter().find(|metric| metric.key == *ours && metric.step == 0)?;
            Some(Metric { key: (*mlflow_name).into(), value: convert(metric.value), ..metric.clone() })
        })
        .collect();
    run.metrics.extend(mlflow_metrics);
    run
}

/// The record with the absolute path `data` of the featured table: a store can be read from any folder, the record beside the model
/// only from its own.
pub(crate) fn with_absolute_source(record: &RunRecord, data: &Path) -> RunRecord {
    let mut record = record.clone();
    let path = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    record.datasets.iter_mut().for_each(|dataset| dataset.source.path.clone_from(&path));
    record
}

/// Links each metric with the model and the dataset that it belongs to.
pub(crate) fn link(run: &mut Run, model_id: &str) {
    let dataset = |context: &str| {
        let matching = run.datasets.iter().find(|dataset| dataset.name.ends_with(&format!(":{context}")));
        matching.map(|dataset| (dataset.name.clone(), dataset.digest.clone()))
    };
    let (train, test) = (dataset(TRAIN), dataset(TEST));
    for metric in &mut run.metrics {
        let key = metric.key.as_str();
        let dataset_of_metric = if key.starts_with("train_") || key.starts_with("training_") {
            &train
        } else if model::METRIC_NAMES.contains(&key) || MLFLOW_METRICS.iter().any(|(_, mlflow_name, _)| *mlflow_name == key)
        {
            &test
        } else {
            // folds and baselines belong to other models
            continue;
        };
        metric.model_id = Some(model_id.to_owned());
        metric.dataset.clone_from(dataset_of_metric);
    }
}
