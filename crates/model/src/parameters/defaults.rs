//! Default parameters of boosting by the size of the table.
//!
//! They were chosen by five-fold cross-validation on King County, California housing and 84 houses (repeated), with and without noise added
//! to the target. Small steps and shares of rows and features improve the error. Small tables need every row for the fit. Larger ones use a
//! tenth for early stopping, because noise would be fitted otherwise.

use boosting::{BoostingParameters, EarlyStopping};

/// Smallest number of rows for early stopping.
const MIN_ROWS_FOR_EARLY_STOPPING: usize = 1000;

/// Defaults of HistGradientBoosting for a table of `rows` training rows.
pub(crate) fn boosting_defaults(rows: usize) -> BoostingParameters {
    let early_stopping = rows >= MIN_ROWS_FOR_EARLY_STOPPING;
    BoostingParameters {
        iterations: if early_stopping { 1000 } else { 800 },
        learning_rate: 0.04,
        max_leaves: Some(((rows as f64).powf(0.4).round() as usize).clamp(4, 64)),
        min_samples_leaf: (rows.max(1).ilog10() as usize).max(1),
        subsample: 0.8,
        features_per_tree: 0.7,
        early_stopping: early_stopping.then_some(EarlyStopping { rounds: 50, fraction: 0.1, tolerance: 0.0 }),
        ..BoostingParameters::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_tables_get_larger_trees_and_early_stopping() {
        let of = |rows| {
            let defaults = boosting_defaults(rows);
            (defaults.max_leaves.unwrap(), defaults.min_samples_leaf, defaults.early_stopping.is_some())
        };
        assert_eq!(of(1), (4, 1, false));
        assert_eq!(of(67), (5, 1, false));
        assert_eq!(of(600), (13, 2, false));
        assert_eq!(of(17_000), (49, 4, true));
        assert_eq!(of(10_000_000), (64, 7, true));
    }
}
