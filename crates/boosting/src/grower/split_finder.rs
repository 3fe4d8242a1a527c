//! Search over the features of a node for its best split.

use fastrand::Rng;

use crate::{
    binning::Tile,
    grower::{
        constraints::LeafBounds,
        context::GrowContext,
        histogram::BinSums,
        splitter::{FeatureHistogram, SplitCandidate, Splitter},
    },
};

/// The search for the best split of a node.
pub(crate) struct SplitFinder<const C: usize> {
    /// Features to search, in ascending order.
    pub(crate) features: Vec<usize>,
    /// Seed of random thresholds.
    pub(crate) draw: Option<u64>,
    pub(crate) total: BinSums<C>,
    pub(crate) bounds: LeafBounds,
}

impl<const C: usize> SplitFinder<C> {
    pub(crate) fn best(&self, context: &GrowContext<C>, tile: &Tile, sums: &[BinSums<C>]) -> Option<SplitCandidate<C>> {
        let inside = self.features.iter().filter(|feature| tile.features.contains(feature));
        inside
            .map(|feature| self.best_for_feature(context, *feature, &FeatureHistogram::Dense(tile.bins(*feature, sums))))
            .fold(None, larger_gain)
    }

    pub(crate) fn best_for_feature(
        &self,
        context: &GrowContext<C>,
        feature: usize,
        bins: &FeatureHistogram<C>,
    ) -> Option<SplitCandidate<C>> {
        let node = Splitter {
            data: context.input.data,
            limits: &context.limits.constraints,
            scale: context.scale,
            total: self.total,
            bounds: self.bounds,
        };
        let feature_rng = |draw: u64| Rng::with_seed(draw ^ (feature as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        node.best(feature, bins, &mut self.draw.map(feature_rng))
    }
}

/// The candidate with the larger gain; on a tie, the one with the smaller feature index.
pub(crate) fn larger_gain<const C: usize>(
    a: Option<SplitCandidate<C>>,
    b: Option<SplitCandidate<C>>,
) -> Option<SplitCandidate<C>> {
    match (a, b) {
        (Some(a), Some(b)) => {
            let second = b.gain > a.gain || (b.gain == a.gain && b.feature < a.feature);
            Some(if second { b } else { a })
        }
        (a, b) => a.or(b),
    }
}
