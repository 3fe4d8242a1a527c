//! How a tree may grow, from the settings.

use crate::{grower::constraints::Limits, parameters::Parameters};

/// How a tree may grow.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) max_leaves: usize,
    pub(crate) max_depth: usize,
    pub(crate) min_rows_to_split: usize,
    pub(crate) limits: Limits,
    /// Features that a split looks at.
    pub(crate) features_per_split: usize,
}

impl Shape {
    /// Of the settings, for `width` features and a target in units of `unit`; `random` thresholds are drawn.
    pub(crate) fn of(parameters: &Parameters, width: usize, unit: f64, random: bool) -> Self {
        Self {
            max_leaves: parameters.max_leaves.unwrap_or(usize::MAX),
            max_depth: parameters.max_depth.unwrap_or(usize::MAX),
            min_rows_to_split: parameters.min_samples_split,
            limits: Limits {
                min_rows: parameters.min_samples_leaf as u64,
                min_second: parameters.min_child_weight,
                l1: parameters.l1 / unit,
                l2: parameters.l2,
                min_gain: parameters.min_split_gain / unit / unit,
                monotone: parameters.monotone.clone(),
                random,
            },
            features_per_split: share_of(width, parameters.features_per_split),
        }
    }
}

/// How many of `width` features this share is; one at least.
pub(crate) fn share_of(width: usize, share: f64) -> usize {
    // a share such as 0.07 is not quite what it says
    ((share * width as f64 - 1e-9).ceil() as usize).clamp(1, width)
}
