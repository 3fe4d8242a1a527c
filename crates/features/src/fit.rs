//! The fit of a preprocessor to training rows, in batches.

use schema::{NumberImpute, SettingError, Table, UnknownCategory, Values};
use summary::{Frequencies, Quantiles};

use crate::{
    encoder::{CategoryEncoder, LevelSettings},
    plan::Plan,
    preprocessor::{NumberFeature, Preprocessor, PreprocessorFile},
};

/// Statistics of training rows. Batches can be counted separately and merged; their order does not matter.
#[derive(Clone, Debug)]
pub struct Fitter<'a> {
    plan: &'a Plan,
    rows: u64,
    numbers: Vec<Quantiles>,
    levels: Vec<Frequencies>,
}

impl<'a> Fitter<'a> {
    /// A fitter without rows.
    pub fn new(plan: &'a Plan) -> Self {
        let numbers = vec![Quantiles::default(); plan.numbers.len()];
        Self { plan, rows: 0, numbers, levels: vec![Frequencies::default(); plan.categories.len()] }
    }

    /// Adds the training rows of a batch.
    pub fn update(&mut self, table: &Table, train: &[bool]) {
        let train_rows: Vec<usize> = (0..table.rows()).filter(|row| train[*row]).collect();
        self.rows += train_rows.len() as u64;
        let inputs = self.plan.compute(table);
        for (quantiles, place) in self.numbers.iter_mut().zip(&self.plan.numbers) {
            let values = train_rows.iter().map(|row| inputs[*place][*row]);
            values.filter(|value| value.is_finite()).for_each(|value| quantiles.add(value));
        }
        for (counts, (column, _)) in self.levels.iter_mut().zip(&self.plan.categories) {
            let Some(Values::Category(values)) = table.get(column) else { continue };
            counts.add_codes(&values.levels, train_rows.iter().map(|row| values.codes[*row]));
        }
    }

    /// Adds the rows of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.numbers.iter_mut().zip(&other.numbers).for_each(|(mine, theirs)| mine.merge(theirs));
        self.levels.iter_mut().zip(&other.levels).for_each(|(mine, theirs)| mine.merge(theirs));
    }

    /// The number of training rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Fits the preprocessor.
    ///
    /// # Errors
    /// If a feature has no value in any training row and no constant.
    pub fn finish(self) -> Result<Preprocessor, SettingError> {
        let plan = self.plan;
        let mut numbers = Vec::new();
        let constants = plan.constants();
        for (place, quantiles) in plan.numbers.iter().zip(&self.numbers) {
            let name = &plan.inputs.names()[*place];
            let constant = constants.get(name.as_str()).and_then(|value| value.as_f64());
            let fill = constant.or_else(|| imputed_value(plan.number_impute, quantiles)).ok_or_else(|| {
                let message = format!(
                    "column \"{name}\" has no value in any training row, so missing values cannot be imputed. \
                     Add it to engineer.drop, or set engineer.impute.constants.{name}"
                );
                SettingError::new(&["engineer", "impute"], message)
            })?;
            numbers.push(NumberFeature { name: name.clone(), fill });
        }
        let mut categories = Vec::new();
        for ((column, encoding), counts) in plan.categories.iter().zip(&self.levels) {
            let listed = plan.schema.column(column).map_or(&[][..], |column| &column.spec.levels);
            let choice = LevelSettings {
                fill: constants.get(column.as_str()).and_then(|value| value.as_str()).map(str::to_owned),
                max_levels: plan.max_levels,
                unknown_to_other: plan.unknown == UnknownCategory::Other,
            };
            let encoder = CategoryEncoder::fit(column, *encoding, listed, counts, &choice)
                .map_err(|message| SettingError::new(&["engineer", "impute"], message))?;
            categories.push(encoder);
        }
        Preprocessor::from_file(PreprocessorFile {
            table: plan.schema.section().clone(),
            reference_year: plan.reference_year,
            derive: plan.derive.clone(),
            numbers,
            categories,
            unknown: plan.unknown,
            train_rows: self.rows,
        })
    }
}

/// The median or mean of the values. The mean is summed in ascending order, so that it does not depend on the order of rows.
fn imputed_value(kind: NumberImpute, quantiles: &Quantiles) -> Option<f64> {
    match kind {
        NumberImpute::Median => quantiles.at(&[0.5]).map(|medians| medians[0]),
        NumberImpute::None => Some(f64::NAN),
        NumberImpute::Mean if quantiles.count() == 0 => None,
        NumberImpute::Mean => {
            let (sorted, rows) = (quantiles.sorted(), quantiles.count() as f64);
            let sum: f64 = sorted.iter().map(|(value, count)| value * *count as f64).sum();
            // the sum of large numbers can be infinite, their mean cannot
            let shares = || sorted.iter().map(|(value, count)| value * (*count as f64 / rows)).sum();
            Some(if sum.is_finite() { sum / rows } else { shares() })
        }
    }
}
