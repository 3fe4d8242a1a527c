//! Thresholds of metrics that a model must meet.

use std::collections::BTreeMap;

use schema::{GateBound, OrderedMap};
use serde::Serialize;

use crate::evaluation::metric_format::format_metric;

/// A metric compared with its thresholds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ThresholdResult {
    /// Name of the metric.
    pub metric: String,
    /// Value of the metric.
    pub value: f64,
    /// Smallest accepted value, if any.
    pub min: Option<f64>,
    /// Largest accepted value, if any.
    pub max: Option<f64>,
    /// True if the value is within the thresholds.
    pub passed: bool,
}

/// Compares metrics, by name, with the thresholds of the gate.
///
/// # Errors
/// If a metric of the gate is not in `metrics`; the message names it.
pub fn check_thresholds(
    gate: &OrderedMap<GateBound>,
    metrics: &BTreeMap<String, f64>,
) -> Result<Vec<ThresholdResult>, String> {
    let check = |(metric, bound): (&str, &GateBound)| {
        let Some(value) = metrics.get(metric).copied() else {
            let known: Vec<&str> = metrics.keys().map(String::as_str).collect();
            return Err(format!("package.gate.{metric}: the run does not have this metric; it has {}", known.join(", ")));
        };
        let passed = bound.min.is_none_or(|min| value >= min) && bound.max.is_none_or(|max| value <= max);
        Ok(ThresholdResult { metric: metric.to_owned(), value, min: bound.min, max: bound.max, passed })
    };
    gate.iter().map(check).collect()
}

impl ThresholdResult {
    /// Text of a passed threshold.
    pub fn passed_text(&self) -> String {
        let format = |value: f64| format_metric(&self.metric, value);
        let bound = match (self.min, self.max) {
            (Some(min), Some(max)) => format!("{} to {}", format(min), format(max)),
            (Some(min), None) => format!("at least {}", format(min)),
            (None, Some(max)) => format!("at most {}", format(max)),
            (None, None) => "any".to_owned(),
        };
        format!("{} {} ({bound})", self.metric, format(self.value))
    }

    /// Text of a failed threshold.
    pub fn failed_text(&self) -> String {
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

    fn checked(bound: GateBound) -> Result<Vec<ThresholdResult>, String> {
        check_thresholds(&OrderedMap(vec![("r2".into(), bound)]), &[("r2".to_owned(), 0.85)].into())
    }

    #[test]
    fn bounds_are_inclusive_and_refusals_name_the_format_metric() {
        let bound = |min, max| checked(GateBound { min, max }).unwrap().remove(0);
        assert!(bound(Some(0.85), None).passed && bound(None, Some(0.85)).passed);
        assert_eq!(bound(Some(0.8), None).passed_text(), "r2 0.8500 (at least 0.8000)");
        assert_eq!(bound(Some(0.9), None).failed_text(), "package.gate.r2: 0.85 is below the minimum 0.9");
        assert_eq!(bound(None, Some(0.5)).failed_text(), "package.gate.r2: 0.85 is above the maximum 0.5");
    }
}
