//! Features in quantile bins of one byte each, on which trees are grown.

use fastrand::Rng;
use rayon::prelude::*;

/// Largest number of bins of a feature, including the bin of missing values; a bin index is one byte.
pub(crate) const MAX_BINS: usize = 256;
/// Largest number of features of a tile. The histograms of eight features fit into the first-level cache together.
pub(crate) const MAX_TILE_FEATURES: usize = 8;
/// Largest number of rows from which bin edges are computed. A larger table is sampled.
const MAX_SAMPLE_ROWS: usize = 200_000;
/// Seed of that sample, independent of the model's seed.
const SAMPLE_SEED: u64 = 1;

/// The bins of one feature.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FeatureBins {
    pub(crate) kind: BinKind,
    /// True if some training row has no value; the bin of missing values is the last.
    pub(crate) missing: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum BinKind {
    /// Bin `b` holds values above edge `b - 1`, up to and including edge `b`.
    Number { edges: Vec<f64> },
    /// Bin `b` holds code `b` of this ascending list; the next bin holds all other codes.
    Category { codes: Vec<u32> },
}

impl FeatureBins {
    /// Computes the bins of a column. `max_bins` excludes the bin of missing values.
    fn fit(values: &[f64], sample: Option<&[u32]>, categorical: bool, max_bins: usize) -> Self {
        let missing = values.iter().any(|value| value.is_nan());
        let mut keys: Vec<u64> = match sample {
            Some(rows) => rows.iter().map(|row| values[*row as usize]).filter(|value| !value.is_nan()).map(key).collect(),
            None => values.iter().copied().filter(|value| !value.is_nan()).map(key).collect(),
        };
        keys.sort_unstable();
        let mut distinct: Vec<(f64, usize)> = Vec::new();
        for run in keys.chunk_by(|a, b| a == b) {
            distinct.push((number(run[0]), run.len()));
        }
        let kind = if categorical { categories(&distinct, max_bins) } else { edges(&distinct, keys.len(), max_bins) };
        Self { kind, missing }
    }

    /// The number of bins, including the bin of missing values.
    pub(crate) fn count(&self) -> usize {
        match &self.kind {
            BinKind::Number { edges } => edges.len() + 1 + usize::from(self.missing),
            BinKind::Category { codes } => codes.len() + 1,
        }
    }

    /// Index of the bin of missing values.
    pub(crate) fn missing_bin(&self) -> Option<usize> {
        match &self.kind {
            BinKind::Number { edges } => self.missing.then_some(edges.len() + 1),
            BinKind::Category { codes } => Some(codes.len()),
        }
    }

    fn assign(&self, values: &[f64], bins: &mut [u8]) {
        match &self.kind {
            BinKind::Number { edges } => {
                // padded to a fixed length, so that the search always takes eight steps
                let mut padded = [f64::INFINITY; MAX_BINS];
                padded[..edges.len()].copy_from_slice(edges);
                let missing = (edges.len() + 1) as u8;
                for (bin, value) in bins.iter_mut().zip(values) {
                    let mut place = 0_usize;
                    for step in [128, 64, 32, 16, 8, 4, 2, 1] {
                        place += if padded[(place + step - 1) & 255] < *value { step } else { 0 };
                    }
                    *bin = if value.is_nan() { missing } else { place as u8 };
                }
            }
            BinKind::Category { codes } => {
                for (bin, value) in bins.iter_mut().zip(values) {
                    let place = codes.binary_search_by(|code| f64::from(*code).total_cmp(value));
                    *bin = place.unwrap_or(codes.len()) as u8;
                }
            }
        }
    }
}

