//! What should make one doubt a score, with the evidence: looked for in the rows, not in the model.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hasher},
};

use boosting::{BoostingParameters as Boosting, EnsembleOutput, fit as boost};
use rayon::prelude::*;

use crate::{
    estimator::matrix::Matrix,
    evaluation::{folds::folds, metrics::Metrics},
};

/// Rows that a feature alone is tried on at most.
const ROWS_ALONE: usize = 5000;
const FEWEST_ROWS: usize = 40;
/// A feature that alone explains this much of the target is suspected.
const TOO_GOOD: f64 = 0.98;
/// Test rows that may be like a training row before it is said.
const ALIKE: f64 = 0.01;
const FEWEST_ALIKE: usize = 3;
/// How far the two sides may lie apart, if it is no accident.
const APART: f64 = 0.1;
const ACCIDENT: f64 = 1e-4;
/// From which skewness on a logarithm is proposed, and by how much errors must grow with the prediction.
const SKEWED: f64 = 1.0;
const GROWING: f64 = 0.25;

/// The rows on both sides of the split.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// The features' names.
    pub features: &'a [String],
    /// Features and target of training rows.
    pub train: (&'a Matrix, &'a [f64]),
    /// Features and target of test rows.
    pub test: (&'a Matrix, &'a [f64]),
}

/// Something that lets a score look better than it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspicion {
    /// The feature, or [`COPIED_ROWS`].
    pub subject: String,
    /// The feature's R² alone, or the share of copied rows.
    pub figure: f64,
    /// In words.
    pub text: String,
}

/// The subject of a [`Suspicion`] about rows that stand on both sides of the split.
pub const COPIED_ROWS: &str = "copied rows";

impl Rows<'_> {
    /// Features that predict the target too well on their own: measured on training rows that are held out.
    pub fn too_good_alone(&self, seed: u64) -> Vec<Suspicion> {
        let (x, y) = self.train;
        let rows: Vec<usize> = (0..x.rows()).step_by(x.rows().div_ceil(ROWS_ALONE).max(1)).collect();
        if rows.len() < FEWEST_ROWS {
            return Vec::new();
        }
        let fold = folds(rows.len(), 2, seed);
        let half = |side: usize| -> Vec<usize> {
            rows.iter().zip(&fold).filter(|(_, f)| **f == side).map(|(row, _)| *row).collect()
        };
        let (learned, held_out) = (half(0), half(1));
        let pick = |values: &[f64], rows: &[usize]| rows.iter().map(|row| values[*row]).collect::<Vec<f64>>();
        let (y_learned, y_held_out) = (pick(y, &learned), pick(y, &held_out));
        let settings = Boosting { iterations: 40, min_samples_leaf: 3, learning_rate: 0.2, ..Boosting::default() };
        let alone = |column: &Vec<f64>| {
            let fitted = boost(&[pick(column, &learned)], &y_learned, None, &settings).ok()?;
            let sum = EnsembleOutput { base: fitted.base, factor: 1.0 };
            let predicted = fitted.trees.predict(&[pick(column, &held_out)], held_out.len(), sum);
            Some(Metrics::of(&y_held_out, &predicted).r2)
        };
        let found: Vec<Option<f64>> = x.columns().par_iter().map(alone).collect();
        let suspected = found.iter().zip(self.features).filter_map(|(r2, feature)| {
            let r2 = r2.filter(|r2| *r2 >= TOO_GOOD)?;
            let text = format!(
                "{feature} alone predicts the target with R² {r2:.3} on training rows that were held out: it may be made from it"
            );
            Some(Suspicion { subject: feature.clone(), figure: r2, text })
        });
        suspected.collect()
    }

    /// Whether test rows are copies of training rows.
    pub fn overlap(&self) -> Option<Suspicion> {
        let ((x, y), (test_x, test_y)) = (self.train, self.test);
        let rows = |x: &Matrix, y: &[f64]| -> Vec<(u128, u128)> {
            (0..x.rows()).into_par_iter().map(|row| (digest(x, row, None), digest(x, row, Some(y[row])))).collect()
        };
        let (features, all): (HashSet<u128>, HashSet<u128>) = rows(x, y).into_iter().unzip();
        let like: Vec<(u128, u128)> =
            rows(test_x, test_y).into_iter().filter(|(of_features, _)| features.contains(of_features)).collect();
        let same = like.iter().filter(|(_, of_all)| all.contains(of_all)).count();
        let enough = like.len() >= FEWEST_ALIKE && like.len() as f64 > ALIKE * test_y.len() as f64;
        enough.then(|| {
            let text = format!(
                "{} of {} test rows have the very features of a training row, {same} of them its target, too: the score is flattered. \
                 Let process.split.key keep together what belongs together",
                like.len(),
                test_y.len()
            );
            Suspicion { subject: COPIED_ROWS.into(), figure: like.len() as f64 / test_y.len() as f64, text }
        })
    }

    /// Features, and the target, that are distributed otherwise on the two sides: the largest distance first.
    pub fn drift(&self) -> Vec<String> {
        let ((x, y), (test_x, test_y)) = (self.train, self.test);
        let columns = x.columns().iter().zip(test_x.columns()).zip(self.features);
        let mut pairs: Vec<(&str, &[f64], &[f64])> =
            columns.map(|((a, b), name)| (name.as_str(), a.as_slice(), b.as_slice())).collect();
        pairs.push(("the target", y, test_y));
        let tests = pairs.len() as f64;
        let mut found: Vec<(f64, String)> = pairs
            .par_iter()
            .filter_map(|(name, a, b)| {
                let (distance, accident) = kolmogorov_smirnov(a, b);
                (distance > APART && accident * tests < ACCIDENT).then(|| {
                    let text = format!(
                        "{name} is distributed otherwise in test rows than in training rows (Kolmogorov–Smirnov distance {distance:.2}, \
                         p below {ACCIDENT} for all features together): the score may not hold for rows like the training rows"
                    );
                    (distance, text)
                })
            })
            .collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        found.into_iter().map(|(_, text)| text).collect()
    }
}

