//! Algorithms and their checked parameters.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::parameter_reader::Reader;

/// The algorithms.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Algorithm {
    /// Ordinary least squares.
    LinearRegression,
    /// Least squares with a squared penalty.
    Ridge,
    /// Least squares with an absolute penalty.
    Lasso,
    /// Least squares with both.
    ElasticNet,
    /// Averaged trees on bootstrap samples.
    RandomForest,
    /// Trees, each fitted to what the ones before it leave.
    GradientBoosting,
}

const NAMES: [(&str, Algorithm); 6] = [
    ("LinearRegression", Algorithm::LinearRegression),
    ("Ridge", Algorithm::Ridge),
    ("Lasso", Algorithm::Lasso),
    ("ElasticNet", Algorithm::ElasticNet),
    ("RandomForest", Algorithm::RandomForest),
    ("GradientBoosting", Algorithm::GradientBoosting),
];

impl Algorithm {
    /// The algorithm called `name`, with or without `Regressor` or `Regression` behind it.
    ///
    /// # Errors
    /// If there is none: lists those there are.
    pub fn parse(name: &str) -> Result<Self, String> {
        let short = |name: &str| name.trim_end_matches("Regressor").trim_end_matches("Regression").to_lowercase();
        NAMES.iter().find(|(known, _)| short(known) == short(name)).map(|(_, algorithm)| *algorithm).ok_or_else(|| {
            let known = NAMES.map(|(name, _)| name).join(", ");
            format!("model.best_model: there is no algorithm \"{name}\"; there are {known}")
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, algorithm)| *algorithm == self).map_or("", |(name, _)| name)
    }
}

/// Checked parameters: nothing else reaches [`fit`](crate::fit).
///
/// | name | of | default | range | purpose |
/// |---|---|---|---|---|
/// | `alpha` | Ridge, Lasso, ElasticNet | 1 | ≥ 0 | strength of the penalty |
/// | `l1_ratio` | ElasticNet | 0.5 | 0..=1 | share of the absolute penalty |
/// | `max_iter` | Lasso, ElasticNet | 1000 | ≥ 1 | steps of the solver |
/// | `tol` | Lasso, ElasticNet | 1e-4 | > 0 | relative duality gap at which it stops |
/// | `standardize` | Ridge: false, Lasso and ElasticNet: true | | | divide features by their standard deviation first |
/// | `n_estimators` | RandomForest, GradientBoosting | 100 | 1..=100,000 | number of trees |
/// | `max_depth` | RandomForest: none, GradientBoosting: 3 | | 1..=64 | depth of a tree |
/// | `min_samples_leaf` | RandomForest, GradientBoosting | 1 | ≥ 1 | rows in a leaf at least |
/// | `min_samples_split` | RandomForest | 2 | ≥ 2 | rows in a node that may be split |
/// | `max_features` | RandomForest | 1.0 | `sqrt`, `log2`, count or share | features looked at for a split |
/// | `learning_rate` | GradientBoosting | 0.1 | > 0 | share of each tree that is added |
/// | `subsample` | GradientBoosting | 1 | 0 < .. ≤ 1 | share of rows a tree is grown on |
/// | `random_state` | all | 42 | ≥ 0 | the seed |
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the table above describes the fields")]
pub enum Parameters {
    LinearRegression,
    Ridge {
        alpha: f64,
        standardize: bool,
    },
    Lasso {
        alpha: f64,
        max_iter: usize,
        tol: f64,
        standardize: bool,
    },
    ElasticNet {
        alpha: f64,
        l1_ratio: f64,
        max_iter: usize,
        tol: f64,
        standardize: bool,
    },
    RandomForest {
        n_estimators: usize,
        max_depth: Option<u16>,
        min_samples_leaf: usize,
        min_samples_split: usize,
        max_features: MaxFeatures,
    },
    GradientBoosting {
        n_estimators: usize,
        max_depth: u16,
        learning_rate: f64,
        min_samples_leaf: usize,
        subsample: f64,
    },
}

/// How many features a split looks at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxFeatures {
    /// This share of them.
    Share(f64),
    /// This many.
    Count(usize),
    /// The root of their number.
    Sqrt,
    /// The binary logarithm of their number.
    Log2,
}

