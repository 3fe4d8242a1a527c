//! Candidates of a search, and trials drawn from them.

use crate::{
    config::model_config::BlendPart,
    estimator::target_transform::TargetTransform,
    parameters::{Parameters, algorithm::Algorithm},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// An algorithm with values and ranges of its parameters.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// The algorithm, as `best_model` in `model_config.yaml`; `Blend` is not allowed.
    pub algorithm: String,
    /// Transforms of the target to choose from.
    #[serde(default)]
    pub target_transform: Vec<TargetTransform>,
    /// A value; a list to choose from; or a range such as `{low: 0.01, high: 0.3, log: true}`. `log: true` draws uniformly on a logarithmic
    /// scale, `whole: true` draws integers.
    #[serde(default)]
    pub parameters: BTreeMap<String, Value>,
}

/// A range of numbers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ParameterRange {
    pub(crate) low: f64,
    pub(crate) high: f64,
    #[serde(default)]
    pub(crate) log: bool,
    #[serde(default)]
    pub(crate) whole: bool,
}

/// One combination of algorithm, target transform and parameters.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// Number of the trial: the same number is the same trial in every run of the search.
    pub number: usize,
    /// Name of the algorithm, as in a configuration.
    pub algorithm: String,
    /// Transform of the target.
    pub target_transform: TargetTransform,
    /// Parameters drawn from the candidate.
    pub parameters: BTreeMap<String, Value>,
}

impl Trial {
    /// The algorithm, its validated parameters and the seed.
    ///
    /// # Errors
    /// If a value is out of range or of the wrong type; the message names it.
    pub fn parameters(&self) -> Result<(Algorithm, Parameters, u64), String> {
        let algorithm = Algorithm::parse(&self.algorithm)?;
        let (parameters, seed, _) = Parameters::try_from_values(algorithm, &self.parameters)?;
        Ok((algorithm, parameters, seed))
    }

    /// The trial as a part of a blend.
    pub fn part(&self, weight: f64) -> BlendPart {
        BlendPart {
            algorithm: self.algorithm.clone(),
            weight,
            parameters: self.parameters.clone(),
            target_transform: self.target_transform,
        }
    }
}

impl Candidate {
    /// Draws a trial; `draw` returns a number from 0 to 1 for each parameter.
    pub(crate) fn draw(&self, number: usize, draw: &mut dyn FnMut(usize) -> f64) -> Result<Trial, String> {
        let mut place = 0;
        let mut share = || {
            place += 1;
            draw(place).clamp(0.0, 1.0)
        };
        let choice = |count: usize, share: f64| ((share * count as f64) as usize).min(count.saturating_sub(1));
        let transforms = &self.target_transform;
        let target_transform = transforms.get(choice(transforms.len(), share())).copied().unwrap_or_default();
        let mut parameters = BTreeMap::new();
        for (name, specification) in &self.parameters {
            let share = share();
            let value = match specification {
                Value::Array(list) if list.is_empty() => {
                    return Err(format!("parameters.{name}: the list is empty"));
                }
                Value::Array(list) => list[choice(list.len(), share)].clone(),
                Value::Object(map) if map.contains_key("low") || map.contains_key("high") => {
                    let range: ParameterRange = serde_json::from_value(specification.clone())
                        .map_err(|error| format!("parameters.{name}: {error}"))?;
                    range
                        .at(share)
                        .ok_or_else(|| format!("parameters.{name}: low must be below high, and above 0 for a logarithm"))?
                }
                fixed => fixed.clone(),
            };
            parameters.insert(name.clone(), value);
        }
        Ok(Trial { number, algorithm: self.algorithm.clone(), target_transform, parameters })
    }
}

impl ParameterRange {
    pub(crate) fn at(&self, share: f64) -> Option<Value> {
        let finite = self.low.is_finite() && self.high.is_finite();
        if !(finite && self.low < self.high && (!self.log || self.low > 0.0)) {
            return None;
        }
        let number = if self.log {
            (self.low.ln() + share * (self.high.ln() - self.low.ln())).exp()
        } else {
            self.low + share * (self.high - self.low)
        };
        let number = number.clamp(self.low, self.high);
        if self.whole {
            return Some((number.round() as i64).into());
        }
        // three significant digits are enough for a search
        let digits = 10_f64.powi(3 - number.abs().max(1e-300).log10().ceil() as i32);
        Some(((number * digits).round() / digits).clamp(self.low, self.high).into())
    }
}
