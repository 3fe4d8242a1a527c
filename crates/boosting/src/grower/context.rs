//! What the trees of a forest or a boosting round are grown on.

use crate::grower::{constraints::Scale, growth_limits::Shape, histogram::Input};

/// What a tree is grown on.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a, const C: usize> {
    pub(crate) input: Input<'a, C>,
    pub(crate) scale: &'a Scale,
    pub(crate) shape: &'a Shape,
    /// Whether the rows are all there are, in their order.
    pub(crate) whole: bool,
}