impl MaxFeatures {
    /// How many of `width`.
    pub(crate) fn of(self, width: usize) -> usize {
        let count = match self {
            Self::Share(share) => (share * width as f64) as usize,
            Self::Count(count) => count,
            Self::Sqrt => (width as f64).sqrt() as usize,
            Self::Log2 => (width as f64).log2() as usize,
        };
        count.clamp(1, width)
    }
}

/// The deepest tree.
pub(crate) const MAX_DEPTH: u16 = 64;

impl Parameters {
    /// Checks the parameters of `algorithm`; returns them, the seed, and a warning for each that cannot be honoured.
    ///
    /// # Errors
    /// Names a value that is out of range or of the wrong type.
    pub fn check(algorithm: Algorithm, raw: &BTreeMap<String, Value>) -> Result<(Self, u64, Vec<String>), String> {
        let mut reader = Reader::new(raw, algorithm);
        let parameters = match algorithm {
            Algorithm::LinearRegression => Self::LinearRegression,
            Algorithm::Ridge => Self::Ridge {
                alpha: reader.number("alpha", 1.0, 0.0..=1e12)?,
                standardize: reader.flag("standardize", false)?,
            },
            Algorithm::Lasso => Self::Lasso {
                alpha: reader.number("alpha", 1.0, 0.0..=1e12)?,
                max_iter: reader.count("max_iter", 1000, 1..=1_000_000)?,
                tol: reader.number("tol", 1e-4, 1e-12..=1.0)?,
                standardize: reader.flag("standardize", true)?,
            },
            Algorithm::ElasticNet => Self::ElasticNet {
                alpha: reader.number("alpha", 1.0, 0.0..=1e12)?,
                l1_ratio: reader.number("l1_ratio", 0.5, 0.0..=1.0)?,
                max_iter: reader.count("max_iter", 1000, 1..=1_000_000)?,
                tol: reader.number("tol", 1e-4, 1e-12..=1.0)?,
                standardize: reader.flag("standardize", true)?,
            },
            Algorithm::RandomForest => Self::RandomForest {
                n_estimators: reader.count("n_estimators", 100, 1..=100_000)?,
                max_depth: reader.depth(None)?,
                min_samples_leaf: reader.count("min_samples_leaf", 1, 1..=usize::MAX)?,
                min_samples_split: reader.count("min_samples_split", 2, 2..=usize::MAX)?,
                max_features: reader.max_features()?,
            },
            Algorithm::GradientBoosting => Self::GradientBoosting {
                n_estimators: reader.count("n_estimators", 100, 1..=100_000)?,
                max_depth: reader.depth(Some(3))?.unwrap_or(MAX_DEPTH),
                learning_rate: reader.number("learning_rate", 0.1, 1e-9..=10.0)?,
                min_samples_leaf: reader.count("min_samples_leaf", 1, 1..=usize::MAX)?,
                subsample: reader.number("subsample", 1.0, 1e-9..=1.0)?,
            },
        };
        let seed = reader.seed()?;
        Ok((parameters, seed, reader.into_warnings()))
    }

