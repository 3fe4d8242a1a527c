//! Split shift: features whose distribution differs between training and test rows.

use rayon::prelude::*;

use crate::evaluation::split_data::SplitData;

/// Smallest Kolmogorov–Smirnov distance that is reported; smaller differences hardly change a score.
const MIN_DISTANCE: f64 = 0.1;
/// Largest p-value that is reported, after correction for the number of features (Bonferroni).
const MAX_P_VALUE: f64 = 1e-4;

impl SplitData<'_> {
    /// A sentence for each feature, and for the target, whose distribution differs between the splits; the largest distance first.
    pub fn shifted_features(&self) -> Vec<String> {
        let ((x, y), (test_x, test_y)) = (self.train, self.test);
        let columns = x.columns().iter().zip(test_x.columns()).zip(self.features);
        let mut pairs: Vec<(&str, &[f64], &[f64])> =
            columns.map(|((a, b), name)| (name.as_str(), a.as_slice(), b.as_slice())).collect();
        pairs.push(("the target", y, test_y));
        let tests = pairs.len() as f64;
        let mut shifts: Vec<(f64, String)> = pairs
            .par_iter()
            .filter_map(|(name, a, b)| {
                let (distance, p_value) = kolmogorov_smirnov(a, b);
                (distance > MIN_DISTANCE && p_value * tests < MAX_P_VALUE).then(|| {
                    let text = format!(
                        "{name} has another distribution in test rows than in training rows (Kolmogorov–Smirnov distance {distance:.2}, \
                         p below {MAX_P_VALUE} after correction for the number of features): the score may not hold for rows like the training rows"
                    );
                    (distance, text)
                })
            })
            .collect();
        shifts.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        shifts.into_iter().map(|(_, text)| text).collect()
    }
}

/// The two-sample Kolmogorov–Smirnov test: the largest distance between the empirical distributions, and its p-value by Smirnov's asymptotic
/// series. NaN is ignored; (0, 1) if a sample is empty.
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
    let p_value: f64 = (1..=100).map(term).sum();
    (distance, if lambda < 0.3 { 1.0 } else { p_value.clamp(0.0, 1.0) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        estimator::matrix::Matrix,
        evaluation::split_data::tests::{names, rows},
    };

    #[test]
    fn only_shifted_features_are_found() {
        let ((x, y), (test_x, test_y)) = (rows(400, 4), rows(200, 5));
        let data = SplitData { features: &names(), train: (&x, &y), test: (&test_x, &test_y) };
        assert!(data.shifted_features().is_empty());
        let mut columns: Vec<Vec<f64>> = test_x.columns().to_vec();
        columns[1].iter_mut().for_each(|value| *value += 0.5);
        let test_x = Matrix::new(columns);
        let data = SplitData { features: &names(), train: (&x, &y), test: (&test_x, &test_y) };
        let shifts = data.shifted_features();
        assert_eq!(shifts.len(), 1);
        let expected = "b has another distribution in test rows than in training rows (Kolmogorov–Smirnov distance 0.";
        assert!(shifts[0].starts_with(expected), "{shifts:?}");
    }

    #[test]
    fn the_test_of_two_samples_agrees_with_the_textbook() {
        let (distance, p_value) = kolmogorov_smirnov(&[1.0, 2.0, 3.0, 4.0], &[3.0, 4.0, 5.0, 6.0]);
        assert_eq!(distance, 0.5);
        assert!((0.3..0.8).contains(&p_value), "{p_value}");
        let (a, b): (Vec<f64>, Vec<f64>) = (0..1000).map(|i| (f64::from(i), f64::from(i) + 200.0)).unzip();
        assert!(kolmogorov_smirnov(&a, &b).1 < 1e-12);
    }
}
