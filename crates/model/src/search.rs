//! A search for the best model: its text, and the trials that are drawn from it.

use std::collections::BTreeMap;

use fastrand::Rng;
use schema::ConfigError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Algorithm, BlendPart, Parameters, TargetTransform};

/// What to search.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SearchConfig {
    /// The search.
    pub search: SearchSection,
}

/// A search: its budget, how trials are measured, and what is tried.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SearchSection {
    /// The name of the model that is searched for: of its runs and of its configuration.
    pub name: String,
    /// The column to predict. It must be the target of the table.
    #[serde(default)]
    pub target_variable: Option<String>,
    /// The figure that decides, on rows held out: `mae`, `rmse`, `mape` or `median_ae`.
    #[serde(default = "mae")]
    pub metric: String,
    /// Trials at most.
    #[serde(default = "trials")]
    pub trials: usize,
    /// Minutes at most.
    #[serde(default = "minutes")]
    pub minutes: f64,
    /// Folds of the cross-validation. On few rows it is repeated with other folds.
    #[serde(default = "folds")]
    pub folds: usize,
    /// The seed that trials and folds are drawn from.
    #[serde(default = "seed")]
    pub seed: u64,
    /// Successive halving: many trials on a part of the rows, the best third of them on more, and of these on all. Otherwise every trial is
    /// measured on all rows. Small tables are always used whole.
    #[serde(default = "yes")]
    pub halving: bool,
    /// Whether to try the best trial on fewer and fewer features (recursive feature elimination).
    #[serde(default = "yes")]
    pub eliminate: bool,
    /// Whether to try a blend of the best trials.
    #[serde(default = "yes")]
    pub blend: bool,
    /// What is tried; without any, a choice that suits the size of the table.
    #[serde(default)]
    pub candidates: Vec<Candidate>,
}

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

fn mae() -> String {
    "mae".into()
}
fn trials() -> usize {
    2000
}
fn minutes() -> f64 {
    5.0
}
fn folds() -> usize {
    5
}
fn seed() -> u64 {
    crate::DEFAULT_SEED
}
fn yes() -> bool {
    true
}

/// A range of numbers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    low: f64,
    high: f64,
    #[serde(default)]
    log: bool,
    #[serde(default)]
    whole: bool,
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

/// The longest search, in minutes: a year.
pub const MAX_MINUTES: f64 = 525_600.0;

impl SearchConfig {
    /// Parses the text of a search and checks it.
    ///
    /// # Errors
    /// With line and column where it is not YAML or has an unknown key; with the key where a value cannot be used.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = schema::parse_yaml(text)?;
        let check = || -> Result<(), String> {
            let search = &config.search;
            if !["mae", "rmse", "mape", "median_ae"].contains(&search.metric.as_str()) {
                return Err(format!("search.metric: \"{}\" is none of mae, rmse, mape, median_ae", search.metric));
            }
            if search.folds < 2 {
                return Err(format!("search.folds: {} leaves nothing to measure on; use 2 or more", search.folds));
            }
            if !(search.minutes > 0.0 && search.minutes <= MAX_MINUTES) || search.trials == 0 {
                return Err(format!("search: needs minutes above 0, at most {MAX_MINUTES}, and at least a trial"));
            }
            search.candidates.iter().enumerate().try_for_each(|(index, candidate)| {
                let placed = |message: String| {
                    let rest = message.strip_prefix("model.").unwrap_or(&message).replacen("best_model", "algorithm", 1);
                    format!("search.candidates.{index}.{rest}")
                };
                if Algorithm::parse(&candidate.algorithm).map_err(placed)? == Algorithm::Blend {
                    return Err(placed("algorithm: a blend is made of the best trials by itself".into()));
                }
                // both ends of every range must be allowed
                [0.0, 1.0].into_iter().try_for_each(|share| {
                    let mut draw = |_: usize| share;
                    let trial = candidate.draw(0, &mut draw).map_err(placed)?;
                    trial.check().map(|_| ()).map_err(placed)
                })
            })
        };
        check().map_err(|message| {
            let key = message.split(": ").next().unwrap_or_default();
            let keys: Vec<&str> = key.split('.').take_while(|key| key.parse::<usize>().is_err()).collect();
            ConfigError { line: schema::line_of(text, &keys), column: None, message }
        })?;
        Ok(config)
    }
}

