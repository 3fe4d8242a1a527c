//! The last rows, counted into the bins of the reference.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::reference::{Distribution, NumberReference, Reference};

/// A window is made of this many slices; the oldest goes when the newest is full.
const SLICES: usize = 10;
/// Rows that an index needs. Of n rows like those of training the index of ten bins is about 9 / n by chance alone: 0.1 at 90 rows, which
/// is what by custom is a shift. A window over 100 rows or more never falls below this once it has filled.
pub const MIN_ROWS: u64 = 90;

/// The value of one column in one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Seen<'a> {
    /// There is none.
    Missing,
    /// A number.
    Number(f64),
    /// A level.
    Level(&'a str),
}

/// Where the bins of each column stand among all bins: those of its values, then one for levels that training did not see, then one for
/// missing values. The predictions come last.
#[derive(Clone, Debug)]
pub struct Layout {
    columns: Vec<Bins>,
    prediction: Option<Bins>,
    bins: usize,
}

#[derive(Clone, Debug)]
struct Bins {
    start: usize,
    expected: Vec<f64>,
    values: Values,
}

#[derive(Clone, Debug)]
enum Values {
    Number(Option<NumberReference>),
    Levels(FxHashMap<String, usize>),
}

impl Layout {
    /// Of a checked reference.
    pub fn new(reference: &Reference) -> Self {
        let mut bins = 0;
        let mut add = |missing: f64, shares: Vec<f64>, values: Values| {
            let present = 1.0 - missing;
            let expected = shares.iter().map(|share| share * present).chain([0.0, missing]).collect::<Vec<f64>>();
            let start = bins;
            bins += expected.len();
            Bins { start, expected, values }
        };
        let columns = reference
            .columns
            .iter()
            .map(|column| match &column.distribution {
                Distribution::Number(number) => {
                    let shares = number.as_ref().map_or(Vec::new(), |number| number.shares.clone());
                    add(column.missing, shares, Values::Number(number.clone()))
                }
                Distribution::Levels(levels) => {
                    let places = levels.iter().enumerate().map(|(place, (level, _))| (level.clone(), place)).collect();
                    let shares = levels.iter().map(|(_, share)| *share).collect();
                    add(column.missing, shares, Values::Levels(places))
                }
            })
            .collect();
        let number = reference.prediction.as_ref();
        let prediction = number.map(|number| add(0.0, number.shares.clone(), Values::Number(Some(number.clone()))));
        Self { columns, prediction, bins }
    }

    /// The bin of a value of the column at this place of the reference.
    pub fn bin(&self, column: usize, seen: Seen) -> u32 {
        self.columns[column].bin(seen)
    }

    /// The bin of a prediction; `None` if the reference knows none, or the value is not finite.
    pub fn prediction_bin(&self, value: f64) -> Option<u32> {
        let bins = self.prediction.as_ref().filter(|_| value.is_finite())?;
        Some(bins.bin(Seen::Number(value)))
    }
}

impl Bins {
    fn bin(&self, seen: Seen) -> u32 {
        let unknown = self.expected.len() - 2;
        let place = match (seen, &self.values) {
            (Seen::Missing, _) => unknown + 1,
            (Seen::Number(value), Values::Number(Some(number))) => number.bin(value),
            (Seen::Level(level), Values::Levels(places)) => places.get(level).copied().unwrap_or(unknown),
            _ => unknown,
        };
        (self.start + place) as u32
    }
}

