//! Counts of the latest rows in the bins of the reference, and their drift.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use schema::CellValue;

use crate::reference::{Distribution, NumberReference, Reference};

/// Number of slices of a window; the oldest slice is dropped when the newest is full.
const WINDOW_SLICES: usize = 10;
/// Smallest number of rows for an index. For n rows like the training rows, the index of ten bins is about 9 / n by chance: 0.1 at 90 rows,
/// which by convention is a shift. A window over 100 rows or more never falls below this once it is full.
pub const MIN_ROWS: u64 = 90;

/// Index ranges of the bins of each column: first those of its values, then one for unknown levels, then one for missing values. The bins
/// of predictions are last.
#[derive(Clone, Debug)]
pub struct Layout {
    columns: Vec<ColumnBins>,
    prediction: Option<ColumnBins>,
    bins: usize,
}

#[derive(Clone, Debug)]
struct ColumnBins {
    start: usize,
    expected: Vec<f64>,
    values: BinValues,
}

#[derive(Clone, Debug)]
enum BinValues {
    Number(Option<NumberReference>),
    Levels(FxHashMap<String, usize>),
}

impl Layout {
    /// The layout of a reference.
    pub fn new(reference: &Reference) -> Self {
        let mut bins = 0;
        let mut add = |missing: f64, shares: Vec<f64>, values: BinValues| {
            let present = 1.0 - missing;
            let expected = shares.iter().map(|share| share * present).chain([0.0, missing]).collect::<Vec<f64>>();
            let start = bins;
            bins += expected.len();
            ColumnBins { start, expected, values }
        };
        let columns = reference
            .columns
            .iter()
            .map(|column| match &column.distribution {
                Distribution::Number(number) => {
                    let shares = number.as_ref().map_or(Vec::new(), |number| number.shares.clone());
                    add(column.missing, shares, BinValues::Number(number.clone()))
                }
                Distribution::Levels(levels) => {
                    let indices = levels.iter().enumerate().map(|(place, (level, _))| (level.clone(), place)).collect();
                    let shares = levels.iter().map(|(_, share)| *share).collect();
                    add(column.missing, shares, BinValues::Levels(indices))
                }
            })
            .collect();
        let number = reference.prediction.as_ref();
        let prediction = number.map(|number| add(0.0, number.shares.clone(), BinValues::Number(Some(number.clone()))));
        Self { columns, prediction, bins }
    }

    /// The bin of a value of column `column` of the reference.
    pub fn bin(&self, column: usize, value: &CellValue) -> u32 {
        self.columns[column].bin(value)
    }

    /// The bin of a prediction; `None` if the reference has no predictions, or the value is not finite.
    pub fn prediction_bin(&self, value: f64) -> Option<u32> {
        let bins = self.prediction.as_ref().filter(|_| value.is_finite())?;
        Some(bins.bin(&CellValue::Number(value)))
    }
}

impl ColumnBins {
    fn bin(&self, value: &CellValue) -> u32 {
        let unknown = self.expected.len() - 2;
        let place = match (value, &self.values) {
            (CellValue::Missing, _) => unknown + 1,
            (CellValue::Number(value), BinValues::Number(Some(number))) => number.bin(*value),
            (CellValue::Level(level), BinValues::Levels(indices)) => indices.get(level.as_ref()).copied().unwrap_or(unknown),
            _ => unknown,
        };
        (self.start + place) as u32
    }
}

/// Counts of the latest rows. A full window holds between nine tenths of its size and all of it.
#[derive(Clone, Debug)]
pub struct Window {
    rows_of_slice: u64,
    /// The newest slice is last.
    slices: VecDeque<Slice>,
    total: Slice,
}

#[derive(Clone, Debug)]
struct Slice {
    rows: u64,
    counts: Vec<u64>,
}

impl Window {
    /// An empty window over at most `rows` rows.
    pub fn new(layout: &Layout, rows: u64) -> Self {
        let empty = Slice { rows: 0, counts: vec![0; layout.bins] };
        Self {
            rows_of_slice: rows.div_ceil(WINDOW_SLICES as u64).max(1),
            slices: VecDeque::from([empty.clone()]),
            total: empty,
        }
    }

    /// Adds one row by its bins.
    pub fn add(&mut self, bins: &[u32]) {
        if self.slices.back().is_none_or(|slice| slice.rows >= self.rows_of_slice) {
            let mut next = Slice { rows: 0, counts: Vec::new() };
            if self.slices.len() >= WINDOW_SLICES
                && let Some(oldest) = self.slices.pop_front()
            {
                self.total.rows -= oldest.rows;
                self.total.counts.iter_mut().zip(&oldest.counts).for_each(|(total, count)| *total -= count);
                next.counts = oldest.counts;
            }
            next.counts.clear();
            next.counts.resize(self.total.counts.len(), 0);
            self.slices.push_back(next);
        }
        let Some(slice) = self.slices.back_mut() else { return };
        slice.rows += 1;
        self.total.rows += 1;
        for bin in bins {
            slice.counts[*bin as usize] += 1;
            self.total.counts[*bin as usize] += 1;
        }
    }

    /// The number of rows.
    pub fn rows(&self) -> u64 {
        self.total.rows
    }

    /// The drift of each column from the reference, in order; `None` for fewer than [`MIN_ROWS`] rows.
    pub fn columns(&self, layout: &Layout) -> Vec<Option<f64>> {
        layout.columns.iter().map(|bins| self.psi_of(bins)).collect()
    }

    /// The drift of the predictions; `None` if the reference has none, or for fewer than [`MIN_ROWS`] rows.
    pub fn prediction(&self, layout: &Layout) -> Option<f64> {
        layout.prediction.as_ref().and_then(|bins| self.psi_of(bins))
    }

