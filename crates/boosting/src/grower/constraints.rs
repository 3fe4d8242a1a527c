//! Constraints on leaves, and the value and score of a leaf.

use crate::grower::histogram::BinSums;

/// Conversion of fixed-point sums to real numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FixedPointScale {
    pub(crate) first: f64,
    pub(crate) second: f64,
    /// Number of low bits that count rows.
    pub(crate) count_bits: u32,
}

/// Sums of derivatives over the rows of a node, and their number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct NodeSums {
    pub(crate) first: f64,
    pub(crate) second: f64,
    pub(crate) rows: u64,
}

impl FixedPointScale {
    #[inline]
    pub(crate) fn sums<const C: usize>(&self, cell: &BinSums<C>) -> NodeSums {
        let counted = cell[C - 1];
        let rows = (counted & ((1 << self.count_bits) - 1)) as u64;
        let upper = (counted >> self.count_bits) as f64;
        if C == 1 {
            NodeSums { first: upper * self.first, second: rows as f64, rows }
        } else {
            NodeSums { first: cell[0] as f64 * self.first, second: upper * self.second, rows }
        }
    }
}

/// Conditions for a split, and penalties and bounds of leaf values.
#[derive(Clone, Debug)]
pub(crate) struct LeafConstraints {
    pub(crate) min_rows: u64,
    pub(crate) min_second: f64,
    pub(crate) l1: f64,
    pub(crate) l2: f64,
    pub(crate) min_gain: f64,
    /// By feature: 1 if predictions may not fall with it, -1 if they may not rise, 0 for no constraint; empty for none at all.
    pub(crate) monotone: Vec<i8>,
    /// True to draw a random threshold for each feature instead of the best one.
    pub(crate) random: bool,
}

/// Lower and upper bound of the values of a node's leaves.
pub(crate) type LeafBounds = (f64, f64);
pub(crate) const UNBOUNDED: LeafBounds = (f64::NEG_INFINITY, f64::INFINITY);

impl LeafConstraints {
    #[inline]
    fn soft_threshold(&self, first: f64) -> f64 {
        if self.l1 == 0.0 { first } else { first.signum() * (first.abs() - self.l1).max(0.0) }
    }

    /// The value of a leaf.
    pub(crate) fn value(&self, sums: &NodeSums, bounds: LeafBounds) -> f64 {
        self.value_with(sums, bounds, self.l2)
    }

    #[inline]
    fn value_with(&self, sums: &NodeSums, bounds: LeafBounds, l2: f64) -> f64 {
        let weight = sums.second + l2;
        if weight <= 0.0 {
            0.0_f64.clamp(bounds.0, bounds.1)
        } else {
            (-self.soft_threshold(sums.first) / weight).clamp(bounds.0, bounds.1)
        }
    }

    /// Twice the reduction of the loss by a leaf.
    #[inline]
    pub(crate) fn score(&self, sums: &NodeSums, bounds: LeafBounds, l2: f64) -> f64 {
        let weight = sums.second + l2;
        if weight <= 0.0 {
            return 0.0;
        }
        let first = self.soft_threshold(sums.first);
        if bounds == UNBOUNDED {
            return first * first / weight;
        }
        let value = (-first / weight).clamp(bounds.0, bounds.1);
        -(2.0 * first * value + weight * value * value)
    }

    /// Twice the reduction of the loss by two leaves; `None` if their order violates the monotone direction.
    pub(crate) fn score_pair(
        &self,
        left: &NodeSums,
        right: &NodeSums,
        bounds: LeafBounds,
        direction: i8,
        l2: f64,
    ) -> Option<f64> {
        if direction != 0 {
            let (low, high) = (self.value_with(left, bounds, l2), self.value_with(right, bounds, l2));
            if (high - low) * f64::from(direction) < 0.0 {
                return None;
            }
        }
        Some(self.score(left, bounds, l2) + self.score(right, bounds, l2))
    }
}
