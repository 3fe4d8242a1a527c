//! The file `configs/model_config.yaml`.

use crate::estimator::target_transform::TargetTransform;
use std::collections::BTreeMap;

use schema::{ConfigError, OrderedMap};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::parameters::{BlendPartParameters, Parameters, algorithm::Algorithm};

/// The file of a model.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The model.
    pub model: ModelSection,
}

/// The model: its name, algorithm, parameters, target and features.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// Name of runs and bundles: letters, digits, `_`, `-` and `.`.
    pub name: String,
    /// The algorithm: `LinearRegression`, `Ridge`, `Lasso`, `ElasticNet`, `RandomForest`, `ExtraTrees`, `GradientBoosting` (scikit-learn's
    /// class and defaults), `HistGradientBoosting` (the same engine, with defaults by the size of the table), `SVR` or `Blend`.
    pub best_model: String,
    /// The algorithm's parameters by scikit-learn's names; `null` is scikit-learn's default. A parameter that is not supported gives a
    /// warning.
    #[serde(default)]
    pub parameters: BTreeMap<String, Value>,
    /// The parts of a `Blend`; it predicts their weighted mean.
    #[serde(default)]
    pub blend: Vec<BlendPart>,
    /// The column to predict. It must be the target of the table.
    #[serde(default)]
    pub target_variable: Option<String>,
    /// Transform of the target for the fit: `log` where errors grow with the value. Predictions are in the target's own unit.
    #[serde(default)]
    pub target_transform: TargetTransform,
    /// A column of the featured table with the weight of each row in the fit, at least 0; it is not a feature. Only for `GradientBoosting`
    /// and `HistGradientBoosting`. Metrics do not use weights.
    #[serde(default)]
    pub sample_weight: Option<String>,
    /// Lists of features by name (`sqft`, `location=Suburb`, or `location` for all of its features) or by index from 0. Without a list, all
    /// features are used.
    #[serde(default)]
    pub feature_sets: OrderedMap<Vec<Value>>,
    /// The feature set to use, if there are several.
    #[serde(default)]
    pub feature_set: Option<String>,
    /// Cross-validation on training rows.
    #[serde(default)]
    pub cross_validation: CrossValidationSection,
    /// Prediction intervals.
    #[serde(default)]
    pub intervals: IntervalSection,
    /// A result, not a setting: ignored with a warning, as the three keys below.
    #[serde(default)]
    pub mae: Option<Value>,
    /// A result.
    #[serde(default)]
    pub rmse: Option<Value>,
    /// A result.
    #[serde(default)]
    pub mse: Option<Value>,
    /// A result.
    #[serde(default)]
    pub r2_score: Option<Value>,
}

/// Cross-validation.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CrossValidationSection {
    /// Number of folds; 0 for none.
    pub folds: usize,
}

impl Default for CrossValidationSection {
    fn default() -> Self {
        Self { folds: 5 }
    }
}

/// A part of a blend.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BlendPart {
    /// The algorithm, as in `best_model`; `Blend` is not allowed.
    pub algorithm: String,
    /// Weight in the mean, above 0. Weights are divided by their sum.
    pub weight: f64,
    /// The algorithm's parameters.
    #[serde(default)]
    pub parameters: BTreeMap<String, Value>,
    /// Transform of the target for this part.
    #[serde(default)]
    pub target_transform: TargetTransform,
}

/// Prediction intervals: conformal, from the residuals of cross-validation.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct IntervalSection {
    /// Share of targets inside the interval: above 0 and below 1.
    pub coverage: f64,
}

impl Default for IntervalSection {
    fn default() -> Self {
        Self { coverage: 0.9 }
    }
}

impl ModelConfig {
    /// Parses the text of a `model_config.yaml`.
    ///
    /// # Errors
    /// If the text is not YAML, or has an unknown key or a value of the wrong type; with line and column.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        if let Some(line) = text.lines().position(|line| line.contains("\\_")) {
            let message = "a backslash before an underscore, probably copied from a web page. Remove the backslashes";
            return Err(ConfigError { line: Some(line + 1), column: None, message: message.into() });
        }
        schema::parse_yaml(text)
    }
}