impl Candidate {
    /// A trial; `draw` gives a number from 0 to 1 for each parameter.
    fn draw(&self, number: usize, draw: &mut dyn FnMut(usize) -> f64) -> Result<Trial, String> {
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
    fn at(&self, share: f64) -> Option<Value> {
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

impl SearchSection {
    /// Trial `number` of the search: the first of each candidate in their order, then one drawn after the other.
    ///
    /// # Errors
    /// Names a range that cannot be used.
    pub fn trial(&self, number: usize, candidates: &[Candidate]) -> Result<Trial, String> {
        let mut rng = Rng::with_seed(self.seed ^ (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let candidate = if number < candidates.len() { number } else { rng.usize(..candidates.len()) };
        candidates[candidate].draw(number, &mut |_| rng.f64())
    }

    /// What is tried on a table of `rows` training rows, cheap algorithms first.
    pub fn candidates(&self, rows: usize, positive: bool) -> Vec<Candidate> {
        if self.candidates.is_empty() { crate::candidates::usual(rows, positive) } else { self.candidates.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "search:\n  name: m\n  candidates:\n    - algorithm: Ridge\n      target_transform: [none, log]\n      parameters: \
                        {alpha: {low: 0.01, high: 100, log: true}, standardize: [true, false]}\n    - algorithm: HistGradientBoosting\n      \
                        parameters: {max_leaf_nodes: {low: 4, high: 64, whole: true}, loss: squared_error}\n";

    #[test]
    fn the_reference_is_current() {
        let body = schema::render_reference("search.yaml", &schemars::schema_for!(SearchConfig));
        let text = format!("# Search reference\n\nGenerated from the program; do not edit.\n\n{body}");
        // read when the test runs: checkouts may share compiled tests
        let path = format!("{}/../../docs/search_config.md", std::env::var("CARGO_MANIFEST_DIR").unwrap());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "docs/search_config.md is out of date: run UPDATE_DOCS=1 scripts/test.sh");
    }

    #[test]
    fn trials_are_drawn_within_their_ranges_and_the_same_every_time() {
        let search = SearchConfig::parse(TEXT).unwrap().search;
        let candidates = search.candidates(100, true);
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..200 {
            let trial = search.trial(number, &candidates).unwrap();
            assert_eq!(trial, search.trial(number, &candidates).unwrap());
            trial.check().unwrap();
            seen.insert(serde_json::to_string(&trial.parameters).unwrap());
            if let Some(alpha) = trial.parameters.get("alpha") {
                assert!((0.01..=100.0).contains(&alpha.as_f64().unwrap()));
            }
        }
        assert!(seen.len() > 90, "{}", seen.len());
        let first: Vec<String> = (0..2).map(|number| search.trial(number, &candidates).unwrap().algorithm).collect();
        assert_eq!(first, ["Ridge", "HistGradientBoosting"]);
    }

    #[test]
    fn what_cannot_be_searched_is_named() {
        for (from, to, expected) in [
            (
                "alpha: {low: 0.01",
                "alpha: {low: 1000",
                "search.candidates.0.parameters.alpha: low must be below high, and above 0",
            ),
            (
                "alpha: {low: 0.01",
                "alpha: {low: -1",
                "search.candidates.0.parameters.alpha: low must be below high, and above 0",
            ),
            ("low: 4,", "low: 1,", "search.candidates.1.parameters.max_leaf_nodes: 1 is not a whole number of at least 2"),
            ("algorithm: Ridge", "algorithm: Rigde", "search.candidates.0.algorithm: there is no algorithm \"Rigde\""),
            ("algorithm: Ridge", "algorithm: Blend", "search.candidates.0.algorithm: a blend is made of the best trials"),
            ("name: m", "name: m\n  metric: r2", "search.metric: \"r2\" is none of mae, rmse, mape, median_ae"),
            ("name: m", "name: m\n  folds: 1", "search.folds: 1 leaves nothing to measure on"),
            ("name: m", "name: m\n  colour: red", "unknown field `colour`"),
        ] {
            let error = SearchConfig::parse(&TEXT.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