    /// Name and value of each parameter as used.
    pub fn named(&self) -> Vec<(&'static str, Value)> {
        match *self {
            Self::LinearRegression => vec![],
            Self::Ridge { alpha, standardize } => vec![("alpha", json!(alpha)), ("standardize", json!(standardize))],
            Self::Lasso { alpha, max_iter, tol, standardize } => vec![
                ("alpha", json!(alpha)),
                ("max_iter", json!(max_iter)),
                ("tol", json!(tol)),
                ("standardize", json!(standardize)),
            ],
            Self::ElasticNet { alpha, l1_ratio, max_iter, tol, standardize } => vec![
                ("alpha", json!(alpha)),
                ("l1_ratio", json!(l1_ratio)),
                ("max_iter", json!(max_iter)),
                ("tol", json!(tol)),
                ("standardize", json!(standardize)),
            ],
            Self::RandomForest { n_estimators, max_depth, min_samples_leaf, min_samples_split, max_features } => vec![
                ("n_estimators", json!(n_estimators)),
                ("max_depth", json!(max_depth)),
                ("min_samples_leaf", json!(min_samples_leaf)),
                ("min_samples_split", json!(min_samples_split)),
                (
                    "max_features",
                    match max_features {
                        MaxFeatures::Share(share) => json!(share),
                        MaxFeatures::Count(count) => json!(count),
                        MaxFeatures::Sqrt => json!("sqrt"),
                        MaxFeatures::Log2 => json!("log2"),
                    },
                ),
            ],
            Self::GradientBoosting { n_estimators, max_depth, learning_rate, min_samples_leaf, subsample } => vec![
                ("n_estimators", json!(n_estimators)),
                ("max_depth", json!(max_depth)),
                ("learning_rate", json!(learning_rate)),
                ("min_samples_leaf", json!(min_samples_leaf)),
                ("subsample", json!(subsample)),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(algorithm: Algorithm, yaml: &str) -> Result<(Parameters, u64, Vec<String>), String> {
        Parameters::check(algorithm, &serde_yaml::from_str(yaml).unwrap())
    }

    #[test]
    fn the_twenty_parameters_of_a_scikit_learn_dump_are_understood() {
        let dump = "{alpha: 0.9, ccp_alpha: 0.0, criterion: friedman_mse, init: null, learning_rate: 0.1, loss: squared_error, \
                    max_depth: 3, max_features: null, max_leaf_nodes: null, min_impurity_decrease: 0.0, min_samples_leaf: 1, \
                    min_samples_split: 2, min_weight_fraction_leaf: 0.0, n_estimators: 100, n_iter_no_change: null, \
                    random_state: null, subsample: 1.0, tol: 0.0001, validation_fraction: 0.1, verbose: 0, warm_start: false}";
        let (parameters, seed, warnings) = check(Algorithm::GradientBoosting, dump).unwrap();
        let expected = Parameters::GradientBoosting {
            n_estimators: 100,
            max_depth: 3,
            learning_rate: 0.1,
            min_samples_leaf: 1,
            subsample: 1.0,
        };
        assert_eq!((parameters, seed), (expected, 42));
        assert_eq!(warnings, ["parameters.random_state is null: the seed 42 is used, so that the run can be repeated"]);
    }

    #[test]
    fn what_cannot_be_honoured_is_named() {
        let (_, _, warnings) = check(Algorithm::GradientBoosting, "{loss: huber, max_leaf_nodes: 8, colour: red}").unwrap();
        assert_eq!(
            warnings,
            [
                "parameters.colour is not a parameter of GradientBoosting; ignored",
                "parameters.loss: \"huber\" is not supported by GradientBoosting here; trained as with \"squared_error\"",
                "parameters.max_leaf_nodes: 8 is not supported by GradientBoosting here; trained as with null",
            ]
        );
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for (algorithm, yaml, expected) in [
            (
                Algorithm::GradientBoosting,
                "{n_estimators: many}",
                "model.parameters.n_estimators: \"many\" is not a whole number of at least 1",
            ),
            (
                Algorithm::GradientBoosting,
                "{subsample: 2}",
                "model.parameters.subsample: 2 is not a number from 0.000000001 to 1",
            ),
            (Algorithm::Ridge, "{alpha: -1}", "model.parameters.alpha: -1 is not a number from 0 to 1000000000000"),
            (Algorithm::Ridge, "{standardize: 3}", "model.parameters.standardize: 3 is neither true nor false"),
            (
                Algorithm::RandomForest,
                "{max_features: all}",
                "model.parameters.max_features: \"all\" is neither \"sqrt\", \"log2\", a count from 1 nor a share up to 1.0",
            ),
        ] {
            assert_eq!(check(algorithm, yaml).unwrap_err(), expected);
        }
        assert_eq!(
            Algorithm::parse("CatBoost").unwrap_err(),
            "model.best_model: there is no algorithm \"CatBoost\"; there are LinearRegression, Ridge, Lasso, ElasticNet, \
             RandomForest, GradientBoosting"
        );
        assert_eq!(Algorithm::parse("GradientBoostingRegressor"), Ok(Algorithm::GradientBoosting));
    }

    #[test]
    fn depth_is_limited_or_not() {
        let depth = |yaml| match check(Algorithm::RandomForest, yaml).unwrap().0 {
            Parameters::RandomForest { max_depth, .. } => max_depth,
            _ => None,
        };
        assert_eq!((depth("{}"), depth("{max_depth: null}"), depth("{max_depth: 7}")), (None, None, Some(7)));
    }
}
