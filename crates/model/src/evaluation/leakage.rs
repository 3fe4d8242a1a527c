//! Leakage: features that contain the target, and test rows that are also training rows.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hasher},
};

use boosting::{BoostingParameters as Boosting, EnsembleOutput, fit as boost};
use rayon::prelude::*;

use crate::{
    estimator::matrix::Matrix,
    evaluation::{folds::folds, metrics::Metrics, split_data::SplitData},
};

/// Largest number of training rows on which single features are checked.
const MAX_ROWS: usize = 5000;
/// Smallest number of training rows for that check; fewer give no reliable R².
const MIN_ROWS: usize = 40;
/// R² of a single feature from which on leakage is reported; real features rarely reach it.
const LEAK_R2: f64 = 0.98;
/// Share of test rows that may duplicate a training row before a warning.
const MAX_DUPLICATE_SHARE: f64 = 0.01;
/// Smallest number of duplicates that is reported.
const MIN_DUPLICATES: usize = 3;

/// A sign of leakage, which makes a score too good.
#[derive(Clone, Debug, PartialEq)]
pub struct LeakageFinding {
    /// The feature, or [`DUPLICATE_ROWS`].
    pub subject: String,
    /// R² of the feature alone, or the share of duplicate rows.
    pub value: f64,
    /// The finding as a sentence.
    pub text: String,
}

/// The subject of a [`LeakageFinding`] about rows that are in both splits. Run records store this text.
pub const DUPLICATE_ROWS: &str = "copied rows";

impl SplitData<'_> {
    /// Features that predict the target almost perfectly on their own: fitted on one half of the training rows, evaluated on the other.
    pub fn single_feature_leaks(&self, seed: u64) -> Vec<LeakageFinding> {
        let (x, y) = self.train;
        let rows: Vec<usize> = (0..x.rows()).step_by(x.rows().div_ceil(MAX_ROWS).max(1)).collect();
        if rows.len() < MIN_ROWS {
            return Vec::new();
        }
        let fold = folds(rows.len(), 2, seed);
        let half = |half: usize| -> Vec<usize> {
            rows.iter().zip(&fold).filter(|(_, f)| **f == half).map(|(row, _)| *row).collect()
        };
        let (train, validation) = (half(0), half(1));
        let pick = |values: &[f64], rows: &[usize]| rows.iter().map(|row| values[*row]).collect::<Vec<f64>>();
        let (y_train, y_validation) = (pick(y, &train), pick(y, &validation));
        let settings = Boosting { iterations: 40, min_samples_leaf: 3, learning_rate: 0.2, ..Boosting::default() };
        let r2_of = |column: &Vec<f64>| {
            let model = boost(&[pick(column, &train)], &y_train, None, &settings).ok()?;
            let sum = EnsembleOutput { base: model.base, factor: 1.0 };
            let predicted = model.trees.predict(&[pick(column, &validation)], validation.len(), sum);
            Some(Metrics::compute(&y_validation, &predicted).r2)
        };
        let r2s: Vec<Option<f64>> = x.columns().par_iter().map(r2_of).collect();
        let findings = r2s.iter().zip(self.features).filter_map(|(r2, feature)| {
            let r2 = r2.filter(|r2| *r2 >= LEAK_R2)?;
            let text = format!(
                "{feature} alone predicts the target with R² {r2:.3} on validation rows: it may be computed from the target"
            );
            Some(LeakageFinding { subject: feature.clone(), value: r2, text })
        });
        findings.collect()
    }

    /// Test rows with the features of a training row, if they are more than 1 % of the test rows and at least three.
    pub fn train_test_duplicates(&self) -> Option<LeakageFinding> {
        let ((x, y), (test_x, test_y)) = (self.train, self.test);
        let rows = |x: &Matrix, y: &[f64]| -> Vec<(u128, u128)> {
            (0..x.rows()).into_par_iter().map(|row| (digest(x, row, None), digest(x, row, Some(y[row])))).collect()
        };
        let (features, rows_with_target): (HashSet<u128>, HashSet<u128>) = rows(x, y).into_iter().unzip();
        let duplicates: Vec<(u128, u128)> =
            rows(test_x, test_y).into_iter().filter(|(features_digest, _)| features.contains(features_digest)).collect();
        let same_target = duplicates.iter().filter(|(_, row_digest)| rows_with_target.contains(row_digest)).count();
        let is_finding =
            duplicates.len() >= MIN_DUPLICATES && duplicates.len() as f64 > MAX_DUPLICATE_SHARE * test_y.len() as f64;
        is_finding.then(|| {
            let text = format!(
                "{} of {} test rows have the same features as a training row, {same_target} of them also its target: the score is too good. \
                 Set process.split.key, so that related rows are in one split",
                duplicates.len(),
                test_y.len()
            );
            LeakageFinding { subject: DUPLICATE_ROWS.into(), value: duplicates.len() as f64 / test_y.len() as f64, text }
        })
    }
}

/// A digest of the features of a row, and of its target if given.
fn digest(x: &Matrix, row: usize, y: Option<f64>) -> u128 {
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(salt);
        x.columns().iter().map(|column| column[row]).chain(y).for_each(|value| hasher.write_u64(value.to_bits()));
        hasher.finish()
    };
    u128::from(half(1)) << 64 | u128::from(half(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::split_data::tests::{names, rows};

    #[test]
    fn independent_rows_give_no_finding() {
        let ((x, y), (test_x, test_y)) = (rows(400, 1), rows(200, 2));
        let data = SplitData { features: &names(), train: (&x, &y), test: (&test_x, &test_y) };
        assert!(data.single_feature_leaks(1).is_empty() && data.train_test_duplicates().is_none());
    }

    #[test]
    fn a_feature_computed_from_the_target_is_found() {
        let (x, y) = rows(400, 3);
        let leak: Vec<f64> = y.iter().map(|y| y.sqrt() * 7.0).collect();
        let leaky = Matrix::new(vec![x.columns()[0].clone(), leak]);
        let data = SplitData { features: &names(), train: (&leaky, &y), test: (&leaky, &y) };
        let findings = data.single_feature_leaks(1);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].text.starts_with("b alone predicts the target with R² 0.99"), "{findings:?}");
        assert!(findings[0].subject == "b" && findings[0].value > 0.98, "{findings:?}");
    }

    #[test]
    fn duplicates_of_training_rows_are_found() {
        let ((x, y), (test_x, test_y)) = (rows(400, 4), rows(200, 5));
        let mut columns: Vec<Vec<f64>> = test_x.columns().to_vec();
        for (column, train_column) in columns.iter_mut().zip(x.columns()) {
            column[..8].copy_from_slice(&train_column[..8]);
        }
        let test_x = Matrix::new(columns);
        let data = SplitData { features: &names(), train: (&x, &y), test: (&test_x, &test_y) };
        let duplicates = data.train_test_duplicates().unwrap();
        assert_eq!((duplicates.subject.as_str(), duplicates.value), (DUPLICATE_ROWS, 0.04));
        assert!(
            duplicates
                .text
                .starts_with("8 of 200 test rows have the same features as a training row, 0 of them also its target"),
            "{duplicates:?}"
        );
    }
}
