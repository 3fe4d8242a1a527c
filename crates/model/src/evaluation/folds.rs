//! Assignment of rows to folds.

use fastrand::Rng;

/// The fold of each row, 0 to `k` - 1, from a seeded shuffle. The sizes of folds differ by at most one row.
pub fn folds(rows: usize, k: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows).collect();
    Rng::with_seed(seed).shuffle(&mut order);
    let mut fold = vec![0; rows];
    for (position, row) in order.into_iter().enumerate() {
        fold[row] = position % k;
    }
    fold
}
