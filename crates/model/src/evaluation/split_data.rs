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

#[cfg(test)]
pub(crate) mod tests {
    use fastrand::Rng;

    use crate::estimator::matrix::Matrix;

    /// Random rows of two features, and a target that depends on both.
    pub(crate) fn rows(rows: usize, seed: u64) -> (Matrix, Vec<f64>) {
        let mut rng = Rng::with_seed(seed);
        let columns: Vec<Vec<f64>> = (0..2).map(|_| (0..rows).map(|_| rng.f64()).collect()).collect();
        let y = (0..rows).map(|row| 5.0 * columns[0][row] + 3.0 * columns[1][row] + rng.f64()).collect();
        (Matrix::new(columns), y)
    }

    /// The names of the features.
    pub(crate) fn names() -> Vec<String> {
        ["a", "b"].map(String::from).to_vec()
    }
}
