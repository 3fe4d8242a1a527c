//! A candidate of a search, and the trials that are drawn from it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    config::model_config::BlendPart,
    estimator::target_transform::TargetTransform,
    parameters::{Parameters, algorithm::Algorithm},
};

/// An algorithm with values and ranges for its parameters.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// As `best_model` in `model_config.yaml`; no blend.
    pub algorithm: String,
    /// What may be done to the target before the fit.
    #[serde(default)]
    pub target_transform: Vec<TargetTransform>,
    /// A value; a list to choose from; or a range, `{low: 0.01, high: 0.3, log: true}` for numbers that are drawn evenly by their
    /// logarithm, `whole: true` for whole numbers.
    #[serde(default)]
    pub parameters: BTreeMap<String, Value>,
}

/// A range of numbers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Range {
    pub(crate) low: f64,
    pub(crate) high: f64,
    #[serde(default)]
    pub(crate) log: bool,
    #[serde(default)]
    pub(crate) whole: bool,
}

/// What is tried once.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// Which one it is: the same number stands for the same trial in every run of the search.
    pub number: usize,
    /// As it would stand in a configuration.
    pub algorithm: String,
    /// What is done to the target.
    pub target_transform: TargetTransform,
    /// Drawn.
    pub parameters: BTreeMap<String, Value>,
}

impl Trial {
    /// The checked parameters and the seed.
    ///
    /// # Errors
    /// Names a value that is out of range or of the wrong type.
    pub fn check(&self) -> Result<(Algorithm, Parameters, u64), String> {
        let algorithm = Algorithm::parse(&self.algorithm)?;
        let (parameters, seed, _) = Parameters::check(algorithm, &self.parameters)?;
        Ok((algorithm, parameters, seed))
    }

    /// As a part of a blend.
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
    /// A trial; `draw` gives a number from 0 to 1 for each parameter.
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
        for (name, given) in &self.parameters {
            let share = share();
            let value = match given {
                Value::Array(list) if list.is_empty() => {
                    return Err(format!("parameters.{name}: has nothing to choose from"));
                }
                Value::Array(list) => list[choice(list.len(), share)].clone(),
                Value::Object(map) if map.contains_key("low") || map.contains_key("high") => {
                    let range: Range =
                        serde_json::from_value(given.clone()).map_err(|error| format!("parameters.{name}: {error}"))?;
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

impl Range {
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
        // three digits are more than a search can tell apart
        let digits = 10_f64.powi(3 - number.abs().max(1e-300).log10().ceil() as i32);
        Some(((number * digits).round() / digits).clamp(self.low, self.high).into())
    }
}
