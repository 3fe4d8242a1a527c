//! Limits on the growth of a tree.

use crate::{grower::constraints::LeafConstraints, parameters::BoostingParameters};

/// Limits on the growth of a tree.
#[derive(Clone, Debug)]
pub(crate) struct GrowthLimits {
    pub(crate) max_leaves: usize,
    pub(crate) max_depth: usize,
    pub(crate) min_rows_to_split: usize,
    pub(crate) constraints: LeafConstraints,
    /// Number of features that are searched for a split.
    pub(crate) features_per_split: usize,
}

impl GrowthLimits {
    /// Limits for `width` features and a target in units of `unit`; `random` draws thresholds at random.
    pub(crate) fn new(parameters: &BoostingParameters, width: usize, unit: f64, random: bool) -> Self {
        Self {
            max_leaves: parameters.max_leaves.unwrap_or(usize::MAX),
            max_depth: parameters.max_depth.unwrap_or(usize::MAX),
            min_rows_to_split: parameters.min_samples_split,
            constraints: LeafConstraints {
                min_rows: parameters.min_samples_leaf as u64,
                min_second: parameters.min_child_weight,
                l1: parameters.l1 / unit,
                l2: parameters.l2,
                min_gain: parameters.min_split_gain / unit / unit,
                monotone: parameters.monotone.clone(),
                random,
            },
            features_per_split: count_of_share(width, parameters.features_per_split),
        }
    }
}

/// The number of features in a share of `width`, at least one.
pub(crate) fn count_of_share(width: usize, share: f64) -> usize {
    // decimal shares such as 0.07 are not exact in binary
    ((share * width as f64 - 1e-9).ceil() as usize).clamp(1, width)
}