/// The last rows, as counts. It holds between nine tenths of its size and all of it once it has seen as many.
#[derive(Clone, Debug)]
pub struct Window {
    rows_of_slice: u64,
    /// The newest last.
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
        Self { rows_of_slice: rows.div_ceil(SLICES as u64).max(1), slices: VecDeque::from([empty.clone()]), total: empty }
    }

    /// Counts one row by its bins.
    pub fn add(&mut self, bins: &[u32]) {
        if self.slices.back().is_none_or(|slice| slice.rows >= self.rows_of_slice) {
            let mut next = Slice { rows: 0, counts: Vec::new() };
            if self.slices.len() >= SLICES
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

    /// How many rows it holds.
    pub fn rows(&self) -> u64 {
        self.total.rows
    }

    /// How far each column is from the reference, in its order; `None` where fewer than [`MIN_ROWS`] rows were counted.
    pub fn columns(&self, layout: &Layout) -> Vec<Option<f64>> {
        layout.columns.iter().map(|bins| self.psi_of(bins)).collect()
    }

    /// How far the predictions are from the reference; `None` if it knows none, or fewer than [`MIN_ROWS`] were counted.
    pub fn prediction(&self, layout: &Layout) -> Option<f64> {
        layout.prediction.as_ref().and_then(|bins| self.psi_of(bins))
    }

    fn psi_of(&self, bins: &Bins) -> Option<f64> {
        let counts = &self.total.counts[bins.start..bins.start + bins.expected.len()];
        (counts.iter().sum::<u64>() >= MIN_ROWS).then(|| psi(&bins.expected, counts))
    }
}

/// The population stability index of counts against expected shares: `Σ (found − expected) · ln(found / expected)`, where half a row is added
/// to every bin (and a ten-thousandth to every expected share) so that an empty one does not make it infinite. Bins that are empty on both
/// sides do not count. Of rows like the reference it is about (bins − 1) / rows. By custom 0.1 is a small shift and 0.25 a large one
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
            let (expected, found) = (share / all, count / rows);
            (found - expected) * (found / expected).ln()
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
                    distribution: Distribution::Number(NumberReference::of(&values)),
                },
                ColumnReference { name: "place".into(), missing: 0.1, distribution: Distribution::Levels(levels) },
            ],
            prediction: NumberReference::of(&values),
        }
    }

    #[test]
    fn rows_like_the_reference_do_not_drift_and_others_do() {
        let layout = Layout::new(&reference());
        let mut rng = fastrand::Rng::with_seed(3);
        let mut window = Window::new(&layout, 2000);
        let add = |window: &mut Window, size: f64, place: Seen| {
            let bins = [layout.bin(0, Seen::Number(size)), layout.bin(1, place), layout.prediction_bin(size).unwrap()];
            window.add(&bins);
        };
        for _ in 0..10_000 {
            let place = match rng.f64() {
                share if share < 0.1 => Seen::Missing,
                share if share < 0.37 => Seen::Level("b"),
                _ => Seen::Level("a"),
            };
            add(&mut window, rng.f64() * 1000.0, place);
        }
        assert!((1800..=2000).contains(&window.rows()), "{}", window.rows());
        let found = window.columns(&layout);
        assert!(found.iter().all(|psi| psi.unwrap() < 0.02) && window.prediction(&layout).unwrap() < 0.02, "{found:?}");
        for _ in 0..2000 {
            add(&mut window, 500.0 + rng.f64() * 1000.0, Seen::Level("new"));
        }
        let found = window.columns(&layout);
        assert!(found.iter().all(|psi| psi.unwrap() > 0.5) && window.prediction(&layout).unwrap() > 0.5, "{found:?}");
        // what has gone out of the window does not count
        for _ in 0..2000 {
            add(&mut window, rng.f64() * 1000.0, Seen::Level("a"));
        }
        assert!(window.columns(&layout)[0].unwrap() < 0.02);
    }

    #[test]
    fn an_index_is_known_of_enough_rows_and_stays_known() {
        let layout = Layout::new(&reference());
        let mut window = Window::new(&layout, 100);
        for row in 1..=1000_u64 {
            let size = (row * 37 % 1000) as f64;
            // a prediction that is not finite belongs to no bin
            let prediction = if row <= 50 { f64::NAN } else { size };
            let bins = [layout.bin(0, Seen::Number(size)), layout.bin(1, Seen::Level("a"))];
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
        (0..200).for_each(|_| window.add(&[layout.bin(0, Seen::Number(1.0)), layout.bin(1, Seen::Missing)]));
        assert_eq!((layout.prediction_bin(1.0), window.prediction(&layout)), (None, None));
    }

    #[test]
    fn psi_is_that_of_the_definition_on_many_rows() {
        let found = psi(&[0.5, 0.5], &[600_000, 400_000]);
        let expected = 0.1 * (0.6_f64 / 0.5).ln() - 0.1 * (0.4_f64 / 0.5).ln();
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        assert!(psi(&[1.0, 0.0, 0.0], &[10, 0, 0]).abs() < 1e-9);
        assert!(psi(&[1.0, 0.0], &[0, 100]).is_finite());
    }
}