impl ModelSection {
    /// Names of the results that the file contains.
    pub fn results(&self) -> Vec<&'static str> {
        let results = [("mae", &self.mae), ("rmse", &self.rmse), ("mse", &self.mse), ("r2_score", &self.r2_score)];
        results.into_iter().filter(|(_, value)| value.is_some()).map(|(name, _)| name).collect()
    }

    /// The algorithm, its validated parameters, the seed, and a warning for each parameter that is not supported.
    ///
    /// # Errors
    /// If a value is out of range or of the wrong type; the message names it.
    pub fn resolve_parameters(&self) -> Result<(Algorithm, Parameters, u64, Vec<String>), String> {
        let algorithm = Algorithm::parse(&self.best_model)?;
        if algorithm != Algorithm::Blend {
            if !self.blend.is_empty() {
                return Err(format!("model.blend: has parts, but model.best_model is {}", algorithm.name()));
            }
            let (parameters, seed, warnings) = Parameters::try_from_values(algorithm, &self.parameters)?;
            return Ok((algorithm, parameters, seed, warnings));
        }
        if self.blend.is_empty() {
            return Err("model.blend: has no parts".into());
        }
        if self.target_transform != TargetTransform::None {
            return Err("model.target_transform: not allowed for a blend. Set it for each part in model.blend".into());
        }
        if let Some(name) = self.parameters.keys().find(|name| *name != "random_state") {
            return Err(format!("model.parameters.{name}: not allowed for a blend. Set parameters in model.blend"));
        }
        // only the seed
        let (_, own_seed, mut warnings) = Parameters::try_from_values(Algorithm::LinearRegression, &self.parameters)?;
        let total: f64 = self.blend.iter().map(|part| part.weight).sum();
        let mut parts = Vec::new();
        for (index, part) in self.blend.iter().enumerate() {
            let placed = |message: String| message.replacen("model.", &format!("model.blend.{index}."), 1);
            let algorithm = Algorithm::parse(&part.algorithm)
                .map_err(|message| placed(message.replacen("best_model", "algorithm", 1)))?;
            if algorithm == Algorithm::Blend {
                return Err(placed("model.algorithm: a blend cannot be part of a blend".into()));
            }
            if !(part.weight > 0.0 && part.weight.is_finite()) {
                return Err(placed(format!("model.weight: {} is not a number above 0", part.weight)));
            }
            let (parameters, seed, part_warnings) =
                Parameters::try_from_values(algorithm, &part.parameters).map_err(placed)?;
            warnings.extend(part_warnings);
            let seed = if part.parameters.contains_key("random_state") { seed } else { own_seed };
            let weight = part.weight / total;
            parts.push(BlendPartParameters { weight, transform: part.target_transform, algorithm, parameters, seed });
        }
        Ok((algorithm, Parameters::Blend(parts), own_seed, warnings))
    }

    /// True if the target or that of a blend's part is transformed by a logarithm; the target must then be above 0.
    pub fn uses_log_target(&self) -> bool {
        self.target_transform == TargetTransform::Log
            || self.blend.iter().any(|part| part.target_transform == TargetTransform::Log)
    }

    /// Name of the feature set in use: the selected one, or the only one.
    pub fn feature_set_in_use(&self) -> Option<&str> {
        let only = self.feature_sets.0.first().map(|(name, _)| name.as_str());
        self.feature_set.as_deref().or(only)
    }

    /// The features to train on, selected from `available`, in the order of the feature file.
    ///
    /// # Errors
    /// If an entry is not a feature; the message names similar or available features.
    pub fn features(&self, available: &[String]) -> Result<Vec<String>, String> {
        let set = match (&self.feature_set, self.feature_sets.0.as_slice()) {
            (Some(name), _) => self.feature_sets.get(name).map(|set| (name.as_str(), set)).ok_or_else(|| {
                let known: Vec<&str> = self.feature_sets.iter().map(|(name, _)| name).collect();
                format!("model.feature_set: \"{name}\" is not in model.feature_sets ({})", known.join(", "))
            })?,
            (None, []) => return Ok(available.to_vec()),
            (None, [(name, set)]) => (name.as_str(), set),
            (None, several) => {
                let known: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
                return Err(format!(
                    "model.feature_sets has several sets ({}). Select one with model.feature_set",
                    known.join(", ")
                ));
            }
        };
        let (name, entries) = set;
        if entries.is_empty() {
            return Err(format!("model.feature_sets.{name} is empty"));
        }
        let mut selected = vec![false; available.len()];
        for entry in entries {
            for place in places(entry, available).map_err(|message| format!("model.feature_sets.{name}: {message}"))? {
                selected[place] = true;
            }
        }
        Ok(available.iter().zip(selected).filter(|(_, selected)| *selected).map(|(feature, _)| feature.clone()).collect())
    }
}

