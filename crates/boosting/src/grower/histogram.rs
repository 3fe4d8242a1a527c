//! Sums of derivatives by bin, as integers. The order of rows does not matter, so any number of threads finds the same tree.

use rayon::prelude::*;

use crate::binning::{BinnedTable, MAX_BINS, MAX_TILE_FEATURES, Tile};

/// Sums over rows. With one channel: the first derivative in fixed point above the number of rows. With two: the first derivative, then the
/// second derivative above the number of rows.
pub(crate) type BinSums<const C: usize> = [i64; C];

/// The sums of a tile's features, one feature after the other, at [`Tile::offsets`].
pub(crate) type TileHistogram<const C: usize> = Vec<BinSums<C>>;

type FeatureSums<const C: usize> = [BinSums<C>; MAX_BINS];

/// Number of rows that are copied together before they are added.
const PREFETCH_ROWS: usize = 128;

/// Smallest number of rows of a parallel task.
pub(crate) const ROWS_PER_TASK: usize = 8192;

#[inline]
pub(crate) fn add<const C: usize>(sum: &mut BinSums<C>, more: &BinSums<C>) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum = sum.wrapping_add(*more);
    }
}

#[inline]
pub(crate) fn subtract<const C: usize>(mut sum: BinSums<C>, less: &BinSums<C>) -> BinSums<C> {
    for (sum, less) in sum.iter_mut().zip(less) {
        *sum = sum.wrapping_sub(*less);
    }
    sum
}

/// The binned table, the derivatives, and the features in use.
#[derive(Clone, Copy)]
pub(crate) struct HistogramInput<'a, const C: usize> {
    pub(crate) data: &'a BinnedTable,
    /// Derivatives by row of the table.
    pub(crate) derivatives: &'a [BinSums<C>],
    /// True for each feature that splits may use.
    pub(crate) usable_features: &'a [bool],
    /// True to use several threads.
    pub(crate) parallel: bool,
}

/// The histogram of `rows` for the features of a tile. `all_rows` is true if `rows` are all rows in their order.
pub(crate) fn build<const C: usize>(
    input: HistogramInput<C>,
    tile: &Tile,
    rows: &[u32],
    all_rows: bool,
) -> TileHistogram<C> {
    let HistogramInput { data, derivatives, parallel, .. } = input;
    let mut sums = vec![[0; C]; tile.count()];
    let mut add_lanes = |lanes: &[FeatureSums<C>; MAX_TILE_FEATURES]| {
        for (lane, range) in lanes.iter().zip(tile.offsets.windows(2)) {
            sums[range[0]..range[1]].iter_mut().zip(lane).for_each(|(sum, more)| add(sum, more));
        }
    };
    let accumulate_rows = |rows: &[u32]| {
        let mut lanes = [[[0; C]; MAX_BINS]; MAX_TILE_FEATURES];
        accumulate(&tile.rows, tile.features.len(), derivatives, rows, all_rows, &mut lanes);
        lanes
    };
    // with fewer tiles than threads, the rows are divided, too
    let threads = if parallel { rayon::current_num_threads() } else { 1 };
    let shares = threads.div_ceil(data.tiles.len()).min(rows.len() / (4 * ROWS_PER_TASK)).max(1);
    if shares == 1 || all_rows {
        add_lanes(&accumulate_rows(rows));
    } else {
        let partial_sums: Vec<Box<[FeatureSums<C>; MAX_TILE_FEATURES]>> =
            rows.par_chunks(rows.len().div_ceil(shares)).map(|rows| Box::new(accumulate_rows(rows))).collect();
        partial_sums.iter().for_each(|lanes| add_lanes(lanes));
    }
    sums
}

fn accumulate<const C: usize>(
    tile: &[[u8; MAX_TILE_FEATURES]],
    features: usize,
    derivatives: &[BinSums<C>],
    rows: &[u32],
    all_rows: bool,
    lanes: &mut [FeatureSums<C>; MAX_TILE_FEATURES],
) {
    match features {
        1 => accumulate_some::<C, 1>(tile, derivatives, rows, all_rows, lanes),
        2 => accumulate_some::<C, 2>(tile, derivatives, rows, all_rows, lanes),
        3 => accumulate_some::<C, 3>(tile, derivatives, rows, all_rows, lanes),
        4 => accumulate_some::<C, 4>(tile, derivatives, rows, all_rows, lanes),
        5 => accumulate_some::<C, 5>(tile, derivatives, rows, all_rows, lanes),
        6 => accumulate_some::<C, 6>(tile, derivatives, rows, all_rows, lanes),
        7 => accumulate_some::<C, 7>(tile, derivatives, rows, all_rows, lanes),
        _ => accumulate_some::<C, 8>(tile, derivatives, rows, all_rows, lanes),
    }
}

#[inline]
fn accumulate_some<const C: usize, const F: usize>(
    tile: &[[u8; MAX_TILE_FEATURES]],
    derivatives: &[BinSums<C>],
    rows: &[u32],
    all_rows: bool,
    lanes: &mut [FeatureSums<C>; MAX_TILE_FEATURES],
) {
    if all_rows {
        for (bins, derivative) in tile.iter().zip(derivatives) {
            for feature in 0..F {
                add(&mut lanes[feature][usize::from(bins[feature])], derivative);
            }
        }
        return;
    }
    // the rows of a node are far apart in memory: copied in groups, so that their cache misses overlap
    let (mut near_bins, mut near) = ([[0; MAX_TILE_FEATURES]; PREFETCH_ROWS], [[0; C]; PREFETCH_ROWS]);
    for rows in rows.chunks(PREFETCH_ROWS) {
        for ((bins, derivative), row) in near_bins.iter_mut().zip(&mut near).zip(rows) {
            (*bins, *derivative) = (tile[*row as usize], derivatives[*row as usize]);
        }
        for (bins, derivative) in near_bins.iter().zip(&near).take(rows.len()) {
            for feature in 0..F {
                add(&mut lanes[feature][usize::from(bins[feature])], derivative);
            }
        }
    }
}

/// The histogram of one feature over few rows, with the set of filled bins.
pub(crate) struct SparseHistogram<const C: usize> {
    pub(crate) cells: Box<FeatureSums<C>>,
    pub(crate) filled: [u64; MAX_BINS / 64],
}

impl<const C: usize> SparseHistogram<C> {
    pub(crate) fn new() -> Self {
        Self { cells: Box::new([[0; C]; MAX_BINS]), filled: [0; MAX_BINS / 64] }
    }

    /// Adds the rows of a feature; the histogram must be empty.
    pub(crate) fn fill(&mut self, column: &[u8], derivatives: &[BinSums<C>], rows: &[u32]) {
        for row in rows {
            let bin = column[*row as usize];
            add(&mut self.cells[usize::from(bin)], &derivatives[*row as usize]);
            self.filled[usize::from(bin >> 6)] |= 1 << (bin & 63);
        }
    }

    /// The filled bins in ascending order.
    pub(crate) fn bins(&self) -> impl Iterator<Item = usize> + '_ {
        self.filled.iter().enumerate().flat_map(|(word, bits)| {
            let mut bits = *bits;
            std::iter::from_fn(move || {
                (bits != 0).then(|| {
                    let bit = bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    word * 64 + bit
                })
            })
        })
    }

    /// Empties the filled bins.
    pub(crate) fn clear(&mut self) {
        for word in 0..self.filled.len() {
            let mut bits = std::mem::take(&mut self.filled[word]);
            while bits != 0 {
                self.cells[word * 64 + bits.trailing_zeros() as usize] = [0; C];
                bits &= bits - 1;
            }
        }
    }
}