    fn psi_of(&self, bins: &ColumnBins) -> Option<f64> {
        let counts = &self.total.counts[bins.start..bins.start + bins.expected.len()];
        (counts.iter().sum::<u64>() >= MIN_ROWS).then(|| psi(&bins.expected, counts))
    }
}

/// The population stability index of counts against expected shares: `Σ (actual − expected) · ln(actual / expected)`. Half a row is added
/// to each bin (and a ten-thousandth to each expected share), so that an empty bin does not make it infinite. Bins that are empty in both
/// are ignored. For rows like the reference, it is about (bins − 1) / rows. By convention, 0.1 is a small shift and 0.25 a large one
/// (Siddiqi, "Credit Risk Scorecards", 2006).
pub fn psi(expected: &[f64], counts: &[u64]) -> f64 {
    let used: Vec<(f64, f64)> = expected
        .iter()
        .zip(counts)
        .filter(|(expected, count)| **expected > 0.0 || **count > 0)
        .map(|(expected, count)| (expected + 1e-4, *count as f64 + 0.5))
        .collect();
    let (all, rows) = used.iter().fold((0.0, 0.0), |(all, rows), (share, count)| (all + share, rows + count));
    used.iter()
        .map(|(share, count)| {
            let (expected, actual) = (share / all, count / rows);
            (actual - expected) * (actual / expected).ln()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{ColumnReference, REFERENCE_VERSION};

    fn reference() -> Reference {
        let values: Vec<f64> = (0..1000).map(f64::from).collect();
        let levels = vec![("a".to_owned(), 0.7), ("b".to_owned(), 0.3)];
        Reference {
            format_version: REFERENCE_VERSION,
            rows: 1000,
            columns: vec![
                ColumnReference {
                    name: "size".into(),
                    missing: 0.0,
                    distribution: Distribution::Number(NumberReference::from_values(&values)),
                },
                ColumnReference { name: "place".into(), missing: 0.1, distribution: Distribution::Levels(levels) },
            ],
            prediction: NumberReference::from_values(&values),
        }
    }

    #[test]
    fn only_rows_unlike_the_reference_drift() {
        let layout = Layout::new(&reference());
        let mut rng = fastrand::Rng::with_seed(3);
        let mut window = Window::new(&layout, 2000);
        let add = |window: &mut Window, size: f64, place: CellValue| {
            let bins =
                [layout.bin(0, &CellValue::Number(size)), layout.bin(1, &place), layout.prediction_bin(size).unwrap()];
            window.add(&bins);
        };
        for _ in 0..10_000 {
            let place = match rng.f64() {
                share if share < 0.1 => CellValue::Missing,
                share if share < 0.37 => CellValue::Level("b".into()),
                _ => CellValue::Level("a".into()),
            };
            add(&mut window, rng.f64() * 1000.0, place);
        }
        assert!((1800..=2000).contains(&window.rows()), "{}", window.rows());
        let drift = window.columns(&layout);
        assert!(drift.iter().all(|psi| psi.unwrap() < 0.02) && window.prediction(&layout).unwrap() < 0.02, "{drift:?}");
        for _ in 0..2000 {
            add(&mut window, 500.0 + rng.f64() * 1000.0, CellValue::Level("new".into()));
        }
        let drift = window.columns(&layout);
        assert!(drift.iter().all(|psi| psi.unwrap() > 0.5) && window.prediction(&layout).unwrap() > 0.5, "{drift:?}");
        // rows outside the window do not count
        for _ in 0..2000 {
            add(&mut window, rng.f64() * 1000.0, CellValue::Level("a".into()));
        }
        assert!(window.columns(&layout)[0].unwrap() < 0.02);
    }

    #[test]
    fn an_index_needs_enough_rows_and_stays_available() {
        let layout = Layout::new(&reference());
        let mut window = Window::new(&layout, 100);
        for row in 1..=1000_u64 {
            let size = (row * 37 % 1000) as f64;
            // a prediction that is not finite has no bin
            let prediction = if row <= 50 { f64::NAN } else { size };
            let bins = [layout.bin(0, &CellValue::Number(size)), layout.bin(1, &CellValue::Level("a".into()))];
            window.add(&bins.into_iter().chain(layout.prediction_bin(prediction)).collect::<Vec<u32>>());
            let known = window.columns(&layout).iter().filter(|psi| psi.is_some_and(f64::is_finite)).count();
            assert_eq!(known, if row < MIN_ROWS { 0 } else { 2 }, "{row} rows");
            if row == MIN_ROWS || row == 1000 {
                assert_eq!(window.prediction(&layout).is_some(), row == 1000, "{row} rows");
            }
        }
        let mut unknown = reference();
        unknown.prediction = None;
        let layout = Layout::new(&unknown);
        let mut window = Window::new(&layout, 100);
        (0..200).for_each(|_| window.add(&[layout.bin(0, &CellValue::Number(1.0)), layout.bin(1, &CellValue::Missing)]));
        assert_eq!((layout.prediction_bin(1.0), window.prediction(&layout)), (None, None));
    }

    #[test]
    fn psi_agrees_with_its_definition_for_many_rows() {
        let drift = psi(&[0.5, 0.5], &[600_000, 400_000]);
        let expected = 0.1 * (0.6_f64 / 0.5).ln() - 0.1 * (0.4_f64 / 0.5).ln();
        assert!((drift - expected).abs() < 1e-6, "{drift} {expected}");
        assert!(psi(&[1.0, 0.0, 0.0], &[10, 0, 0]).abs() < 1e-9);
        assert!(psi(&[1.0, 0.0], &[0, 100]).is_finite());
    }
}