/// What stands for the features of a row, and its target.
fn digest(x: &Matrix, row: usize, y: Option<f64>) -> u128 {
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(salt);
        x.columns().iter().map(|column| column[row]).chain(y).for_each(|value| hasher.write_u64(value.to_bits()));
        hasher.finish()
    };
    u128::from(half(1)) << 64 | u128::from(half(2))
}

/// Whether the target wants a logarithm: it is skewed, its logarithm is not, and errors on held-out rows grow with the prediction.
pub fn wants_log(y_true: &[f64], y_pred: &[f64]) -> Option<String> {
    if y_true.len() < FEWEST_ROWS || !y_true.iter().zip(y_pred).all(|(y, p)| *y > 0.0 && p.is_finite()) {
        return None;
    }
    let logs: Vec<f64> = y_true.iter().map(|y| y.ln()).collect();
    let (skew, skew_of_log) = (skewness(y_true), skewness(&logs));
    let errors: Vec<f64> = y_true.iter().zip(y_pred).map(|(y, p)| (y - p).abs()).collect();
    let growing = rank_correlation(&errors, y_pred);
    (skew > SKEWED && skew_of_log.abs() < skew / 2.0 && growing > GROWING).then(|| {
        format!(
            "the target is skewed ({skew:.1}; its logarithm {skew_of_log:.1}) and errors grow with it (rank correlation {growing:.2}): try \
             target_transform: log"
        )
    })
}

