//! Sums of derivatives by bin, in whole numbers: the order in which rows are added does not matter, so that any number of threads finds
//! the same tree.

use rayon::prelude::*;

use crate::binning::{Binned, MAX_BINS, TILE, Tile};

/// Sums over rows. With one channel: the first derivative in fixed point above the number of rows. With two: the first derivative, and
/// the second above the number of rows.
pub(crate) type Cell<const C: usize> = [i64; C];

/// The sums of a tile's features one after the other, in the places of [`Tile::offsets`].
pub(crate) type Sums<const C: usize> = Vec<Cell<C>>;

type Lane<const C: usize> = [Cell<C>; MAX_BINS];

/// Rows that are fetched together.
const FETCHED: usize = 128;

/// Rows that are worth a task of their own.
pub(crate) const ROWS_PER_TASK: usize = 8192;

#[inline]
pub(crate) fn add<const C: usize>(sum: &mut Cell<C>, more: &Cell<C>) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum = sum.wrapping_add(*more);
    }
}

#[inline]
pub(crate) fn minus<const C: usize>(mut sum: Cell<C>, less: &Cell<C>) -> Cell<C> {
    for (sum, less) in sum.iter_mut().zip(less) {
        *sum = sum.wrapping_sub(*less);
    }
    sum
}

/// What histograms are made of.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a, const C: usize> {
    pub(crate) data: &'a Binned,
    /// Per row of the table.
    pub(crate) derivatives: &'a [Cell<C>],
    /// Features that splits may ask for.
    pub(crate) wanted: &'a [bool],
    /// Whether to use several threads.
    pub(crate) parallel: bool,
}

/// The sums of `rows` for the features of a tile. `whole` says that they are all rows in their order.
pub(crate) fn build<const C: usize>(input: Input<C>, tile: &Tile, rows: &[u32], whole: bool) -> Sums<C> {
    let Input { data, derivatives, parallel, .. } = input;
    let mut sums = vec![[0; C]; tile.count()];
    let mut take = |lanes: &[Lane<C>; TILE]| {
        for (lane, range) in lanes.iter().zip(tile.offsets.windows(2)) {
            sums[range[0]..range[1]].iter_mut().zip(lane).for_each(|(sum, more)| add(sum, more));
        }
    };
    let one = |rows: &[u32]| {
        let mut lanes = [[[0; C]; MAX_BINS]; TILE];
        accumulate(&tile.rows, tile.features.len(), derivatives, rows, whole, &mut lanes);
        lanes
    };
    // with fewer tiles than threads, rows are divided too
    let threads = if parallel { rayon::current_num_threads() } else { 1 };
    let shares = threads.div_ceil(data.tiles.len()).min(rows.len() / (4 * ROWS_PER_TASK)).max(1);
    if shares == 1 || whole {
        take(&one(rows));
    } else {
        let found: Vec<Box<[Lane<C>; TILE]>> =
            rows.par_chunks(rows.len().div_ceil(shares)).map(|rows| Box::new(one(rows))).collect();
        found.iter().for_each(|lanes| take(lanes));
    }
    sums
}

fn accumulate<const C: usize>(
    tile: &[[u8; TILE]],
    features: usize,
    derivatives: &[Cell<C>],
    rows: &[u32],
    whole: bool,
    lanes: &mut [Lane<C>; TILE],
) {
    match features {
        1 => accumulate_some::<C, 1>(tile, derivatives, rows, whole, lanes),
        2 => accumulate_some::<C, 2>(tile, derivatives, rows, whole, lanes),
        3 => accumulate_some::<C, 3>(tile, derivatives, rows, whole, lanes),
        4 => accumulate_some::<C, 4>(tile, derivatives, rows, whole, lanes),
        5 => accumulate_some::<C, 5>(tile, derivatives, rows, whole, lanes),
        6 => accumulate_some::<C, 6>(tile, derivatives, rows, whole, lanes),
        7 => accumulate_some::<C, 7>(tile, derivatives, rows, whole, lanes),
        _ => accumulate_some::<C, 8>(tile, derivatives, rows, whole, lanes),
    }
}

#[inline]
fn accumulate_some<const C: usize, const F: usize>(
    tile: &[[u8; TILE]],
    derivatives: &[Cell<C>],
    rows: &[u32],
    whole: bool,
    lanes: &mut [Lane<C>; TILE],
) {
    if whole {
        for (bins, derivative) in tile.iter().zip(derivatives) {
            for feature in 0..F {
                add(&mut lanes[feature][usize::from(bins[feature])], derivative);
            }
        }
        return;
    }
    // rows of a node lie far apart: fetched a handful at a time, the processor waits for many of them at once
    let (mut near_bins, mut near) = ([[0; TILE]; FETCHED], [[0; C]; FETCHED]);
    for rows in rows.chunks(FETCHED) {
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

/// The sums of one feature over few rows, and which bins they fill.
pub(crate) struct Sparse<const C: usize> {
    pub(crate) cells: Box<Lane<C>>,
    pub(crate) filled: [u64; MAX_BINS / 64],
}

impl<const C: usize> Sparse<C> {
    pub(crate) fn new() -> Self {
        Self { cells: Box::new([[0; C]; MAX_BINS]), filled: [0; MAX_BINS / 64] }
    }

    /// Takes the sums of a feature over `rows`; empty before.
    pub(crate) fn fill(&mut self, column: &[u8], derivatives: &[Cell<C>], rows: &[u32]) {
        for row in rows {
            let bin = column[*row as usize];
            add(&mut self.cells[usize::from(bin)], &derivatives[*row as usize]);
            self.filled[usize::from(bin >> 6)] |= 1 << (bin & 63);
        }
    }

    /// The filled bins, in order.
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

    /// Empties what was filled.
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
