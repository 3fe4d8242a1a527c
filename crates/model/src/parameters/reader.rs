//! Reader of an algorithm's parameters, with warnings for those that are not supported.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::parameters::{algorithm::Algorithm, max_features::MaxFeatures};

/// scikit-learn's parameters that are supported at these values only; other values would change the fit.
const SUPPORTED_VALUES: [(&str, &[&str]); 11] = [
    ("ccp_alpha", &["0.0", "0"]),
    ("criterion", &["\"friedman_mse\"", "\"squared_error\""]),
    ("init", &["null"]),
    ("warm_start", &["false"]),
    ("fit_intercept", &["true"]),
    ("positive", &["false"]),
    ("oob_score", &["false"]),
    ("max_samples", &["null"]),
    ("interaction_cst", &["null"]),
    ("kernel", &["\"rbf\""]),
    ("boosting_type", &["\"gbdt\""]),
];

/// scikit-learn's parameters that do not change the fit. They belong to an unused loss, solver or early stopping, or control the execution.
const IGNORED_PARAMETERS: [&str; 17] = [
    "alpha",
    "validation_fraction",
    "tol",
    "verbose",
    "verbosity",
    "n_jobs",
    "num_threads",
    "copy_X",
    "solver",
    "max_iter",
    "selection",
    "precompute",
    "cache_size",
    "shrinking",
    "scoring",
    "bagging_freq",
    "subsample_freq",
];

/// Aliases of tree parameters: those of other scikit-learn classes, LightGBM and XGBoost.
const ALIASES: [(&str, &[&str]); 18] = [
    ("n_estimators", &["max_iter", "num_iterations", "num_iteration", "num_boost_round", "num_trees", "n_iter"]),
    ("learning_rate", &["eta", "shrinkage_rate"]),
    ("max_leaf_nodes", &["num_leaves", "max_leaves", "max_leaf"]),
    ("min_samples_leaf", &["min_child_samples", "min_data_in_leaf", "min_data_per_leaf"]),
    ("min_child_weight", &["min_sum_hessian_in_leaf", "min_sum_hessian"]),
    ("l1_regularization", &["reg_alpha", "lambda_l1"]),
    ("l2_regularization", &["reg_lambda", "lambda_l2", "lambda"]),
    ("min_split_gain", &["min_gain_to_split"]),
    ("subsample", &["bagging_fraction", "sub_row", "bagging"]),
    ("colsample_bytree", &["feature_fraction", "sub_feature"]),
    ("max_features", &["feature_fraction_bynode", "colsample_bynode"]),
    ("max_bins", &["max_bin"]),
    ("loss", &["objective"]),
    ("alpha", &["quantile", "quantile_alpha"]),
    ("n_iter_no_change", &["early_stopping_rounds", "early_stopping_round"]),
    ("monotonic_cst", &["monotone_constraints", "monotonic_constraints"]),
    ("categorical_features", &["categorical_feature", "cat_feature"]),
    ("random_state", &["seed", "random_seed"]),
];

/// Reads parameters one by one and records which were read.
pub(crate) struct ParameterReader<'a> {
    /// By canonical name, with the name in the file.
    raw: BTreeMap<&'a str, (&'a str, &'a Value)>,
    algorithm: Algorithm,
    used: Vec<&'static str>,
    warnings: Vec<String>,
}

impl<'a> ParameterReader<'a> {
    /// # Errors
    /// If a parameter is given under two names.
    pub(crate) fn new(raw_values: &'a BTreeMap<String, Value>, algorithm: Algorithm) -> Result<Self, String> {
        let mut raw: BTreeMap<&str, (&str, &Value)> = BTreeMap::new();
        for (name, value) in raw_values {
            let canonical = ALIASES.iter().find(|(_, others)| others.contains(&name.as_str()));
            let canonical = canonical.filter(|_| algorithm.grows_trees()).map_or(name.as_str(), |(canonical, _)| canonical);
            if let Some((other, _)) = raw.insert(canonical, (name, value)) {
                // in the order in which they are read
                let (first, second) = if canonical == name { (other, name.as_str()) } else { (name.as_str(), other) };
                return Err(format!("model.parameters: {first} and {second} are the same parameter; keep one"));
            }
        }
        Ok(Self { raw, algorithm, used: Vec::new(), warnings: Vec::new() })
    }