/// The largest distance between two empirical distributions, and the probability of such a one by accident (Smirnov's asymptotic series).
fn kolmogorov_smirnov(a: &[f64], b: &[f64]) -> (f64, f64) {
    let sorted = |values: &[f64]| {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
        sorted.sort_by(f64::total_cmp);
        sorted
    };
    let (a, b) = (sorted(a), sorted(b));
    if a.is_empty() || b.is_empty() {
        return (0.0, 1.0);
    }
    let (mut i, mut j, mut distance) = (0, 0, 0.0_f64);
    while i < a.len() && j < b.len() {
        let value = a[i].min(b[j]);
        while i < a.len() && a[i] <= value {
            i += 1;
        }
        while j < b.len() && b[j] <= value {
            j += 1;
        }
        distance = distance.max((i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs());
    }
    let rows = (a.len() * b.len()) as f64 / (a.len() + b.len()) as f64;
    let lambda = (rows.sqrt() + 0.12 + 0.11 / rows.sqrt()) * distance;
    let term = |k: i32| {
        let sign = if k % 2 == 1 { 2.0 } else { -2.0 };
        sign * (-2.0 * f64::from(k * k) * lambda * lambda).exp()
    };
    let accident: f64 = (1..=100).map(term).sum();
    (distance, if lambda < 0.3 { 1.0 } else { accident.clamp(0.0, 1.0) })
}

fn skewness(values: &[f64]) -> f64 {
    let (mean, deviation) = crate::estimator::statistics::mean_and_deviation(values);
    if deviation == 0.0 {
        return 0.0;
    }
    values.iter().map(|value| ((value - mean) / deviation).powi(3)).sum::<f64>() / values.len() as f64
}

/// Spearman's correlation; ties have their order.
fn rank_correlation(a: &[f64], b: &[f64]) -> f64 {
    let ranks = |values: &[f64]| {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
        let mut ranks = vec![0.0; values.len()];
        order.into_iter().enumerate().for_each(|(rank, row)| ranks[row] = rank as f64);
        ranks
    };
    let (a, b) = (ranks(a), ranks(b));
    let (mean, deviation) = crate::estimator::statistics::mean_and_deviation(&a);
    let together = a.iter().zip(&b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / a.len() as f64;
    if deviation == 0.0 { 0.0 } else { together / (deviation * deviation) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    fn rows(rows: usize, seed: u64) -> (Matrix, Vec<f64>) {
        let mut rng = Rng::with_seed(seed);
        let columns: Vec<Vec<f64>> = (0..2).map(|_| (0..rows).map(|_| rng.f64()).collect()).collect();
        let y = (0..rows).map(|row| 5.0 * columns[0][row] + 3.0 * columns[1][row] + rng.f64()).collect();
        (Matrix::new(columns), y)
    }

    fn names() -> Vec<String> {
        ["a", "b"].map(String::from).to_vec()
    }

    #[test]
    fn sound_rows_raise_no_doubt() {
        let ((x, y), (test_x, test_y)) = (rows(400, 1), rows(200, 2));
        let rows = Rows { features: &names(), train: (&x, &y), test: (&test_x, &test_y) };
        assert!(rows.too_good_alone(1).is_empty() && rows.overlap().is_none() && rows.drift().is_empty());
        assert_eq!(wants_log(&y, &y), None);
    }

    #[test]
    fn a_feature_made_from_the_target_is_suspected() {
        let (x, y) = rows(400, 3);
        let leak: Vec<f64> = y.iter().map(|y| y.sqrt() * 7.0).collect();
        let leaky = Matrix::new(vec![x.columns()[0].clone(), leak]);
        let rows = Rows { features: &names(), train: (&leaky, &y), test: (&leaky, &y) };
        let found = rows.too_good_alone(1);
        assert_eq!(found.len(), 1);
        assert!(found[0].text.starts_with("b alone predicts the target with R² 0.99"), "{found:?}");
        assert!(found[0].subject == "b" && found[0].figure > 0.98, "{found:?}");
    }

    #[test]
    fn copies_and_shifts_are_found() {
        let ((x, y), (mut test_x, test_y)) = (rows(400, 4), rows(200, 5));
        let mut columns: Vec<Vec<f64>> = test_x.columns().to_vec();
        columns[1].iter_mut().for_each(|value| *value += 0.5);
        for (column, known) in columns.iter_mut().zip(x.columns()) {
            column[..8].copy_from_slice(&known[..8]);
        }
        test_x = Matrix::new(columns);
        let rows = Rows { features: &names(), train: (&x, &y), test: (&test_x, &test_y) };
        let overlap = rows.overlap().unwrap();
        assert_eq!((overlap.subject.as_str(), overlap.figure), (COPIED_ROWS, 0.04));
        assert!(
            overlap.text.starts_with("8 of 200 test rows have the very features of a training row, 0 of them its target")
        );
        let drift = rows.drift();
        assert_eq!(drift.len(), 1);
        assert!(
            drift[0].starts_with(
                "b is distributed otherwise in test rows than in training rows (Kolmogorov–Smirnov distance 0."
            )
        );
    }

    #[test]
    fn a_skewed_target_whose_errors_grow_wants_a_logarithm() {
        let mut rng = Rng::with_seed(6);
        let p: Vec<f64> = (0..500).map(|_| (3.0 * rng.f64() + 3.0 * rng.f64()).exp()).collect();
        let y: Vec<f64> = p.iter().map(|p| p * (0.7 + 0.6 * rng.f64())).collect();
        let found = wants_log(&y, &p).unwrap();
        assert!(found.contains("try target_transform: log"), "{found}");
    }

    #[test]
    fn the_distance_of_two_samples_is_that_of_the_book() {
        let (distance, accident) = kolmogorov_smirnov(&[1.0, 2.0, 3.0, 4.0], &[3.0, 4.0, 5.0, 6.0]);
        assert_eq!(distance, 0.5);
        assert!((0.3..0.8).contains(&accident), "{accident}");
        let (a, b): (Vec<f64>, Vec<f64>) = (0..1000).map(|i| (f64::from(i), f64::from(i) + 200.0)).unzip();
        assert!(kolmogorov_smirnov(&a, &b).1 < 1e-12);
    }
}
