//! k-fold cross-validation on training rows.

use fastrand::Rng;
use rayon::prelude::*;

use crate::{FitError, Matrix, Metrics, Parameters, TargetTransform, fit};

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

/// The metrics of each fold: fitted on the others, measured on it, in the target's own unit. `done` is called after each fold.
///
/// # Errors
/// If a fold cannot be fitted.
pub fn cross_validate(
    x: &Matrix,
    y: &[f64],
    parameters: &Parameters,
    transform: TargetTransform,
    k: usize,
    seed: u64,
    done: &(dyn Fn() + Sync),
) -> Result<Vec<Metrics>, FitError> {
    let fold = folds(x.rows(), k, seed);
    let pick = |rows: &[usize]| rows.iter().map(|row| y[*row]).collect::<Vec<f64>>();
    (0..k)
        .into_par_iter()
        .map(|held_out| {
            let (inside, outside): (Vec<usize>, Vec<usize>) = (0..x.rows()).partition(|row| fold[*row] == held_out);
            let target: Vec<f64> = pick(&outside).into_iter().map(|y| transform.forward(y)).collect();
            let regressor = fit(&x.select_rows(&outside), &target, parameters, seed)?;
            let predicted = regressor.predict(&x.select_rows(&inside));
            let predicted: Vec<f64> = predicted.into_iter().map(|y| transform.inverse(y)).collect();
            done();
            Ok(Metrics::of(&pick(&inside), &predicted))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_are_even_and_seeded() {
        let fold = folds(103, 5, 1);
        for k in 0..5 {
            let size = fold.iter().filter(|fold| **fold == k).count();
            assert!(size == 20 || size == 21);
        }
        assert_eq!(fold, folds(103, 5, 1));
        assert_ne!(fold, folds(103, 5, 2));
    }
}
