//! How a model is fitted, checked.

use thiserror::Error;

use crate::{binning::MAX_BINS, loss::Loss, tree::ensemble::MAX_FEATURES};

/// Settings of gradient boosting. [`check`](Self::check) is the only way to a fit.
///
/// | field | range | purpose |
/// |---|---|---|
/// | `iterations` | ≥ 1 | trees at most |
/// | `learning_rate` | > 0 | share of each tree that is added |
/// | `max_leaves` | ≥ 2 | leaves of a tree |
/// | `max_depth` | ≥ 1 | splits between root and leaf |
/// | `min_samples_leaf` | ≥ 1 | rows in a leaf |
/// | `min_samples_split` | ≥ 2 | rows in a node that may be split |
/// | `min_child_weight` | ≥ 0 | sum of second derivatives in a leaf |
/// | `l1`, `l2` | ≥ 0 | penalties on the values of leaves |
/// | `min_split_gain` | ≥ 0 | by how much a split must make the loss fall |
/// | `subsample` | 0 < .. ≤ 1 | share of rows a tree is grown on |
/// | `features_per_tree`, `features_per_split` | 0 < .. ≤ 1 | shares of features |
/// | `max_bins` | 2..=255 | bins of a feature, that for missing values not counted |
/// | `monotone` | -1, 0, 1 a feature | direction in which predictions may go |
/// | `categorical` | a feature | whether it holds codes of categories, whole numbers from 0 |
/// | `early_stopping` | | when to stop before `iterations` |
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the table above describes the fields")]
pub struct Parameters {
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

/// When to stop: after `rounds` trees without a fall of the loss by more than `tolerance` of it, on rows that are set apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EarlyStopping {
    /// Trees to wait for.
    pub rounds: usize,
    /// Share of the rows that is set apart.
    pub fraction: f64,
    /// What counts as a fall.
    pub tolerance: f64,
}

impl Default for Parameters {
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

/// Why nothing could be fitted.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum FitError {
    /// A setting is out of its range.
    #[error("{0}")]
    Parameter(String),
    /// The table or the target does not suit.
    #[error("{0}")]
    Data(String),
}

impl Parameters {
    /// Checks the settings for a table of `width` features.
    ///
    /// # Errors
    /// Names the setting that is out of its range.
    pub fn check(&self, width: usize) -> Result<(), FitError> {
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
            (self.monotone.is_empty() || self.monotone.len() == width, "monotone needs a direction a feature"),
            (self.categorical.is_empty() || self.categorical.len() == width, "categorical needs an entry a feature"),
            (stopping.rounds >= 1, "early stopping needs at least a round"),
            (stopping.fraction > 0.0 && stopping.fraction < 1.0, "the share set apart must be between 0 and 1"),
            (width <= MAX_FEATURES, "there are too many features"),
        ];
        rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err(FitError::Parameter((*rule).into())))?;
        let both =
            self.monotone.iter().zip(&self.categorical).any(|(direction, categorical)| *direction != 0 && *categorical);
        if both { Err(FitError::Parameter("a category has no direction to be monotone in".into())) } else { Ok(()) }
    }
}