/// Maps a number to bits that sort as the number does; -0 equals 0.
fn key(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn number(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

/// An edge between two neighbours: at least `below` and less than `above`.
fn between(below: f64, above: f64) -> f64 {
    let middle = f64::midpoint(below, above);
    if middle >= below && middle < above { middle } else { below }
}

/// Edges of bins with about equal numbers of rows. A value with more rows than such a bin gets a bin of its own.
fn edges(distinct: &[(f64, usize)], rows: usize, max_bins: usize) -> BinKind {
    let gap = |index: usize| between(distinct[index].0, distinct[index + 1].0);
    let last = distinct.len().saturating_sub(1);
    if distinct.len() <= max_bins {
        return BinKind::Number { edges: (0..last).map(gap).collect() };
    }
    let share = rows as f64 / max_bins as f64;
    let large = |count: usize| count as f64 >= share;
    let (mut rest_rows, mut rest_bins) = (rows, max_bins);
    for (_, count) in distinct.iter().filter(|(_, count)| large(*count)) {
        rest_rows -= count;
        rest_bins -= 1;
    }
    let mut edges = Vec::with_capacity(max_bins);
    let mut filled = 0;
    for index in 0..last {
        let (count, next) = (distinct[index].1, distinct[index + 1].1);
        let fair = rest_rows as f64 / rest_bins.max(1) as f64;
        filled += count;
        if large(count) || filled as f64 >= fair || large(next) {
            edges.push(gap(index));
            if !large(count) {
                rest_rows -= filled;
                rest_bins = rest_bins.saturating_sub(1);
            }
            filled = 0;
            if edges.len() + 1 == max_bins {
                break;
            }
        }
    }
    BinKind::Number { edges }
}

/// The most frequent codes; all other values share the last bin.
fn categories(distinct: &[(f64, usize)], max_bins: usize) -> BinKind {
    let code = |value: f64| {
        (value >= 0.0 && value <= f64::from(crate::tree::ensemble::MAX_CODE) && value.fract() == 0.0).then_some(value as u32)
    };
    let mut known: Vec<(u32, usize)> = distinct.iter().filter_map(|(value, count)| Some((code(*value)?, *count))).collect();
    known.sort_by_key(|(code, count)| (std::cmp::Reverse(*count), *code));
    known.truncate(max_bins);
    let mut codes: Vec<u32> = known.into_iter().map(|(code, _)| code).collect();
    codes.sort_unstable();
    BinKind::Category { codes }
}

/// A table in bins, stored twice: by row for histograms, by column for partitioning rows.
pub(crate) struct BinnedTable {
    pub(crate) rows: usize,
    pub(crate) features: Vec<FeatureBins>,
    /// Groups of features, with the bins of each row.
    pub(crate) tiles: Vec<Tile>,
    /// Bin by feature and row.
    pub(crate) columns: Vec<Vec<u8>>,
}

/// Up to [`MAX_TILE_FEATURES`] features, whose histograms are built together.
pub(crate) struct Tile {
    pub(crate) features: std::ops::Range<usize>,
    pub(crate) rows: Vec<[u8; MAX_TILE_FEATURES]>,
    /// Start of the bins of each feature of the tile, and the end of the last.
    pub(crate) offsets: Vec<usize>,
}

impl Tile {
    /// The entries of one feature in `sums`, which has one entry per bin of the tile.
    pub(crate) fn bins<'a, T>(&self, feature: usize, sums: &'a [T]) -> &'a [T] {
        let place = feature - self.features.start;
        &sums[self.offsets[place]..self.offsets[place + 1]]
    }

    pub(crate) fn count(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }
}

impl BinnedTable {
    /// Assigns `columns` (one per feature) to bins. `max_bins` is at most 255 and excludes the bin of missing values.
    pub(crate) fn new(columns: &[Vec<f64>], categorical: &[bool], max_bins: usize) -> Self {
        let rows = columns.first().map_or(0, Vec::len);
        let sample = (rows > MAX_SAMPLE_ROWS).then(|| sample(rows));
        let (features, binned): (Vec<FeatureBins>, Vec<Vec<u8>>) = columns
            .par_iter()
            .enumerate()
            .map(|(place, values)| {
                let categorical = categorical.get(place).copied().unwrap_or(false);
                let bins = FeatureBins::fit(values, sample.as_deref(), categorical, max_bins);
                let mut column = vec![0; rows];
                bins.assign(values, &mut column);
                (bins, column)
            })
            .unzip();
        // a multiple of the number of threads, for equal shares; the result does not depend on it
        let threads = rayon::current_num_threads();
        let count = columns.len().div_ceil(MAX_TILE_FEATURES).next_multiple_of(threads).min(columns.len()).max(1);
        let width = columns.len().div_ceil(count).max(1);
        let tile = |index: usize| {
            let range = index * width..((index + 1) * width).min(columns.len());
            let mut rows = vec![[0; MAX_TILE_FEATURES]; rows];
            for (place, column) in binned[range.clone()].iter().enumerate() {
                rows.iter_mut().zip(column).for_each(|(bins, bin)| bins[place] = *bin);
            }
            let mut offsets = vec![0];
            offsets.extend(features[range.clone()].iter().scan(0, |end, bins| {
                *end += bins.count();
                Some(*end)
            }));
            Tile { features: range, rows, offsets }
        };
        let tiles = (0..columns.len().div_ceil(width)).into_par_iter().map(tile).collect();
        Self { rows, features, tiles, columns: binned }
    }
}

