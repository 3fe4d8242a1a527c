//! What a search tries where nothing is said.

use serde_json::{Value, json};

use crate::{config::candidate::Candidate, estimator::target_transform::TargetTransform};

/// More rows than this are too many for a kernel: its fit takes time with their square.
const ROWS_OF_A_KERNEL: usize = 3000;
/// Fewer rows than this are all learned from: a tenth of them says too little of when to stop.
const FEW_ROWS: usize = 1000;

/// Candidates for a table of `rows` training rows; `positive` says that the target has a logarithm.
pub(crate) fn usual(rows: usize, positive: bool) -> Vec<Candidate> {
    let transforms: &[TargetTransform] =
        if positive { &[TargetTransform::Log, TargetTransform::None] } else { &[TargetTransform::None] };
    let candidate = |algorithm: &str, parameters: Value| Candidate {
        algorithm: algorithm.into(),
        target_transform: transforms.to_vec(),
        parameters: serde_json::from_value(parameters).unwrap_or_default(),
    };
    let few = rows < FEW_ROWS;
    let log = |low: f64, high: f64| json!({"low": low, "high": high, "log": true});
    let whole = |low: f64, high: f64| json!({"low": low, "high": high, "log": true, "whole": true});
    let mut boosting = json!({
        "learning_rate": log(0.015, 0.15),
        "max_leaf_nodes": if few { whole(4.0, 16.0) } else { whole(12.0, 128.0) },
        "min_samples_leaf": if few { whole(1.0, 8.0) } else { whole(2.0, 60.0) },
        "subsample": {"low": 0.5, "high": 1.0},
        "colsample_bytree": {"low": 0.4, "high": 1.0},
        "l2_regularization": log(0.001, 30.0),
    });
    if few {
        boosting["n_estimators"] = whole(100.0, 1500.0);
        boosting["early_stopping"] = json!(false);
    } else {
        boosting["n_estimators"] = json!(3000);
        boosting["early_stopping"] = json!(true);
        boosting["n_iter_no_change"] = json!(50);
    }
    let forest = json!({
        "n_estimators": if few { 300 } else { 100 },
        "max_features": {"low": 0.3, "high": 1.0},
        "min_samples_leaf": whole(1.0, 8.0),
    });
    let mut all = vec![candidate("Ridge", json!({"alpha": log(0.01, 100.0), "standardize": true}))];
    if rows <= ROWS_OF_A_KERNEL {
        let svr = json!({"C": log(1.0, 1000.0), "epsilon": log(0.001, 0.1), "gamma": log(0.003, 0.3)});
        all.push(candidate("SVR", svr.clone()));
        // a smooth function is what few rows support best
        all.push(candidate("SVR", svr));
    }
    all.push(candidate("HistGradientBoosting", boosting.clone()));
    if !few {
        // where rows are many nothing else comes near
        all.extend([candidate("HistGradientBoosting", boosting.clone()), candidate("HistGradientBoosting", boosting)]);
    }
    all.push(candidate("ExtraTrees", forest));
    all
}
