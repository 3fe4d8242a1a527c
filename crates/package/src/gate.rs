//! Decides whether a model is good enough.

use artifact::RunRecord;
use schema::{GateBound, Ordered};
use serde::Serialize;

/// A metric against its bounds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Decision {
    pub(crate) metric: String,
    pub(crate) value: f64,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    pub(crate) passed: bool,
}

/// Holds the figures of a run against the gate.
///
/// # Errors
/// Names a metric that the run does not have.
pub(crate) fn decide(gate: &Ordered<GateBound>, record: &RunRecord) -> Result<Vec<Decision>, String> {
    let decide = |(metric, bound): (&str, &GateBound)| {
        let Some(value) = record.metric(metric) else {
            let mut known: Vec<&str> =
                record.metrics.iter().filter(|point| point.step == 0).map(|point| point.key.as_str()).collect();
            known.sort_unstable();
            return Err(format!("package.gate.{metric}: the run has no such metric; it has {}", known.join(", ")));
        };
        let passed = bound.min.is_none_or(|min| value >= min) && bound.max.is_none_or(|max| value <= max);
        Ok(Decision { metric: metric.to_owned(), value, min: bound.min, max: bound.max, passed })
    };
    gate.iter().map(decide).collect()
}

impl Decision {
    /// What is said of a bound that was missed.
    pub(crate) fn refusal(&self) -> String {
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
    use artifact::MetricPoint;

    fn decided(bound: GateBound) -> Result<Vec<Decision>, String> {
        let metrics = vec![MetricPoint { key: "r2".into(), value: 0.85, step: 0 }];
        let record = RunRecord { metrics, ..RunRecord::default() };
        decide(&Ordered(vec![("r2".into(), bound)]), &record)
    }

    #[test]
    fn bounds_are_inclusive_and_refusals_name_the_figure() {
        let bound = |min, max| decided(GateBound { min, max }).unwrap().remove(0);
        assert!(bound(Some(0.85), None).passed && bound(None, Some(0.85)).passed);
        assert_eq!(bound(Some(0.9), None).refusal(), "package.gate.r2: 0.85 is below the minimum 0.9");
        assert_eq!(bound(None, Some(0.5)).refusal(), "package.gate.r2: 0.85 is above the maximum 0.5");
    }
}
