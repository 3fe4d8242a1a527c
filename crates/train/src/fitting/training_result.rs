//! The result of a training: the model, its predictions and its metrics.

use model::{BootstrapInterval, CurvePoint, Importance, LeakageFinding, Metrics, Model};

/// A fitted model and everything that was measured of it.
pub(crate) struct TrainingResult {
    pub(crate) model: Model,
    /// The prediction for each test row, in the target's unit.
    pub(crate) test_predictions: Vec<f64>,
    /// The prediction for each training row: out of fold where the model was cross-validated.
    pub(crate) train_predictions: Vec<f64>,
    /// The prediction interval of each test row at the configured coverage; `None` without intervals.
    pub(crate) interval_bounds: Option<Vec<(f64, f64)>>,
    /// Metrics on test rows.
    pub(crate) test: Metrics,
    /// Metrics on training rows, of the final model.
    pub(crate) train: Metrics,
    /// Metrics on test rows of predicting the mean of the training target.
    pub(crate) mean_baseline: Metrics,
    /// Metrics on test rows of predicting the median of the training target.
    pub(crate) median_baseline: Metrics,
    /// Permutation importance of each raw column, the most important first.
    pub(crate) importances: Vec<(String, Importance)>,
    /// 95 % confidence intervals of the test metrics.
    pub(crate) metric_intervals: Vec<BootstrapInterval>,
    /// Metrics of each fold; empty without cross-validation.
    pub(crate) folds: Vec<Metrics>,
    pub(crate) curve: LearningCurve,
    pub(crate) fit_ms: u64,
    pub(crate) cross_validation_ms: u64,
    /// Findings that may let the test metrics look better than the model is. They are among the warnings, too.
    pub(crate) leakage_findings: Vec<LeakageFinding>,
    pub(crate) warnings: Vec<String>,
}

/// RMSE by the number of trees or of training rows.
#[derive(Default)]
pub(crate) struct LearningCurve {
    /// [`TREES`] or [`TRAINING_ROWS`].
    pub(crate) over: &'static str,
    pub(crate) points: Vec<CurvePoint>,
}

/// The horizontal axis of a learning curve of an ensemble.
pub(crate) const TREES: &str = "trees";
/// The horizontal axis of a learning curve of a linear model or an SVR.
pub(crate) const TRAINING_ROWS: &str = "training rows";