/// Indices of the features of one entry of a feature set.
fn places(entry: &Value, available: &[String]) -> Result<Vec<usize>, String> {
    let text = entry.as_str().map_or_else(|| entry.to_string(), str::to_owned);
    let matching = |name: &str| -> Vec<usize> {
        let is = |feature: &String| feature == name || feature.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
        available.iter().enumerate().filter(|(_, feature)| is(feature)).map(|(place, _)| place).collect()
    };
    let by_name = matching(&text);
    if !by_name.is_empty() {
        return Ok(by_name);
    }
    let listed = || {
        let shown = available.iter().take(40).enumerate().map(|(index, name)| format!("{index} {name}"));
        shown.collect::<Vec<_>>().join(", ")
    };
    match text.parse::<usize>() {
        Ok(index) if index < available.len() => Ok(vec![index]),
        Ok(index) => Err(format!("feature {index} does not exist; the {} features are: {}", available.len(), listed())),
        Err(_) => {
            let near = schema::closest_match(&text, available.iter().map(String::as_str));
            let hint = near
                .map_or_else(|| format!("; the features are: {}", listed()), |near| format!(" (did you mean \"{near}\"?)"));
            Err(format!("feature \"{text}\" does not exist{hint}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(extra: &str) -> ModelSection {
        let text = format!("model:\n  name: m\n  best_model: Ridge\n{extra}");
        ModelConfig::parse(&text).unwrap().model
    }

    fn selected(extra: &str) -> Result<String, String> {
        let available = ["sqft", "location=Rural", "location=Urban"].map(String::from);
        section(extra).features(&available).map(|features| features.join(" "))
    }

    #[test]
    fn the_reference_is_current() {
        let body = schema::render_reference("model_config.yaml", &schemars::schema_for!(ModelConfig));
        let text = format!("# Model configuration reference\n\nGenerated from the program; do not edit.\n\n{body}");
        // read at run time, because checkouts can share compiled tests
        let path = format!("{}/../../docs/model_config.md", std::env::var("CARGO_MANIFEST_DIR").unwrap());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(written == text, "docs/model_config.md is out of date: run UPDATE_DOCS=1 scripts/test.sh");
    }

    #[test]
    fn feature_sets_are_names_or_indices() {
        assert_eq!(selected(""), Ok("sqft location=Rural location=Urban".into()));
        assert_eq!(selected("  feature_sets: {rfe: [location=Urban, sqft]}\n"), Ok("sqft location=Urban".into()));
        assert_eq!(selected("  feature_sets: {rfe: [location]}\n"), Ok("location=Rural location=Urban".into()));
        assert_eq!(selected("  feature_sets: {rfe: ['0', 2]}\n"), Ok("sqft location=Urban".into()));
        assert_eq!(selected("  feature_set: b\n  feature_sets: {a: [0], b: [1]}\n"), Ok("location=Rural".into()));
    }

    #[test]
    fn invalid_feature_sets_are_an_error() {
        for (extra, expected) in [
            (
                "  feature_sets: {rfe: [7]}\n",
                "model.feature_sets.rfe: feature 7 does not exist; the 3 features are: 0 sqft, 1 location=Rural, 2 location=Urban",
            ),
            (
                "  feature_sets: {rfe: [sqfd]}\n",
                "model.feature_sets.rfe: feature \"sqfd\" does not exist (did you mean \"sqft\"?)",
            ),
            ("  feature_sets: {rfe: []}\n", "model.feature_sets.rfe is empty"),
            (
                "  feature_sets: {a: [0], b: [1]}\n",
                "model.feature_sets has several sets (a, b). Select one with model.feature_set",
            ),
            ("  feature_set: c\n  feature_sets: {a: [0]}\n", "model.feature_set: \"c\" is not in model.feature_sets (a)"),
        ] {
            assert_eq!(selected(extra).unwrap_err(), expected);
        }
    }

    #[test]
    fn errors_have_line_numbers() {
        let error = |text: &str| ModelConfig::parse(text).unwrap_err().to_string();
        assert_eq!(
            error("model:\n  best\\_model: Ridge\n"),
            "2: a backslash before an underscore, probably copied from a web page. Remove the backslashes"
        );
        assert!(
            error("model:\n  name: m\n  best_model: Ridge\n  colour: red\n")
                .starts_with("4:3: model: unknown field `colour`")
        );
    }
}
