//! Validated parameters of the algorithms.

pub(crate) mod algorithm;
pub(crate) mod defaults;
pub(crate) mod max_features;
pub(crate) mod reader;
pub(crate) mod trees;

use std::collections::BTreeMap;

use boosting::ImportedModel;
use serde_json::{Value, json};

use crate::{
    estimator::{svr::SvrSettings, target_transform::TargetTransform},
    parameters::{
        algorithm::Algorithm,
        reader::ParameterReader,
        trees::{TreeSettings, read_boosting, read_forest},
    },
};

/// Validated parameters, the only input of `fit`.
///
/// | name | algorithm | default | range | purpose |
/// |---|---|---|---|---|
/// | `alpha` | Ridge, Lasso, ElasticNet | 1 | ≥ 0 | strength of the penalty |
/// | `l1_ratio` | ElasticNet | 0.5 | 0..=1 | share of the absolute penalty |
/// | `max_iter` | Lasso, ElasticNet | 1000 | ≥ 1 | steps of the solver |
/// | `tol` | Lasso, ElasticNet | 1e-4 | > 0 | relative duality gap at which it stops |
/// | `standardize` | Ridge: false, Lasso and ElasticNet: true | | | scale features by their standard deviation |
/// | `C` | SVR | 1 | > 0 | penalty of errors, in standard deviations of the target |
/// | `epsilon` | SVR | 0.1 | ≥ 0 | errors without a penalty, in standard deviations of the target |
/// | `gamma` | SVR | `scale` | > 0 | inverse width of the kernel |
/// | `random_state` | all | 42 | ≥ 0 | the seed |
///
/// Parameters of trees are in [`TreeSettings`].
#[derive(Clone, Debug, PartialEq)]
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
    Svr(SvrSettings),
    /// RandomForest and ExtraTrees.
    Forest(TreeSettings),
    /// GradientBoosting and HistGradientBoosting.
    Boosting(TreeSettings),
    /// The parts of a blend.
    Blend(Vec<BlendPartParameters>),
    /// A model of another program.
    Imported(Box<ImportedModel>),
}

/// Validated parameters of a part of a blend.
#[derive(Clone, Debug, PartialEq)]
pub struct BlendPartParameters {
    /// Weight in the mean.
    pub weight: f64,
    /// Transform of the target for its fit.
    pub transform: TargetTransform,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Its parameters; not a blend.
    pub parameters: Parameters,
    /// Its seed.
    pub seed: u64,
}