/// A random sample of rows, in ascending order.
fn sample(rows: usize) -> Vec<u32> {
    let mut rng = Rng::with_seed(SAMPLE_SEED);
    sample_rows(&mut (0..rows as u32), rows, MAX_SAMPLE_ROWS, &mut rng)
}

/// Samples `wanted` of `count` rows in their order, each with equal probability (Knuth, TAOCP 3.4.2, algorithm S).
pub(crate) fn sample_rows(rows: &mut dyn Iterator<Item = u32>, count: usize, wanted: usize, rng: &mut Rng) -> Vec<u32> {
    let mut sample = Vec::with_capacity(wanted);
    for (index, row) in rows.enumerate() {
        if rng.f64() * ((count - index) as f64) < (wanted - sample.len()) as f64 {
            sample.push(row);
        }
    }
    sample
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binned(values: &[f64], categorical: bool, max_bins: usize) -> (FeatureBins, Vec<u8>) {
        let bins = BinnedTable::new(&[values.to_vec()], &[categorical], max_bins);
        (bins.features[0].clone(), bins.columns[0].clone())
    }

    #[test]
    fn few_values_have_one_bin_each_with_edges_half_way() {
        let (bins, column) = binned(&[3.0, 1.0, f64::NAN, 2.0, 1.0, -0.0, 0.0], false, 255);
        assert_eq!(bins.kind, BinKind::Number { edges: vec![0.5, 1.5, 2.5] });
        assert_eq!(column, [3, 1, 4, 2, 1, 0, 0]);
        assert_eq!((bins.count(), bins.missing_bin()), (5, Some(4)));
    }

    #[test]
    fn neighbours_infinities_and_constants_are_kept_apart_or_together() {
        let next = 1.0_f64.next_up();
        let (bins, column) = binned(&[1.0, next, f64::INFINITY, f64::NEG_INFINITY], false, 255);
        assert_eq!(column, [1, 2, 3, 0]);
        assert_eq!((bins.count(), bins.missing_bin()), (4, None));
        let (bins, column) = binned(&[7.0; 4], false, 255);
        assert_eq!((bins.count(), column), (1, vec![0; 4]));
    }

    #[test]
    fn many_values_share_bins_evenly_and_a_frequent_one_has_its_own() {
        let mut values: Vec<f64> = (0..10_000).map(f64::from).collect();
        values.extend(vec![5000.0; 5000]);
        let (bins, column) = binned(&values, false, 64);
        assert_eq!(bins.count(), 64);
        let mut counts = [0; 64];
        column.iter().for_each(|bin| counts[usize::from(*bin)] += 1);
        let own = usize::from(column[5000]);
        assert_eq!(counts[own], 5001);
        let rest = counts.iter().enumerate().filter(|(bin, _)| *bin != own);
        assert!(rest.into_iter().all(|(_, count)| (50..=320).contains(count)), "{counts:?}");
    }

    #[test]
    fn frequent_categories_have_a_bin_and_the_rest_shares_one() {
        let (bins, column) = binned(&[5.0, 2.0, 5.0, 9.0, 2.0, f64::NAN, 1.5, -3.0], true, 2);
        assert_eq!(bins.kind, BinKind::Category { codes: vec![2, 5] });
        assert_eq!(column, [1, 0, 1, 2, 0, 2, 2, 2]);
    }
}