    /// The key of a parameter in the file, as it is written there.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("model.parameters.{}", self.raw.get(name).map_or(name, |(written, _)| written))
    }

    /// True if a parameter has a value.
    pub(crate) fn has_value(&self, name: &str) -> bool {
        self.raw.get(name).is_some_and(|(_, value)| !value.is_null())
    }

    /// A warning for each parameter that is not supported.
    pub(crate) fn into_warnings(mut self) -> Vec<String> {
        self.add_warnings();
        self.warnings
    }

    /// True if a parameter is absent or `auto`.
    pub(crate) fn is_auto(&self, name: &str) -> bool {
        self.raw.get(name).is_none_or(|(_, value)| value.is_null() || value.as_str() == Some("auto"))
    }

    fn get(&mut self, name: &'static str) -> Option<&'a Value> {
        self.used.push(name);
        self.raw.get(name).map(|(_, value)| *value).filter(|value| !value.is_null())
    }

    fn error<T>(&self, name: &str, value: &Value, what: &str) -> Result<T, String> {
        Err(format!("{}: {value} {what}", self.key(name)))
    }

    pub(crate) fn number(
        &mut self,
        name: &'static str,
        default: f64,
        range: std::ops::RangeInclusive<f64>,
    ) -> Result<f64, String> {
        let Some(value) = self.get(name) else { return Ok(default) };
        match value.as_f64().filter(|number| range.contains(number)) {
            Some(number) => Ok(number),
            None => self.error(name, value, &format!("is not a number from {} to {}", range.start(), range.end())),
        }
    }

    pub(crate) fn count(
        &mut self,
        name: &'static str,
        default: usize,
        range: std::ops::RangeInclusive<usize>,
    ) -> Result<usize, String> {
        let Some(value) = self.get(name) else { return Ok(default) };
        match value.as_u64().map(|count| count as usize).filter(|count| range.contains(count)) {
            Some(count) => Ok(count),
            None if *range.end() < 1_000_000 => {
                self.error(name, value, &format!("is not a whole number from {} to {}", range.start(), range.end()))
            }
            None => self.error(name, value, &format!("is not a whole number of at least {}", range.start())),
        }
    }

    pub(crate) fn flag(&mut self, name: &'static str, default: bool) -> Result<bool, String> {
        let Some(value) = self.get(name) else { return Ok(default) };
        value.as_bool().map_or_else(|| self.error(name, value, "is neither true nor false"), Ok)
    }

    /// Like `flag`; `auto` is the default.
    pub(crate) fn flag_or_auto(&mut self, name: &'static str, default: bool) -> Result<bool, String> {
        match self.get(name) {
            Some(Value::String(auto)) if auto == "auto" => Ok(default),
            _ => self.flag(name, default),
        }
    }

    pub(crate) fn text(&mut self, name: &'static str) -> Result<Option<String>, String> {
        let Some(value) = self.get(name) else { return Ok(None) };
        value.as_str().map_or_else(|| self.error(name, value, "is not text"), |text| Ok(Some(text.to_owned())))
    }

    /// A limit: `null`, or LightGBM's -1, is "no limit"; absent is the default.
    pub(crate) fn limit(
        &mut self,
        name: &'static str,
        default: Option<usize>,
        range: std::ops::RangeInclusive<usize>,
    ) -> Result<Option<usize>, String> {
        match self.raw.get(name).map(|(_, value)| *value) {
            None => Ok(default),
            Some(value) if value.is_null() || value.as_i64().is_some_and(|limit| limit == -1) => {
                self.used.push(name);
                Ok(None)
            }
            Some(_) => self.count(name, 0, range).map(Some),
        }
    }

    pub(crate) fn max_features(&mut self) -> Result<MaxFeatures, String> {
        let Some(value) = self.get("max_features") else { return Ok(MaxFeatures::Share(1.0)) };
        let max_features = match value {
            Value::String(name) if name == "sqrt" => Some(MaxFeatures::Sqrt),
            Value::String(name) if name == "log2" => Some(MaxFeatures::Log2),
            Value::Number(number) => match (number.as_u64(), number.as_f64()) {
                (Some(count), _) if count > 0 => Some(MaxFeatures::Count(count as usize)),
                (None, Some(share)) if share > 0.0 && share <= 1.0 => Some(MaxFeatures::Share(share)),
                _ => None,
            },
            _ => None,
        };
        let what = "is neither \"sqrt\", \"log2\", a count from 1 nor a share up to 1.0";
        max_features.map_or_else(|| self.error("max_features", value, what), Ok)
    }

    /// The kernel's gamma: `scale` and `auto` are the default.
    pub(crate) fn gamma(&mut self) -> Result<Option<f64>, String> {
        match self.get("gamma") {
            None => Ok(None),
            Some(Value::String(name)) if name == "scale" || name == "auto" => Ok(None),
            Some(_) => self.number("gamma", 1.0, 1e-12..=1e12).map(Some),
        }
    }

    /// Monotone direction by feature name.
    pub(crate) fn directions(&mut self) -> Result<Vec<(String, i8)>, String> {
        let Some(value) = self.get("monotonic_cst") else { return Ok(Vec::new()) };
        let Some(map) = value.as_object() else {
            return self.error("monotonic_cst", value, "is not a map of features to directions, such as {sqft: 1}");
        };
        let parse_direction = |(name, value): (&String, &Value)| {
            let direction = value.as_i64().filter(|direction| (-1..=1).contains(direction));
            let error = || format!("{}.{name}: {value} is not -1, 0 or 1", self.key("monotonic_cst"));
            direction.map(|direction| (name.clone(), direction as i8)).ok_or_else(error)
        };
        map.iter().map(parse_direction).collect()
    }

    /// A list of names.
    pub(crate) fn names(&mut self, name: &'static str) -> Result<Option<Vec<String>>, String> {
        let Some(value) = self.get(name) else { return Ok(None) };
        if matches!(value.as_str(), Some("auto" | "from_dtype")) {
            return Ok(None);
        }
        let list = value.as_array().map(|list| list.iter().map(|entry| entry.as_str().map(str::to_owned)).collect());
        match list {
            Some(Some(names)) => Ok(Some(names)),
            _ => self.error(name, value, "is not a list of features by name"),
        }
    }

    pub(crate) fn seed(&mut self) -> Result<u64, String> {
        if self.raw.get("random_state").is_some_and(|(_, value)| value.is_null()) {
            self.warnings.push(format!(
                "parameters.random_state is null: the seed {} is used, so that the run is reproducible",
                crate::DEFAULT_SEED
            ));
        }
        let Some(value) = self.get("random_state") else { return Ok(crate::DEFAULT_SEED) };
        value.as_u64().map_or_else(|| self.error("random_state", value, "is not a whole number of at least 0"), Ok)
    }

    fn add_warnings(&mut self) {
        let algorithm = self.algorithm.name();
        for (canonical, (name, value)) in &self.raw {
            if self.used.contains(canonical) {
                continue;
            }
            let supported = SUPPORTED_VALUES.iter().find(|(known, _)| known == canonical);
            match supported {
                Some((_, values)) if values.contains(&value.to_string().as_str()) => {}
                Some((_, values)) => self
                    .warnings
                    .push(format!("parameters.{name}: {value} is not supported by {algorithm}; {} is used", values[0])),
                None if IGNORED_PARAMETERS.contains(canonical) => {}
                None => self.warnings.push(format!("parameters.{name} is not a parameter of {algorithm}; ignored")),
            }
        }
    }
}