impl Parameters {
    /// Validates the parameters of `algorithm`, which is not a blend. Returns them, the seed, and a warning for each parameter that is not
    /// supported.
    ///
    /// # Errors
    /// If a value is out of range or of the wrong type; the message names it.
    pub fn try_from_values(algorithm: Algorithm, raw: &BTreeMap<String, Value>) -> Result<(Self, u64, Vec<String>), String> {
        let mut reader = ParameterReader::new(raw, algorithm)?;
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
            Algorithm::Svr => Self::Svr(SvrSettings {
                c: reader.number("C", 1.0, 1e-9..=1e9)?,
                epsilon: reader.number("epsilon", 0.1, 0.0..=1e9)?,
                gamma: reader.gamma()?,
            }),
            Algorithm::RandomForest | Algorithm::ExtraTrees => Self::Forest(read_forest(&mut reader, algorithm)?),
            Algorithm::GradientBoosting | Algorithm::HistGradientBoosting => {
                Self::Boosting(read_boosting(&mut reader, algorithm)?)
            }
            Algorithm::Blend => {
                return Err("model.parameters: not allowed for a blend. Set parameters in model.blend".into());
            }
            Algorithm::Imported => return Err("model.best_model: an imported model has no parameters".into()),
        };
        let seed = reader.seed()?;
        Ok((parameters, seed, reader.into_warnings()))
    }

    /// Adds the values that depend on the table: categorical features and monotone directions.
    /// [`map_imported_model`](crate::import_mapping::map_imported_model) does this for an imported model.
    ///
    /// # Errors
    /// If a named feature does not exist.
    pub fn for_features(&self, features: &[String], categorical: &[bool]) -> Result<Self, String> {
        Ok(match self {
            Self::Forest(settings) => Self::Forest(settings.for_features(features, categorical)?),
            Self::Boosting(settings) => Self::Boosting(settings.for_features(features, categorical)?),
            Self::Blend(parts) => Self::Blend(
                parts
                    .iter()
                    .map(|part| {
                        Ok(BlendPartParameters {
                            parameters: part.parameters.for_features(features, categorical)?,
                            ..part.clone()
                        })
                    })
                    .collect::<Result<_, String>>()?,
            ),
            other => other.clone(),
        })
    }

    /// The transform to invert in a prediction of this model: none for a blend, which predicts in the target's unit.
    pub fn remaining_transform(&self, transform: TargetTransform) -> TargetTransform {
        if matches!(self, Self::Blend(_)) { TargetTransform::None } else { transform }
    }

    /// True if features may be missing.
    pub fn accepts_missing(&self) -> bool {
        match self {
            Self::Forest(_) | Self::Boosting(_) | Self::Imported(_) => true,
            Self::Blend(parts) => parts.iter().all(|part| part.parameters.accepts_missing()),
            _ => false,
        }
    }

    /// True if rows may have weights.
    pub fn accepts_weights(&self) -> bool {
        match self {
            Self::Boosting(_) | Self::Imported(_) => true,
            Self::Blend(parts) => parts.iter().all(|part| part.parameters.accepts_weights()),
            _ => false,
        }
    }

    /// Name and value of each parameter, with the defaults for a table of `rows` rows.
    pub fn named(&self, rows: Option<usize>) -> Vec<(String, Value)> {
        let own = |list: Vec<(&str, Value)>| list.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        match self {
            Self::LinearRegression => vec![],
            Self::Ridge { alpha, standardize } => own(vec![("alpha", json!(alpha)), ("standardize", json!(standardize))]),
            Self::Lasso { alpha, max_iter, tol, standardize } => own(vec![
                ("alpha", json!(alpha)),
                ("max_iter", json!(max_iter)),
                ("tol", json!(tol)),
                ("standardize", json!(standardize)),
            ]),
            Self::ElasticNet { alpha, l1_ratio, max_iter, tol, standardize } => own(vec![
                ("alpha", json!(alpha)),
                ("l1_ratio", json!(l1_ratio)),
                ("max_iter", json!(max_iter)),
                ("tol", json!(tol)),
                ("standardize", json!(standardize)),
            ]),
            Self::Svr(SvrSettings { c, epsilon, gamma }) => own(vec![
                ("C", json!(c)),
                ("epsilon", json!(epsilon)),
                ("gamma", gamma.map_or(json!("scale"), |gamma| json!(gamma))),
            ]),
            Self::Forest(settings) | Self::Boosting(settings) => own(settings.named(rows)),
            Self::Imported(imported) => {
                own(vec![("imported_from", json!(imported.source)), ("n_estimators", json!(imported.trees.len()))])
            }
            Self::Blend(parts) => {
                let part = |(index, part): (usize, &BlendPartParameters)| {
                    let mut named = vec![
                        (format!("blend.{index}.algorithm"), json!(part.algorithm.name())),
                        (format!("blend.{index}.weight"), json!(part.weight)),
                        (format!("blend.{index}.target_transform"), json!(part.transform.name())),
                        (format!("blend.{index}.random_state"), json!(part.seed)),
                    ];
                    let own = part.parameters.named(rows).into_iter();
                    named.extend(own.map(|(name, value)| (format!("blend.{index}.{name}"), value)));
                    named
                };
                parts.iter().enumerate().flat_map(part).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validate(algorithm: Algorithm, yaml: &str) -> Result<(Parameters, u64, Vec<String>), String> {
        Parameters::try_from_values(algorithm, &serde_yaml::from_str(yaml).unwrap())
    }

    fn named(algorithm: Algorithm, yaml: &str) -> BTreeMap<String, Value> {
        validate(algorithm, yaml).unwrap().0.named(None).into_iter().collect()
    }

    #[test]
    fn the_twenty_parameters_of_a_scikit_learn_dump_are_understood() {
        let dump = "{alpha: 0.9, ccp_alpha: 0.0, criterion: friedman_mse, init: null, learning_rate: 0.1, loss: squared_error, \
                    max_depth: 3, max_features: null, max_leaf_nodes: null, min_impurity_decrease: 0.0, min_samples_leaf: 1, \
                    min_samples_split: 2, min_weight_fraction_leaf: 0.0, n_estimators: 100, n_iter_no_change: null, \
                    random_state: null, subsample: 1.0, tol: 0.0001, validation_fraction: 0.1, verbose: 0, warm_start: false}";
        let (parameters, seed, warnings) = validate(Algorithm::GradientBoosting, dump).unwrap();
        assert_eq!((parameters, seed), (validate(Algorithm::GradientBoosting, "{}").unwrap().0, 42));
        assert_eq!(warnings, ["parameters.random_state is null: the seed 42 is used, so that the run is reproducible"]);
        let all = named(Algorithm::GradientBoosting, dump);
        for (name, value) in [("n_estimators", 100), ("max_depth", 3), ("min_samples_leaf", 1), ("min_samples_split", 2)] {
            assert_eq!(all[name], json!(value), "{name}");
        }
        assert_eq!((&all["loss"], &all["learning_rate"]), (&json!("squared_error"), &json!(0.1)));
    }

    #[test]
    fn the_names_of_lightgbm_are_understood() {
        let lightgbm = "{objective: regression_l1, num_leaves: 40, num_iterations: 50, min_data_in_leaf: 7, lambda_l2: 2, reg_alpha: 1, \
                      bagging_fraction: 0.5, feature_fraction: 0.7, max_bin: 63, max_depth: -1, shrinkage_rate: 0.2}";
        let scikit_learn = "{loss: absolute_error, max_leaf_nodes: 40, max_iter: 50, min_samples_leaf: 7, l2_regularization: 2, \
                    l1_regularization: 1, subsample: 0.5, colsample_bytree: 0.7, max_bins: 63, max_depth: null, learning_rate: 0.2}";
        let of = |yaml| validate(Algorithm::HistGradientBoosting, yaml).unwrap();
        assert_eq!(of(lightgbm), of(scikit_learn));
        assert_eq!(of(lightgbm).2, [""; 0]);
        assert_eq!(
            validate(Algorithm::HistGradientBoosting, "{num_leaves: 4, max_leaf_nodes: 5}").unwrap_err(),
            "model.parameters: num_leaves and max_leaf_nodes are the same parameter; keep one"
        );
    }

    #[test]
    fn unsupported_parameters_give_a_warning() {
        let (_, _, warnings) = validate(Algorithm::GradientBoosting, "{init: zero, colour: red}").unwrap();
        assert_eq!(
            warnings,
            [
                "parameters.colour is not a parameter of GradientBoosting; ignored",
                "parameters.init: \"zero\" is not supported by GradientBoosting; null is used",
            ]
        );
    }

    #[test]
    fn values_out_of_range_are_an_error() {
        for (algorithm, yaml, expected) in [
            (
                Algorithm::GradientBoosting,
                "{n_estimators: many}",
                "model.parameters.n_estimators: \"many\" is not a whole number from 1 to 100000",
            ),
            (
                Algorithm::GradientBoosting,
                "{subsample: 2}",
                "model.parameters.subsample: 2 is not a number from 0.000000001 to 1",
            ),
            (
                Algorithm::GradientBoosting,
                "{loss: exponential}",
                "model.parameters.loss: loss \"exponential\" does not exist; the losses are squared_error, absolute_error, huber, quantile, \
                 poisson, gamma",
            ),
            (Algorithm::Ridge, "{alpha: -1}", "model.parameters.alpha: -1 is not a number from 0 to 1000000000000"),
            (Algorithm::Ridge, "{standardize: 3}", "model.parameters.standardize: 3 is neither true nor false"),
            (
                Algorithm::RandomForest,
                "{max_features: all}",
                "model.parameters.max_features: \"all\" is neither \"sqrt\", \"log2\", a count from 1 nor a share up to 1.0",
            ),
            (
                Algorithm::HistGradientBoosting,
                "{monotonic_cst: {sqft: 2}}",
                "model.parameters.monotonic_cst.sqft: 2 is not -1, 0 or 1",
            ),
            (
                Algorithm::HistGradientBoosting,
                "{num_leaves: 1}",
                "model.parameters.num_leaves: 1 is not a whole number of at least 2",
            ),
        ] {
            assert_eq!(validate(algorithm, yaml).unwrap_err(), expected);
        }
    }

    #[test]
    fn depth_is_limited_or_not() {
        let depth = |yaml| named(Algorithm::RandomForest, yaml)["max_depth"].clone();
        assert_eq!((depth("{}"), depth("{max_depth: null}"), depth("{max_depth: 7}")), (Value::Null, Value::Null, json!(7)));
        assert_eq!(named(Algorithm::GradientBoosting, "{}")["max_depth"], json!(3));
    }
}
