//! Parameters of tree algorithms.

use boosting::{BoostingParameters as Boosting, EarlyStopping, Loss};
use serde_json::{Value, json};

use crate::parameters::{algorithm::Algorithm, max_features::MaxFeatures, reader::ParameterReader};

/// Validated parameters of trees by scikit-learn's names. LightGBM's names are accepted, too (`num_leaves`, `min_data_in_leaf`, `lambda_l2`
/// and so on).
///
/// | name | GradientBoosting | HistGradientBoosting | forests | purpose |
/// |---|---|---|---|---|
/// | `loss` | squared_error | squared_error | – | also `absolute_error`, `huber`, `quantile`, `poisson`, `gamma` |
/// | `alpha` (`quantile`) | 0.9 | 0.9 | – | quantile of the quantile loss, or of Huber's delta |
/// | `n_estimators` (`max_iter`) | 100 | auto | 100 | largest number of trees |
/// | `learning_rate` | 0.1 | auto | – | factor of each tree's output |
/// | `max_depth` | 3 | none | none | largest depth of a tree |
/// | `max_leaf_nodes` | none | auto | none | largest number of leaves of a tree |
/// | `min_samples_leaf` | 1 | auto | 1 | smallest number of rows in a leaf |
/// | `min_samples_split` | 2 | 2 | 2 | smallest number of rows in a node to split |
/// | `min_weight_fraction_leaf` | 0 | 0 | 0 | smallest share of rows in a leaf |
/// | `min_impurity_decrease` | 0 | 0 | 0 | smallest gain of a split, in scikit-learn's unit |
/// | `min_split_gain` | 0 | 0 | – | smallest gain of a split, in LightGBM's unit |
/// | `min_child_weight` | 0 | 0 | 0 | smallest sum of second derivatives in a leaf |
/// | `l1_regularization`, `l2_regularization` | 0 | 0 | – | penalties of leaf values |
/// | `subsample` | 1 | auto | – | share of rows per tree |
/// | `max_features` | 1.0 | 1.0 | 1.0 | features searched for a split: `sqrt`, `log2`, count or share |
/// | `colsample_bytree` | 1 | auto | – | share of features per tree |
/// | `max_bins` | 255 | 255 | 255 | bins of a feature |
/// | `monotonic_cst` | none | none | none | `{feature: 1}`: predictions may not fall with it; -1: may not rise |
/// | `categorical_features` | from the table | from the table | from the table | features with codes of categories |
/// | `early_stopping` | false | auto | – | stop when the validation loss no longer falls |
/// | `n_iter_no_change`, `validation_fraction`, `tol` | none, 0.1, 1e-4 | 50, 0.1, 0 | – | rounds, validation share and tolerance of early stopping |
/// | `bootstrap` | – | – | RandomForest: true, ExtraTrees: false | rows drawn with replacement |
#[derive(Clone, Debug, PartialEq)]
pub struct TreeSettings {
    /// Parameters that do not depend on the table.
    pub(crate) settings: Boosting,
    pub(crate) algorithm: Algorithm,
    pub(crate) max_features: MaxFeatures,
    pub(crate) min_fraction: f64,
    pub(crate) min_impurity_decrease: f64,
    pub(crate) bootstrap: bool,
    pub(crate) monotone: Vec<(String, i8)>,
    pub(crate) categorical: Option<Vec<String>>,
    /// Early stopping, if it is on.
    pub(crate) stopping: EarlyStopping,
    /// Parameters with defaults by the size of the table.
    pub(crate) auto: Vec<&'static str>,
}

/// Name of the parameter that turns early stopping on.
const EARLY_STOPPING: &str = "early_stopping";

/// Losses by scikit-learn's name, with their aliases.
const LOSSES: [(&str, &[&str]); 6] = [
    ("squared_error", &["ls", "regression", "regression_l2", "l2", "mse", "mean_squared_error", "reg:squarederror"]),
    ("absolute_error", &["lad", "regression_l1", "l1", "mae", "mean_absolute_error", "reg:absoluteerror"]),
    ("huber", &[]),
    ("quantile", &[]),
    ("poisson", &["count:poisson"]),
    ("gamma", &["reg:gamma"]),
];

fn read_loss(reader: &mut ParameterReader) -> Result<Loss, String> {
    let alpha = reader.number("alpha", 0.9, 1e-6..=1.0 - 1e-6)?;
    let Some(name) = reader.text("loss")? else { return Ok(Loss::Squared) };
    let known = LOSSES.iter().find(|(ours, others)| *ours == name || others.contains(&name.as_str()));
    match known.map(|(ours, _)| *ours) {
        Some("squared_error") => Ok(Loss::Squared),
        Some("absolute_error") => Ok(Loss::Absolute),
        Some("huber") => Ok(Loss::Huber { alpha }),
        Some("quantile") => Ok(Loss::Quantile { alpha }),
        Some("poisson") => Ok(Loss::Poisson),
        Some("gamma") => Ok(Loss::Gamma),
        _ => {
            let known = LOSSES.map(|(name, _)| name).join(", ");
            Err(format!("{}: loss \"{name}\" does not exist; the losses are {known}", reader.key("loss")))
        }
    }
}

