//! Assigns rows to folds.

use fastrand::Rng;

/// The fold, 0 to `k` - 1, of every row: a seeded shuffle dealt out like cards, so that folds differ by one row at most.
pub fn folds(rows: usize, k: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows).collect();
    Rng::with_seed(seed).shuffle(&mut order);
    let mut fold = vec![0; rows];
    for (position, row) in order.into_iter().enumerate() {
        fold[row] = position % k;
    }
    fold
}
