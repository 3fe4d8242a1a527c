//! The rows of both splits, on which data checks run.

use crate::estimator::matrix::Matrix;

/// Features and target of both splits.
#[derive(Clone, Copy, Debug)]
pub struct SplitData<'a> {
    /// Names of the features.
    pub features: &'a [String],
    /// Features and target of training rows.
    pub train: (&'a Matrix, &'a [f64]),
    /// Features and target of test rows.
    pub test: (&'a Matrix, &'a [f64]),
}
