//! Default candidates of a search.

use serde_json::{Value, json};

use crate::{config::candidate::Candidate, estimator::target_transform::TargetTransform};

/// Largest number of rows for a support vector machine; its fit takes time with the square of the rows.
const MAX_SVR_ROWS: usize = 3000;
/// Smallest number of rows for early stopping; a tenth of fewer rows is too small for validation.
const MIN_ROWS_FOR_EARLY_STOPPING: usize = 1000;

/// Candidates for a table of `rows` training rows; `positive` is true if the target has a logarithm.
pub(crate) fn default_candidates(rows: usize, positive: bool) -> Vec<Candidate> {
    let transforms: &[TargetTransform] =
        if positive { &[TargetTransform::Log, TargetTransform::None] } else { &[TargetTransform::None] };
    let candidate = |algorithm: &str, parameters: Value| Candidate {
        algorithm: algorithm.into(),
        target_transform: transforms.to_vec(),
        parameters: serde_json::from_value(parameters).unwrap_or_default(),
    };
    let few_rows = rows < MIN_ROWS_FOR_EARLY_STOPPING;
    let log = |low: f64, high: f64| json!({"low": low, "high": high, "log": true});
    let whole = |low: f64, high: f64| json!({"low": low, "high": high, "log": true, "whole": true});
    let mut boosting = json!({
        "learning_rate": log(0.015, 0.15),
        "max_leaf_nodes": if few_rows { whole(4.0, 16.0) } else { whole(12.0, 128.0) },
        "min_samples_leaf": if few_rows { whole(1.0, 8.0) } else { whole(2.0, 60.0) },
        "subsample": {"low": 0.5, "high": 1.0},
        "colsample_bytree": {"low": 0.4, "high": 1.0},
        "l2_regularization": log(0.001, 30.0),
    });
    if few_rows {
        boosting["n_estimators"] = whole(100.0, 1500.0);
        boosting["early_stopping"] = json!(false);
    } else {
        boosting["n_estimators"] = json!(3000);
        boosting["early_stopping"] = json!(true);
        boosting["n_iter_no_change"] = json!(50);
    }
    let forest = json!({
        "n_estimators": if few_rows { 300 } else { 100 },
        "max_features": {"low": 0.3, "high": 1.0},
        "min_samples_leaf": whole(1.0, 8.0),
    });
    let mut all = vec![candidate("Ridge", json!({"alpha": log(0.01, 100.0), "standardize": true}))];
    if rows <= MAX_SVR_ROWS {
        let svr = json!({"C": log(1.0, 1000.0), "epsilon": log(0.001, 0.1), "gamma": log(0.003, 0.3)});
        all.push(candidate("SVR", svr.clone()));
        // smooth functions suit few rows best, so they are tried twice as often
        all.push(candidate("SVR", svr));
    }
    all.push(candidate("HistGradientBoosting", boosting.clone()));
    if !few_rows {
        // boosting is the best algorithm for many rows, so it is tried more often
        all.extend([candidate("HistGradientBoosting", boosting.clone()), candidate("HistGradientBoosting", boosting)]);
    }
    all.push(candidate("ExtraTrees", forest));
    all
}