fn loss_name(loss: Loss) -> &'static str {
    match loss {
        Loss::Squared => "squared_error",
        Loss::Absolute => "absolute_error",
        Loss::Huber { .. } => "huber",
        Loss::Quantile { .. } => "quantile",
        Loss::Poisson => "poisson",
        Loss::Gamma => "gamma",
    }
}

/// Reads the parameters of GradientBoosting or HistGradientBoosting.
pub(crate) fn read_boosting(reader: &mut ParameterReader, algorithm: Algorithm) -> Result<TreeSettings, String> {
    let by_size = algorithm == Algorithm::HistGradientBoosting;
    let mut trees = read_trees(reader, algorithm)?;
    if by_size {
        let all = [
            "n_estimators",
            "learning_rate",
            "max_leaf_nodes",
            "min_samples_leaf",
            "subsample",
            "colsample_bytree",
            EARLY_STOPPING,
        ];
        trees.auto = all.into_iter().filter(|name| reader.is_auto(name)).collect();
    }
    let settings = &mut trees.settings;
    settings.loss = read_loss(reader)?;
    settings.learning_rate = reader.number("learning_rate", 0.1, 1e-9..=10.0)?;
    settings.l1 = reader.number("l1_regularization", 0.0, 0.0..=1e12)?;
    settings.l2 = reader.number("l2_regularization", 0.0, 0.0..=1e12)?;
    // LightGBM's loss has no factor 1/2
    settings.min_split_gain = reader.number("min_split_gain", 0.0, 0.0..=1e300)? / 2.0;
    settings.subsample = reader.number("subsample", 1.0, 1e-9..=1.0)?;
    settings.features_per_tree = reader.number("colsample_bytree", 1.0, 1e-9..=1.0)?;
    let (rounds, tolerance) = if by_size { (50, 0.0) } else { (0, 1e-4) };
    let rounds = reader.count("n_iter_no_change", rounds, 1..=1_000_000)?;
    let fraction = reader.number("validation_fraction", 0.1, 1e-6..=0.9)?;
    let tolerance = reader.number("tol", tolerance, 0.0..=1.0)?;
    // a number of rounds turns it on, too
    let has_rounds = reader.has_value("n_iter_no_change");
    let enabled = reader.flag_or_auto(EARLY_STOPPING, has_rounds)?;
    if has_rounds {
        trees.auto.retain(|name| *name != EARLY_STOPPING);
    }
    trees.stopping = EarlyStopping { rounds: rounds.max(1), fraction, tolerance };
    trees.settings.early_stopping = enabled.then_some(trees.stopping);
    Ok(trees)
}

/// Reads the parameters of a forest.
pub(crate) fn read_forest(reader: &mut ParameterReader, algorithm: Algorithm) -> Result<TreeSettings, String> {
    let mut trees = read_trees(reader, algorithm)?;
    trees.bootstrap = reader.flag("bootstrap", algorithm == Algorithm::RandomForest)?;
    Ok(trees)
}

fn read_trees(reader: &mut ParameterReader, algorithm: Algorithm) -> Result<TreeSettings, String> {
    let (depth, leaves, rows) = match algorithm {
        Algorithm::GradientBoosting => (Some(3), None, 1),
        Algorithm::HistGradientBoosting => (None, Some(31), 20),
        _ => (None, None, 1),
    };
    let settings = Boosting {
        iterations: reader.count("n_estimators", 100, 1..=100_000)?,
        max_depth: reader.limit("max_depth", depth, 1..=512)?,
        max_leaves: reader.limit("max_leaf_nodes", leaves, 2..=1_000_000)?,
        min_samples_leaf: reader.count("min_samples_leaf", rows, 1..=usize::MAX)?,
        min_samples_split: reader.count("min_samples_split", 2, 2..=usize::MAX)?,
        min_child_weight: reader.number("min_child_weight", 0.0, 0.0..=1e12)?,
        max_bins: reader.count("max_bins", 255, 2..=255)?,
        ..Boosting::default()
    };
    Ok(TreeSettings {
        settings,
        algorithm,
        max_features: reader.max_features()?,
        min_fraction: reader.number("min_weight_fraction_leaf", 0.0, 0.0..=0.5)?,
        min_impurity_decrease: reader.number("min_impurity_decrease", 0.0, 0.0..=1e300)?,
        bootstrap: false,
        monotone: reader.directions()?,
        categorical: reader.names("categorical_features")?,
        stopping: EarlyStopping { rounds: 1, fraction: 0.1, tolerance: 0.0 },
        auto: Vec::new(),
    })
}

