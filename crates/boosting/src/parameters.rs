//! Parameters of boosting and of the growth of trees.

use thiserror::Error;

use crate::{binning::MAX_BINS, loss::Loss, tree::ensemble::MAX_FEATURES};

/// Parameters of gradient boosting. [`validate`](Self::validate) runs before each fit.
///
/// | field | range | purpose |
/// |---|---|---|
/// | `iterations` | ≥ 1 | largest number of trees |
/// | `learning_rate` | > 0 | factor of each tree's output |
/// | `max_leaves` | ≥ 2 | largest number of leaves of a tree |
/// | `max_depth` | ≥ 1 | largest number of splits between root and leaf |
/// | `min_samples_leaf` | ≥ 1 | smallest number of rows in a leaf |
/// | `min_samples_split` | ≥ 2 | smallest number of rows in a node to split |
/// | `min_child_weight` | ≥ 0 | smallest sum of second derivatives in a leaf |
/// | `l1`, `l2` | ≥ 0 | penalties of leaf values |
/// | `min_split_gain` | ≥ 0 | smallest reduction of the loss by a split |
/// | `subsample` | 0 < .. ≤ 1 | share of rows per tree |
/// | `features_per_tree`, `features_per_split` | 0 < .. ≤ 1 | shares of features per tree, per split |
/// | `max_bins` | 2..=255 | bins of a feature, without that of missing values |
/// | `monotone` | -1, 0 or 1 per feature | direction of predictions |
/// | `categorical` | true or false per feature | true for codes of categories, integers from 0 |
/// | `early_stopping` | | condition to stop before `iterations` |
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the table above describes the fields")]
pub struct BoostingParameters {
    pub loss: Loss,
    pub iterations: usize,
    pub learning_rate: f64,
    pub max_leaves: Option<usize>,
    pub max_depth: Option<usize>,
    pub min_samples_leaf: usize,
    pub min_samples_split: usize,
    pub min_child_weight: f64,
    pub l1: f64,
    pub l2: f64,
    pub min_split_gain: f64,
    pub subsample: f64,
    pub features_per_tree: f64,
    pub features_per_split: f64,
    pub max_bins: usize,
    pub monotone: Vec<i8>,
    pub categorical: Vec<bool>,
    pub early_stopping: Option<EarlyStopping>,
    pub seed: u64,
}

/// Condition to stop: `rounds` trees without a reduction of the validation loss by more than `tolerance`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EarlyStopping {
    /// Number of trees without a reduction.
    pub rounds: usize,
    /// Share of the rows for validation.
    pub fraction: f64,
    /// Smallest relative reduction that counts.
    pub tolerance: f64,
}

impl Default for BoostingParameters {
    fn default() -> Self {
        Self {
            loss: Loss::Squared,
            iterations: 100,
            learning_rate: 0.1,
            max_leaves: Some(31),
            max_depth: None,
            min_samples_leaf: 20,
            min_samples_split: 2,
            min_child_weight: 0.0,
            l1: 0.0,
            l2: 0.0,
            min_split_gain: 0.0,
            subsample: 1.0,
            features_per_tree: 1.0,
            features_per_split: 1.0,
            max_bins: MAX_BINS - 1,
            monotone: Vec::new(),
            categorical: Vec::new(),
            early_stopping: None,
            seed: 0,
        }
    }
}

/// An error of a fit.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum BoostingError {
    /// A parameter is out of its range.
    #[error("{0}")]
    Parameter(String),
    /// The table or the target cannot be fitted.
    #[error("{0}")]
    Data(String),
}

impl BoostingParameters {
    /// Checks the parameters for a table of `width` features.
    ///
    /// # Errors
    /// If a parameter is out of its range; the message names it.
    pub fn validate(&self, width: usize) -> Result<(), BoostingError> {
        let share = |value: f64| value > 0.0 && value <= 1.0;
        let alpha = match self.loss {
            Loss::Huber { alpha } | Loss::Quantile { alpha } => alpha,
            _ => 0.5,
        };
        let stopping = self.early_stopping.unwrap_or(EarlyStopping { rounds: 1, fraction: 0.1, tolerance: 0.0 });
        let rules = [
            (alpha > 0.0 && alpha < 1.0, "alpha must be between 0 and 1"),
            (self.iterations >= 1, "iterations must be at least 1"),
            (self.learning_rate > 0.0 && self.learning_rate.is_finite(), "learning_rate must be above 0"),
            (self.max_leaves.is_none_or(|leaves| leaves >= 2), "max_leaves must be at least 2"),
            (self.max_depth.is_none_or(|depth| depth >= 1), "max_depth must be at least 1"),
            (self.min_samples_leaf >= 1, "min_samples_leaf must be at least 1"),
            (self.min_child_weight >= 0.0, "min_child_weight must be at least 0"),
            (self.l1 >= 0.0 && self.l1.is_finite(), "l1 must be at least 0"),
            (self.l2 >= 0.0 && self.l2.is_finite(), "l2 must be at least 0"),
            (self.min_split_gain >= 0.0, "min_split_gain must be at least 0"),
            (share(self.subsample), "subsample must be above 0 and at most 1"),
            (share(self.features_per_tree), "features_per_tree must be above 0 and at most 1"),
            (share(self.features_per_split), "features_per_split must be above 0 and at most 1"),
            ((2..MAX_BINS).contains(&self.max_bins), "max_bins must be from 2 to 255"),
            (self.monotone.is_empty() || self.monotone.len() == width, "monotone needs one direction per feature"),
            (self.categorical.is_empty() || self.categorical.len() == width, "categorical needs one entry per feature"),
            (stopping.rounds >= 1, "early stopping needs at least one round"),
            (stopping.fraction > 0.0 && stopping.fraction < 1.0, "the validation share must be between 0 and 1"),
            (width <= MAX_FEATURES, "there are too many features"),
        ];
        rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err(BoostingError::Parameter((*rule).into())))?;
        let both =
            self.monotone.iter().zip(&self.categorical).any(|(direction, categorical)| *direction != 0 && *categorical);
        if both { Err(BoostingError::Parameter("a categorical feature cannot be monotone".into())) } else { Ok(()) }
    }
}
