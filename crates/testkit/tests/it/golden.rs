//! Against scikit-learn, on the same featured file and split.
//!
//! `golden/make_golden.py` wrote the numbers beside it, with the versions it names, from the featured table of the shipped data.

use crate::{ENGINEER, PROCESS, houses, model_config};
use testkit::repository;

struct Golden {
    value: serde_json::Value,
}

impl Golden {
    fn read() -> Self {
        let path = repository().join("crates/testkit/golden/house_data.json");
        Self { value: serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap() }
    }

    fn predictions(&self, model: &str) -> Vec<f64> {
        self.value["predictions"][model].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    }

    fn rmse(&self, model: &str) -> f64 {
        self.value["rmse"][model].as_f64().unwrap()
    }
}

/// Trains on the shipped table with `extra` settings; returns test targets and predictions.
fn trained(model: &str, extra: &str) -> (Vec<f64>, Vec<f64>) {
    let workspace = houses(2000);
    workspace.ok(PROCESS);
    workspace.ok(ENGINEER);
    workspace.write("m.yaml", model_config(model, &format!("  cross_validation: {{folds: 0}}\n{extra}")));
    workspace.ok("train --config m.yaml --data featured.csv --models-dir models -q");
    let text = workspace.read("models/trained/predictions.csv");
    text.lines()
        .skip(1)
        .map(|line| line.split_once(',').unwrap())
        .map(|(y, p)| (y.parse::<f64>().unwrap(), p.parse::<f64>().unwrap()))
        .unzip()
}

fn check_predictions(golden: &str, model: &str, extra: &str, tolerance: f64) {
    let (_, found) = trained(model, extra);
    let expected = Golden::read().predictions(golden);
    assert_eq!(found.len(), expected.len());
    for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(((found - expected) / expected).abs() < tolerance, "row {row}: {found} is not {expected}");
    }
}

fn check_rmse(golden: &str, model: &str, extra: &str, tolerance: f64) {
    let (y_true, y_pred) = trained(model, extra);
    let squares: f64 = y_true.iter().zip(&y_pred).map(|(y, p)| (y - p).powi(2)).sum();
    let (found, expected) = ((squares / y_true.len() as f64).sqrt(), Golden::read().rmse(golden));
    assert!(found < expected * (1.0 + tolerance), "RMSE {found}, scikit-learn's {expected}");
    // far better would be as suspicious as worse
    assert!(found > expected * (1.0 - 2.0 * tolerance), "RMSE {found}, scikit-learn's {expected}");
}

#[test]
fn linear_regression_predicts_the_same() {
    check_predictions("LinearRegression", "LinearRegression", "", 1e-6);
}

#[test]
fn ridge_predicts_the_same() {
    check_predictions("Ridge", "Ridge", "  parameters: {alpha: 1.0}\n", 1e-6);
}

#[test]
fn lasso_predicts_the_same_on_standardised_features() {
    check_predictions("Lasso", "Lasso", "  parameters: {alpha: 100.0, tol: 1.0e-8}\n", 1e-5);
}

#[test]
fn elastic_net_predicts_the_same_on_standardised_features() {
    check_predictions("ElasticNet", "ElasticNet", "  parameters: {alpha: 0.5, l1_ratio: 0.7, tol: 1.0e-8}\n", 1e-5);
}

#[test]
fn gradient_boosting_is_as_good() {
    check_rmse(
        "GradientBoosting",
        "GradientBoosting",
        "  parameters: {n_estimators: 100, max_depth: 3, learning_rate: 0.1}\n",
        0.02,
    );
}

#[test]
fn a_random_forest_is_as_good() {
    check_rmse("RandomForest", "RandomForest", "  parameters: {n_estimators: 100}\n", 0.03);
}
