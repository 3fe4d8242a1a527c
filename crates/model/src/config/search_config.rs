//! The file of a search, and its trials.

use crate::config::candidate::{Candidate, Trial};

use fastrand::Rng;
use schema::ConfigError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::parameters::algorithm::Algorithm;

/// The file of a search.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SearchConfig {
    /// The search.
    pub search: SearchSection,
}

/// A search: its budget, evaluation and candidates.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SearchSection {
    /// Name of the model: of its runs and of its configuration.
    pub name: String,
    /// The column to predict. It must be the target of the table.
    #[serde(default)]
    pub target_variable: Option<String>,
    /// The metric to minimise, by cross-validation: `mae`, `rmse`, `mape` or `median_ae`.
    #[serde(default = "mae")]
    pub metric: String,
    /// Largest number of trials.
    #[serde(default = "trials")]
    pub trials: usize,
    /// Largest duration in minutes.
    #[serde(default = "minutes")]
    pub minutes: f64,
    /// Number of folds of the cross-validation. For few rows, it is repeated with other folds.
    #[serde(default = "folds")]
    pub folds: usize,
    /// Seed of trials and folds.
    #[serde(default = "seed")]
    pub seed: u64,
    /// Successive halving: many trials use a part of the rows, and the best third of them go on with more, up to all rows. Without it,
    /// every trial uses all rows. Small tables always use all rows.
    #[serde(default = "yes")]
    pub halving: bool,
    /// Try the best trial with fewer and fewer features (recursive feature elimination).
    #[serde(default = "yes")]
    pub eliminate: bool,
    /// Try a blend of the best trials.
    #[serde(default = "yes")]
    pub blend: bool,
    /// Candidates; without any, defaults by the size of the table.
    #[serde(default)]
    pub candidates: Vec<Candidate>,
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
fn yes() -> bool {
    true
}

/// Longest duration of a search in minutes (one year).
pub const MAX_MINUTES: f64 = 525_600.0;

impl SearchConfig {
    /// Parses and validates the text of a search.
    ///
    /// # Errors
    /// If the text is not YAML or has an unknown key (with line and column), or a value is invalid (with its key).
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = schema::parse_yaml(text)?;
        let validate = || -> Result<(), String> {
            let search = &config.search;
            if !["mae", "rmse", "mape", "median_ae"].contains(&search.metric.as_str()) {
                return Err(format!("search.metric: \"{}\" is not one of mae, rmse, mape, median_ae", search.metric));
            }
            if search.folds < 2 {
                return Err(format!("search.folds: {} must be at least 2", search.folds));
            }
            if !(search.minutes > 0.0 && search.minutes <= MAX_MINUTES) || search.trials == 0 {
                return Err(format!("search: minutes must be above 0 and at most {MAX_MINUTES}, and trials at least 1"));
            }
            search.candidates.iter().enumerate().try_for_each(|(index, candidate)| {
                let placed = |message: String| {
                    let rest = message.strip_prefix("model.").unwrap_or(&message).replacen("best_model", "algorithm", 1);
                    format!("search.candidates.{index}.{rest}")
                };
                if Algorithm::parse(&candidate.algorithm).map_err(placed)? == Algorithm::Blend {
                    return Err(placed(
                        "algorithm: a blend is not a candidate; blends are built from the best trials".into(),
                    ));
                }
                // both ends of every range must be valid
                [0.0, 1.0].into_iter().try_for_each(|share| {
                    let mut draw = |_: usize| share;
                    let trial = candidate.draw(0, &mut draw).map_err(placed)?;
                    trial.parameters().map(|_| ()).map_err(placed)
                })
            })
        };
        validate().map_err(|message| {
            let key = message.split(": ").next().unwrap_or_default();
            let keys: Vec<&str> = key.split('.').take_while(|key| key.parse::<usize>().is_err()).collect();
            ConfigError { line: schema::line_of(text, &keys), column: None, message }
        })?;
        Ok(config)
    }
}

impl SearchSection {
    /// Trial `number` of the search: first one trial of each candidate in order, then trials of random candidates.
    ///
    /// # Errors
    /// If a range is invalid; the message names it.
    pub fn trial(&self, number: usize, candidates: &[Candidate]) -> Result<Trial, String> {
        let mut rng = Rng::with_seed(self.seed ^ (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let candidate = if number < candidates.len() { number } else { rng.usize(..candidates.len()) };
        candidates[candidate].draw(number, &mut |_| rng.f64())
    }

    /// Candidates for a table of `rows` training rows, cheap algorithms first. `positive` is true if the target has a logarithm.
    pub fn candidates(&self, rows: usize, positive: bool) -> Vec<Candidate> {
        if self.candidates.is_empty() {
            crate::config::default_candidates::default_candidates(rows, positive)
        } else {
            self.candidates.clone()
        }
    }
}

pub(crate) fn mae() -> String {
    "mae".into()
}

pub(crate) fn seed() -> u64 {
    crate::DEFAULT_SEED
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
        // read at run time, because checkouts can share compiled tests
        let path = format!("{}/../../docs/search_config.md", std::env::var("CARGO_MANIFEST_DIR").unwrap());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(written == text, "docs/search_config.md is out of date: run UPDATE_DOCS=1 scripts/test.sh");
    }

    #[test]
    fn trials_are_reproducible_and_within_their_ranges() {
        let search = SearchConfig::parse(TEXT).unwrap().search;
        let candidates = search.candidates(100, true);
        let mut distinct = std::collections::BTreeSet::new();
        for number in 0..200 {
            let trial = search.trial(number, &candidates).unwrap();
            assert_eq!(trial, search.trial(number, &candidates).unwrap());
            trial.parameters().unwrap();
            distinct.insert(serde_json::to_string(&trial.parameters).unwrap());
            if let Some(alpha) = trial.parameters.get("alpha") {
                assert!((0.01..=100.0).contains(&alpha.as_f64().unwrap()));
            }
        }
        assert!(distinct.len() > 90, "{}", distinct.len());
        let first: Vec<String> = (0..2).map(|number| search.trial(number, &candidates).unwrap().algorithm).collect();
        assert_eq!(first, ["Ridge", "HistGradientBoosting"]);
    }

    #[test]
    fn invalid_searches_are_an_error() {
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
            ("algorithm: Ridge", "algorithm: Rigde", "search.candidates.0.algorithm: algorithm \"Rigde\" does not exist"),
            ("algorithm: Ridge", "algorithm: Blend", "search.candidates.0.algorithm: a blend is not a candidate"),
            ("name: m", "name: m\n  metric: r2", "search.metric: \"r2\" is not one of mae, rmse, mape, median_ae"),
            ("name: m", "name: m\n  folds: 1", "search.folds: 1 must be at least 2"),
            ("name: m", "name: m\n  colour: red", "unknown field `colour`"),
        ] {
            let error = SearchConfig::parse(&TEXT.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
