//! Growth of one tree from binned rows: histograms, the best split of a node, the rows of its children.

pub(crate) mod constraints;
pub(crate) mod context;
pub(crate) mod grown_tree;
pub(crate) mod growth_limits;
pub(crate) mod histogram;
pub(crate) mod partition;
pub(crate) mod split_finder;
pub(crate) mod splitter;
pub(crate) mod tree_grower;
