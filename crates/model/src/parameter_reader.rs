//! Reads an algorithm's parameters, and says which cannot be honoured.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{Algorithm, MaxFeatures, parameters::MAX_DEPTH};

/// scikit-learn's parameters that are honoured at these values alone: at any other the fit would be another one.
const ONLY_AT: [(&str, &[&str]); 17] = [
    ("ccp_alpha", &["0.0", "0"]),
    ("criterion", &["\"friedman_mse\"", "\"squared_error\""]),
    ("init", &["null"]),
    ("loss", &["\"squared_error\"", "\"ls\""]),
    ("max_features", &["null", "1.0"]),
    ("max_leaf_nodes", &["null"]),
    ("min_impurity_decrease", &["0.0", "0"]),
    ("min_samples_split", &["2"]),
    ("min_weight_fraction_leaf", &["0.0", "0"]),
    ("n_iter_no_change", &["null"]),
    ("warm_start", &["false"]),
    ("fit_intercept", &["true"]),
    ("positive", &["false"]),
    ("bootstrap", &["true"]),
    ("oob_score", &["false"]),
    ("max_samples", &["null"]),
    ("monotonic_cst", &["null"]),
];

/// scikit-learn's parameters that change nothing in what is fitted here: they belong to a loss, a solver or an early stopping
/// that is not used, or to the way the work is done.
const WITHOUT_EFFECT: [&str; 10] =
    ["alpha", "validation_fraction", "tol", "verbose", "n_jobs", "copy_X", "solver", "max_iter", "selection", "precompute"];

/// Reads parameters one by one and remembers which.
pub(crate) struct Reader<'a> {
    raw: &'a BTreeMap<String, Value>,
    algorithm: Algorithm,
    used: Vec<&'static str>,
    warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(raw: &'a BTreeMap<String, Value>, algorithm: Algorithm) -> Self {
        Self { raw, algorithm, used: Vec::new(), warnings: Vec::new() }
    }

    /// A warning for each parameter that cannot be honoured.
    pub(crate) fn into_warnings(mut self) -> Vec<String> {
        self.warn_of_the_rest();
        self.warnings
    }

    fn get(&mut self, name: &'static str) -> Option<&Value> {
        self.used.push(name);
        self.raw.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn number(
        &mut self,
        name: &'static str,
        default: f64,
        range: std::ops::RangeInclusive<f64>,
    ) -> Result<f64, String> {
        let Some(value) = self.get(name) else { return Ok(default) };
        value.as_f64().filter(|number| range.contains(number)).ok_or_else(|| {
            format!("model.parameters.{name}: {value} is not a number from {} to {}", range.start(), range.end())
        })
    }

    pub(crate) fn count(
        &mut self,
        name: &'static str,
        default: usize,
        range: std::ops::RangeInclusive<usize>,
    ) -> Result<usize, String> {
        let Some(value) = self.get(name) else { return Ok(default) };
        let whole = value.as_u64().map(|count| count as usize).filter(|count| range.contains(count));
        whole.ok_or_else(|| format!("model.parameters.{name}: {value} is not a whole number of at least {}", range.start()))
    }

    pub(crate) fn flag(&mut self, name: &'static str, default: bool) -> Result<bool, String> {
        let Some(value) = self.get(name) else { return Ok(default) };
        value.as_bool().ok_or_else(|| format!("model.parameters.{name}: {value} is neither true nor false"))
    }

    /// `null` is "no limit"; absent is the default.
    pub(crate) fn depth(&mut self, default: Option<u16>) -> Result<Option<u16>, String> {
        if self.raw.contains_key("max_depth") && self.get("max_depth").is_none() {
            return Ok(None);
        }
        let default = default.map_or(0, usize::from);
        let depth = self.count("max_depth", default, 1..=usize::from(MAX_DEPTH))?;
        Ok((depth > 0).then_some(depth as u16))
    }

    pub(crate) fn max_features(&mut self) -> Result<MaxFeatures, String> {
        let Some(value) = self.get("max_features") else { return Ok(MaxFeatures::Share(1.0)) };
        let fault = || {
            format!(
                "model.parameters.max_features: {value} is neither \"sqrt\", \"log2\", a count from 1 nor a share up to 1.0"
            )
        };
        match value {
            Value::String(name) if name == "sqrt" => Ok(MaxFeatures::Sqrt),
            Value::String(name) if name == "log2" => Ok(MaxFeatures::Log2),
            Value::Number(number) => match (number.as_u64(), number.as_f64()) {
                (Some(count), _) if count > 0 => Ok(MaxFeatures::Count(count as usize)),
                (None, Some(share)) if share > 0.0 && share <= 1.0 => Ok(MaxFeatures::Share(share)),
                _ => Err(fault()),
            },
            _ => Err(fault()),
        }
    }

    pub(crate) fn seed(&mut self) -> Result<u64, String> {
        let unset = self.raw.get("random_state").is_some_and(Value::is_null);
        if unset {
            self.warnings.push(format!(
                "parameters.random_state is null: the seed {} is used, so that the run can be repeated",
                crate::DEFAULT_SEED
            ));
        }
        let Some(value) = self.get("random_state") else { return Ok(crate::DEFAULT_SEED) };
        value.as_u64().ok_or_else(|| format!("model.parameters.random_state: {value} is not a whole number of at least 0"))
    }

    fn warn_of_the_rest(&mut self) {
        let algorithm = self.algorithm.name();
        for (name, value) in self.raw {
            if self.used.contains(&name.as_str()) {
                continue;
            }
            let only_at = ONLY_AT.iter().find(|(known, _)| known == name);
            match only_at {
                Some((_, values)) if values.contains(&value.to_string().as_str()) => {}
                Some((_, values)) => self.warnings.push(format!(
                    "parameters.{name}: {value} is not supported by {algorithm} here; trained as with {}",
                    values[0]
                )),
                None if WITHOUT_EFFECT.contains(&name.as_str()) => {}
                None => self.warnings.push(format!("parameters.{name} is not a parameter of {algorithm}; ignored")),
            }
        }
    }
}
