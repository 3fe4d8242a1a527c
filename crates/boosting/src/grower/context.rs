//! Inputs that all nodes of a tree share.

use crate::grower::{constraints::FixedPointScale, growth_limits::GrowthLimits, histogram::HistogramInput};

/// Histogram input, scale and limits of a tree.
#[derive(Clone, Copy)]
pub(crate) struct GrowContext<'a, const C: usize> {
    pub(crate) input: HistogramInput<'a, C>,
    pub(crate) scale: &'a FixedPointScale,
    pub(crate) limits: &'a GrowthLimits,
    /// True if the tree uses all rows, in their order.
    pub(crate) all_rows: bool,
}
