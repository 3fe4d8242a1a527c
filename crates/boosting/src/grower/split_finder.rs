//! Looks through the features of a node.

use fastrand::Rng;

use crate::{
    binning::Tile,
    grower::{
        constraints::Bounds,
        context::Ground,
        histogram::Cell,
        splitter::{Bins, Node, Split},
    },
};

/// The search for the split of a node.
pub(crate) struct Search<const C: usize> {
    /// The features it may ask for, in order.
    pub(crate) features: Vec<usize>,
    /// What random thresholds are drawn from.
    pub(crate) draw: Option<u64>,
    pub(crate) total: Cell<C>,
    pub(crate) bounds: Bounds,
}

impl<const C: usize> Search<C> {
    pub(crate) fn best(&self, ground: &Ground<C>, tile: &Tile, sums: &[Cell<C>]) -> Option<Split<C>> {
        let inside = self.features.iter().filter(|feature| tile.features.contains(feature));
        inside.map(|feature| self.best_of(ground, *feature, &Bins::All(tile.bins(*feature, sums)))).fold(None, better)
    }

    pub(crate) fn best_of(&self, ground: &Ground<C>, feature: usize, bins: &Bins<C>) -> Option<Split<C>> {
        let node = Node {
            data: ground.input.data,
            limits: &ground.shape.limits,
            scale: ground.scale,
            total: self.total,
            bounds: self.bounds,
        };
        let own = |draw: u64| Rng::with_seed(draw ^ (feature as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        node.best(feature, bins, &mut self.draw.map(own))
    }
}

/// The larger gain; of equal ones the feature that comes first.
pub(crate) fn better<const C: usize>(a: Option<Split<C>>, b: Option<Split<C>>) -> Option<Split<C>> {
    match (a, b) {
        (Some(a), Some(b)) => {
            let second = b.gain > a.gain || (b.gain == a.gain && b.feature < a.feature);
            Some(if second { b } else { a })
        }
        (a, b) => a.or(b),
    }
}
