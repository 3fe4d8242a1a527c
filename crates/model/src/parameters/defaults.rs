//! Settings of boosting where none are given, by the size of the table.
//!
//! Chosen by five-fold cross-validation on King County, California housing and 84 houses (repeated), with and without noise added to the
//! target: small steps and shares of rows and features are what gains; on few rows every one of them is needed to learn from, on more
//! a tenth is set apart to stop by, without which a noisy target is learned by heart.

use boosting::{BoostingParameters, EarlyStopping};

/// Rows from which on a share is set apart to stop by.
const ROWS_TO_STOP_BY: usize = 1000;

/// What HistGradientBoosting uses for what is not configured.
pub(crate) fn boosting(rows: usize) -> BoostingParameters {
    let many = rows >= ROWS_TO_STOP_BY;
    BoostingParameters {
        iterations: if many { 1000 } else { 800 },
        learning_rate: 0.04,
        max_leaves: Some(((rows as f64).powf(0.4).round() as usize).clamp(4, 64)),
        min_samples_leaf: (rows.max(1).ilog10() as usize).max(1),
        subsample: 0.8,
        features_per_tree: 0.7,
        early_stopping: many.then_some(EarlyStopping { rounds: 50, fraction: 0.1, tolerance: 0.0 }),
        ..BoostingParameters::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_tables_get_larger_trees_and_a_reason_to_stop() {
        let of = |rows| {
            let found = boosting(rows);
            (found.max_leaves.unwrap(), found.min_samples_leaf, found.early_stopping.is_some())
        };
        assert_eq!(of(1), (4, 1, false));
        assert_eq!(of(67), (5, 1, false));
        assert_eq!(of(600), (13, 2, false));
        assert_eq!(of(17_000), (49, 4, true));
        assert_eq!(of(10_000_000), (64, 7, true));
    }
}
