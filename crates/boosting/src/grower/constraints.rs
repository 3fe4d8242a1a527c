//! What a leaf may be and what it is worth.

use crate::grower::histogram::Cell;

/// How sums in whole numbers become real ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) first: f64,
    pub(crate) second: f64,
    /// Bits that count rows.
    pub(crate) count_bits: u32,
}

/// Sums over the rows of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sums {
    pub(crate) first: f64,
    pub(crate) second: f64,
    pub(crate) rows: u64,
}

impl Scale {
    #[inline]
    pub(crate) fn sums<const C: usize>(&self, cell: &Cell<C>) -> Sums {
        let counted = cell[C - 1];
        let rows = (counted & ((1 << self.count_bits) - 1)) as u64;
        let upper = (counted >> self.count_bits) as f64;
        if C == 1 {
            Sums { first: upper * self.first, second: rows as f64, rows }
        } else {
            Sums { first: cell[0] as f64 * self.first, second: upper * self.second, rows }
        }
    }
}

/// What may be split, and what a leaf may predict.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) min_rows: u64,
    pub(crate) min_second: f64,
    pub(crate) l1: f64,
    pub(crate) l2: f64,
    pub(crate) min_gain: f64,
    /// Per feature: 1 if predictions may not fall with it, -1 if they may not rise; empty for none.
    pub(crate) monotone: Vec<i8>,
    /// Take a random threshold of each feature instead of the best.
    pub(crate) random: bool,
}

/// Between what a node's leaves must stay.
pub(crate) type Bounds = (f64, f64);
pub(crate) const UNBOUNDED: Bounds = (f64::NEG_INFINITY, f64::INFINITY);

impl Limits {
    #[inline]
    fn soft(&self, first: f64) -> f64 {
        if self.l1 == 0.0 { first } else { first.signum() * (first.abs() - self.l1).max(0.0) }
    }

    /// The value of a leaf.
    pub(crate) fn value(&self, sums: &Sums, bounds: Bounds) -> f64 {
        self.value_with(sums, bounds, self.l2)
    }

    #[inline]
    fn value_with(&self, sums: &Sums, bounds: Bounds, l2: f64) -> f64 {
        let weight = sums.second + l2;
        if weight <= 0.0 {
            0.0_f64.clamp(bounds.0, bounds.1)
        } else {
            (-self.soft(sums.first) / weight).clamp(bounds.0, bounds.1)
        }
    }

    /// Twice what a leaf makes the loss fall.
    #[inline]
    pub(crate) fn score(&self, sums: &Sums, bounds: Bounds, l2: f64) -> f64 {
        let weight = sums.second + l2;
        if weight <= 0.0 {
            return 0.0;
        }
        let first = self.soft(sums.first);
        if bounds == UNBOUNDED {
            return first * first / weight;
        }
        let value = (-first / weight).clamp(bounds.0, bounds.1);
        -(2.0 * first * value + weight * value * value)
    }

    /// Twice what two leaves make the loss fall; `None` if they stand in the wrong order.
    pub(crate) fn both(&self, left: &Sums, right: &Sums, bounds: Bounds, direction: i8, l2: f64) -> Option<f64> {
        if direction != 0 {
            let (low, high) = (self.value_with(left, bounds, l2), self.value_with(right, bounds, l2));
            if (high - low) * f64::from(direction) < 0.0 {
                return None;
            }
        }
        Some(self.score(left, bounds, l2) + self.score(right, bounds, l2))
    }
}
