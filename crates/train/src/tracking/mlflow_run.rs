//! What MLflow is told of a run, beyond what is in its record.

use artifact::RunRecord;
use schema::{TEST, TRAIN};
use tracking::{Metric, PARENT_TAG, RESUMED_TAG, Run};

use crate::config::Config;

/// The names that MLflow's own logging has for our figures, so that a run of scikit-learn stands beside ours in one table: those of
/// `mlflow.sklearn.autolog` for training rows, those of `mlflow.models.evaluate` for test rows. What is not a figure of ours is made of
/// one.
type Figure = (&'static str, &'static str, fn(f64) -> f64);
const NAMES: [Figure; 10] = [
    ("train_mae", "training_mean_absolute_error", same),
    ("train_rmse", "training_root_mean_squared_error", same),
    ("train_rmse", "training_mean_squared_error", squared),
    ("train_r2", "training_r2_score", same),
    ("train_r2", "training_score", same),
    ("mae", "mean_absolute_error", same),
    ("rmse", "root_mean_squared_error", same),
    ("rmse", "mean_squared_error", squared),
    ("r2", "r2_score", same),
    ("mape", "mean_absolute_percentage_error", same),
];

/// What MLflow's own logging calls the figure that we call `key`.
pub(crate) fn mlflow_names(key: &str) -> impl Iterator<Item = &'static str> {
    // not what is made of it
    let is_it = move |(ours, _, of): &&Figure| *ours == key && of(2.0) == 2.0;
    NAMES.iter().filter(is_it).map(|(_, theirs, _)| *theirs)
}

fn same(value: f64) -> f64 {
    value
}

fn squared(value: f64) -> f64 {
    value * value
}

/// The run in `record`, in the experiment and under the run that the configuration says.
pub(crate) fn told(config: &Config, record: &RunRecord) -> Run {
    let mut run = Run::from_record(record);
    run.experiment.clone_from(&config.experiment);
    if let Some(parent) = &config.parent {
        run.tags.insert(PARENT_TAG.into(), parent.clone());
    }
    if config.resumed.is_some() {
        run.tags.insert(RESUMED_TAG.into(), "true".into());
    }
    let named: Vec<Metric> = NAMES
        .iter()
        .filter_map(|(ours, theirs, of)| {
            let metric = run.metrics.iter().find(|metric| metric.key == *ours && metric.step == 0)?;
            Some(Metric { key: (*theirs).into(), value: of(metric.value), ..metric.clone() })
        })
        .collect();
    run.metrics.extend(named);
    run
}

/// Says of which model, and on which dataset, each figure was measured.
pub(crate) fn link(run: &mut Run, model_id: &str) {
    let dataset = |context: &str| {
        let found = run.datasets.iter().find(|dataset| dataset.name.ends_with(&format!(":{context}")));
        found.map(|dataset| (dataset.name.clone(), dataset.digest.clone()))
    };
    let (train, test) = (dataset(TRAIN), dataset(TEST));
    for metric in &mut run.metrics {
        let key = metric.key.as_str();
        let on = if key.starts_with("train_") || key.starts_with("training_") {
            &train
        } else if model::METRIC_NAMES.contains(&key) || NAMES.iter().any(|(_, theirs, _)| *theirs == key) {
            &test
        } else {
            // folds and baselines are of other models
            continue;
        };
        metric.model_id = Some(model_id.to_owned());
        metric.dataset.clone_from(on);
    }
}