impl TreeSettings {
    pub(crate) fn for_features(&self, features: &[String], categorical: &[bool]) -> Result<Self, String> {
        let place = |key: &str, name: &String| {
            features.iter().position(|feature| feature == name).ok_or_else(|| {
                let near = schema::closest_match(name, features.iter().map(String::as_str));
                let hint = near.map_or(String::new(), |near| format!(" (did you mean \"{near}\"?)"));
                format!("model.parameters.{key}: feature \"{name}\" does not exist{hint}")
            })
        };
        let mut filled = self.clone();
        let is_category = match &self.categorical {
            Some(names) => {
                let mut is_category = vec![false; features.len()];
                for name in names {
                    is_category[place("categorical_features", name)?] = true;
                }
                is_category
            }
            None => categorical.to_vec(),
        };
        let mut directions = vec![0; features.len()];
        for (name, direction) in &self.monotone {
            let place = place("monotonic_cst", name)?;
            if is_category[place] && *direction != 0 {
                return Err(format!("model.parameters.monotonic_cst: \"{name}\" is a category, which cannot be monotone"));
            }
            directions[place] = *direction;
        }
        filled.settings.categorical = if is_category.contains(&true) { is_category } else { Vec::new() };
        filled.settings.monotone = if self.monotone.is_empty() { Vec::new() } else { directions };
        Ok(filled)
    }

    /// The parameters of boosting for a table of `rows` rows and `width` features.
    pub(crate) fn for_table(&self, rows: usize, width: usize, seed: u64) -> Boosting {
        let mut settings = self.with_defaults(rows);
        let searched = self.max_features.count(width);
        if searched < width {
            settings.features_per_split = (searched as f64 - 0.5) / width as f64;
        }
        settings.min_samples_leaf = settings.min_samples_leaf.max((self.min_fraction * rows as f64).ceil() as usize);
        settings.min_split_gain += self.min_impurity_decrease * rows as f64 / 2.0;
        settings.seed = seed;
        settings
    }

    fn with_defaults(&self, rows: usize) -> Boosting {
        let mut settings = self.settings.clone();
        let by_size = crate::parameters::defaults::boosting_defaults(rows);
        for name in &self.auto {
            match *name {
                "n_estimators" => settings.iterations = by_size.iterations,
                "learning_rate" => settings.learning_rate = by_size.learning_rate,
                "max_leaf_nodes" => settings.max_leaves = by_size.max_leaves,
                "min_samples_leaf" => settings.min_samples_leaf = by_size.min_samples_leaf,
                "subsample" => settings.subsample = by_size.subsample,
                EARLY_STOPPING => settings.early_stopping = by_size.early_stopping.map(|_| self.stopping),
                _ => settings.features_per_tree = by_size.features_per_tree,
            }
        }
        settings
    }

    /// Name and value of each parameter; defaults by the size of the table are left out if `rows` is `None`.
    pub(crate) fn named(&self, rows: Option<usize>) -> Vec<(&'static str, Value)> {
        let settings = rows.map_or_else(|| self.settings.clone(), |rows| self.with_defaults(rows));
        let mut named = vec![
            ("n_estimators", json!(settings.iterations)),
            ("max_depth", json!(settings.max_depth)),
            ("max_leaf_nodes", json!(settings.max_leaves)),
            ("min_samples_leaf", json!(settings.min_samples_leaf)),
            ("min_samples_split", json!(settings.min_samples_split)),
            ("max_features", self.max_features.value()),
            ("max_bins", json!(settings.max_bins)),
        ];
        if matches!(self.algorithm, Algorithm::GradientBoosting | Algorithm::HistGradientBoosting) {
            named.extend([
                ("loss", json!(loss_name(settings.loss))),
                ("learning_rate", json!(settings.learning_rate)),
                ("l2_regularization", json!(settings.l2)),
                ("subsample", json!(settings.subsample)),
                ("colsample_bytree", json!(settings.features_per_tree)),
            ]);
            if let Loss::Huber { alpha } | Loss::Quantile { alpha } = settings.loss {
                named.push(("alpha", json!(alpha)));
            }
            named.push((EARLY_STOPPING, json!(settings.early_stopping.is_some())));
            if let Some(stopping) = settings.early_stopping {
                named.extend([
                    ("n_iter_no_change", json!(stopping.rounds)),
                    ("validation_fraction", json!(stopping.fraction)),
                    ("tol", json!(stopping.tolerance)),
                ]);
            }
        } else {
            named.push(("bootstrap", json!(self.bootstrap)));
        }
        let rare = [
            ("l1_regularization", settings.l1, 0.0),
            ("min_split_gain", settings.min_split_gain * 2.0, 0.0),
            ("min_child_weight", settings.min_child_weight, 0.0),
            ("min_weight_fraction_leaf", self.min_fraction, 0.0),
            ("min_impurity_decrease", self.min_impurity_decrease, 0.0),
        ];
        named.extend(
            rare.into_iter().filter(|(_, value, usual)| value != usual).map(|(name, value, _)| (name, json!(value))),
        );
        if !self.monotone.is_empty() {
            named.push(("monotonic_cst", self.monotone.iter().map(|(name, way)| (name.clone(), json!(way))).collect()));
        }
        if let Some(names) = &self.categorical {
            named.push(("categorical_features", json!(names)));
        }
        named.retain(|(name, _)| rows.is_some() || !self.auto.contains(name));
        named
    }
}
