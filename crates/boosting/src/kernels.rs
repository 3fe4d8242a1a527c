//! The kernels of a fit, one by one, so that benchmarks can time each of them: bins, histograms, and the search for the best split.

use crate::{
    binning::BinnedTable,
    boosting::count_bits,
    grower::{
        constraints::{FixedPointScale, UNBOUNDED},
        context::GrowContext,
        growth_limits::GrowthLimits,
        histogram::{BinSums, HistogramInput, TileHistogram, build},
        split_finder::{SplitFinder, larger_gain},
    },
    parameters::BoostingParameters,
};

/// Bits of the fixed-point derivatives of this input, without those that count rows.
const DERIVATIVE_BITS: u32 = 30;

/// A binned table and a first derivative per row, for the squared error.
pub struct KernelInput {
    data: BinnedTable,
    derivatives: Vec<BinSums<1>>,
    usable_features: Vec<bool>,
    scale: FixedPointScale,
    limits: GrowthLimits,
}

/// The histograms of all features over the rows of a node.
#[derive(Debug)]
pub struct Histograms {
    tiles: Vec<TileHistogram<1>>,
    total: BinSums<1>,
}

impl KernelInput {
    /// Bins `columns` (one per feature) and takes `derivatives`, one per row, each in -1..=1.
    ///
    /// # Panics
    /// If the lengths differ (a mistake of the caller).
    pub fn new(columns: &[Vec<f64>], derivatives: &[f64]) -> Self {
        assert!(columns.iter().all(|column| column.len() == derivatives.len()), "a derivative per row");
        let parameters = BoostingParameters::default();
        let count_bits = count_bits(derivatives.len());
        let units = f64::from(1_u32 << DERIVATIVE_BITS);
        Self {
            data: BinnedTable::new(columns, &parameters.categorical, parameters.max_bins),
            derivatives: derivatives.iter().map(|first| [(((first * units) as i64) << count_bits) + 1]).collect(),
            usable_features: vec![true; columns.len()],
            scale: FixedPointScale { first: 1.0 / units, second: 1.0, count_bits },
            limits: GrowthLimits::new(&parameters, columns.len(), 1.0, false),
        }
    }

    fn context(&self) -> GrowContext<'_, 1> {
        let Self { data, derivatives, usable_features, scale, limits } = self;
        let input = HistogramInput { data, derivatives, usable_features, parallel: false };
        GrowContext { input, scale, limits, all_rows: false }
    }

    /// The histograms of the rows with these indices, on one thread.
    ///
    /// # Panics
    /// If an index is not below the number of rows.
    pub fn histograms(&self, rows: &[u32]) -> Histograms {
        let input = self.context().input;
        let tiles = self.data.tiles.iter().map(|tile| build(input, tile, rows, false)).collect();
        let total = rows.iter().map(|row| self.derivatives[*row as usize][0]).sum();
        Histograms { tiles, total: [total] }
    }

    /// The gain of the best split of a node over all features, in units of half the squared error; `None` if no split satisfies the limits.
    pub fn best_gain(&self, node: &Histograms) -> Option<f64> {
        let features = (0..self.usable_features.len()).collect();
        let finder = SplitFinder { features, draw: None, total: node.total, bounds: UNBOUNDED };
        let candidates = self.data.tiles.iter().zip(&node.tiles);
        let best = candidates.map(|(tile, sums)| finder.best(&self.context(), tile, sums)).fold(None, larger_gain);
        best.map(|split| split.gain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_split_separates_the_two_groups_of_derivatives() {
        let x: Vec<f64> = (0..1000).map(f64::from).collect();
        let noise: Vec<f64> = (0..1000).map(|row| f64::from(row * 7919 % 1009)).collect();
        let derivatives: Vec<f64> = x.iter().map(|x| if *x < 400.0 { 0.5 } else { -0.25 }).collect();
        let input = KernelInput::new(&[noise, x], &derivatives);
        let rows: Vec<u32> = (0..1000).collect();
        // half of: Σ² / n of both sides, less that of the node
        let gain = (200.0 * 200.0 / 400.0 + 150.0 * 150.0 / 600.0 - 50.0 * 50.0 / 1000.0) / 2.0;
        let best = input.best_gain(&input.histograms(&rows)).unwrap();
        assert!((best - gain).abs() < 0.02 * gain, "{best} {gain}");
        assert_eq!(input.best_gain(&input.histograms(&rows[..30])), None);
    }
}
