//! Decides whether a model is good enough: bounds on its figures.

use std::collections::BTreeMap;

use schema::{GateBound, Ordered};
use serde::Serialize;

use crate::evaluation::metric_format::figure;

/// A metric against its bounds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// The metric.
    pub metric: String,
    /// Its value.
    pub value: f64,
    /// What it must be at least.
    pub min: Option<f64>,
    /// What it must be at most.
    pub max: Option<f64>,
    /// Whether it is.
    pub passed: bool,
}

/// Holds figures, by name, against the gate.
///
/// # Errors
/// Names a metric that is not among them.
pub fn decide(gate: &Ordered<GateBound>, metrics: &BTreeMap<String, f64>) -> Result<Vec<Decision>, String> {
    let decide = |(metric, bound): (&str, &GateBound)| {
        let Some(value) = metrics.get(metric).copied() else {
            let known: Vec<&str> = metrics.keys().map(String::as_str).collect();
            return Err(format!("package.gate.{metric}: the run has no such metric; it has {}", known.join(", ")));
        };
        let passed = bound.min.is_none_or(|min| value >= min) && bound.max.is_none_or(|max| value <= max);
        Ok(Decision { metric: metric.to_owned(), value, min: bound.min, max: bound.max, passed })
    };
    gate.iter().map(decide).collect()
}

impl Decision {
    /// What is said of a bound that was kept.
    pub fn kept(&self) -> String {
        let written = |value: f64| figure(&self.metric, value);
        let bound = match (self.min, self.max) {
            (Some(min), Some(max)) => format!("{} to {}", written(min), written(max)),
            (Some(min), None) => format!("at least {}", written(min)),
            (None, Some(max)) => format!("at most {}", written(max)),
            (None, None) => "any".to_owned(),
        };
        format!("{} {} ({bound})", self.metric, written(self.value))
    }

    /// What is said of a bound that was missed.
    pub fn refusal(&self) -> String {
        let bound = match (self.min, self.max) {
            (Some(min), _) if self.value < min => format!("is below the minimum {min}"),
            (_, Some(max)) => format!("is above the maximum {max}"),
            _ => "is out of bounds".to_owned(),
        };
        format!("package.gate.{}: {} {bound}", self.metric, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(bound: GateBound) -> Result<Vec<Decision>, String> {
        decide(&Ordered(vec![("r2".into(), bound)]), &[("r2".to_owned(), 0.85)].into())
    }

    #[test]
    fn bounds_are_inclusive_and_refusals_name_the_figure() {
        let bound = |min, max| decided(GateBound { min, max }).unwrap().remove(0);
        assert!(bound(Some(0.85), None).passed && bound(None, Some(0.85)).passed);
        assert_eq!(bound(Some(0.8), None).kept(), "r2 0.8500 (at least 0.8000)");
        assert_eq!(bound(Some(0.9), None).refusal(), "package.gate.r2: 0.85 is below the minimum 0.9");
        assert_eq!(bound(None, Some(0.5)).refusal(), "package.gate.r2: 0.85 is above the maximum 0.5");
    }
}
