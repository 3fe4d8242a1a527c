//! Random trees and random rows for them.

use std::collections::BTreeSet;

use proptest::{
    collection::{btree_set, vec},
    prelude::*,
    sample::{Index, select},
};

/// Numeric features come first.
pub(crate) const NUMERIC: usize = 3;
/// The number of all features; the last ones are categories.
pub(crate) const WIDTH: usize = 5;
/// The bound of zeros that count as missing in LightGBM (`kZeroThreshold` in `include/LightGBM/meta.h`).
pub(crate) const ZERO_THRESHOLD: f64 = 1e-35_f32 as f64;

/// A node of a tree.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Leaf(f64),
    Split(Box<Split>),
}

/// A split.
#[derive(Clone, Debug)]
pub(crate) struct Split {
    pub(crate) feature: usize,
    /// Of a numeric feature.
    pub(crate) threshold: f64,
    /// Of a category.
    pub(crate) codes: BTreeSet<u32>,
    /// True if missing values go left.
    pub(crate) default_left: bool,
    /// LightGBM's kind of missing values: 0 none, 1 zero, 2 NaN.
    pub(crate) missing: u8,
    pub(crate) left: Node,
    pub(crate) right: Node,
}

impl Node {
    /// Calls `visit` with every split, parents first.
    pub(crate) fn splits<'a>(&'a self, visit: &mut dyn FnMut(&'a Split)) {
        if let Self::Split(split) = self {
            visit(split);
            split.left.splits(visit);
            split.right.splits(visit);
        }
    }
}

fn threshold() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => select(vec![0.0, 0.5, -0.5, 1.0, 100.25, -1e-3, 1e20, -1e20, ZERO_THRESHOLD, 3e38, -3e38]),
        2 => -100.0..100.0_f64,
        1 => any::<f32>().prop_map(|value| if value.is_finite() { value.into() } else { 2.0 }),
    ]
}

pub(crate) fn node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![4 => -10.0..10.0_f64, 1 => select(vec![0.0, -0.0, 1e-300, 123_456.789])].prop_map(Node::Leaf);
    leaf.prop_recursive(6, 24, 2, |inner| {
        let codes = btree_set(prop_oneof![4 => 0_u32..6, 2 => 28_u32..70, 1 => 500_u32..2000], 0..5);
        (0..WIDTH, threshold(), codes, any::<bool>(), 0_u8..3, inner.clone(), inner).prop_map(
            |(feature, threshold, codes, default_left, missing, left, right)| {
                Node::Split(Box::new(Split { feature, threshold, codes, default_left, missing, left, right }))
            },
        )
    })
}

/// A value of a row, for a list of the values that matter.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Missing,
    Value(f64),
    /// One of the values that matter, or a neighbour of it.
    Known(Index, i8),
}

pub(crate) fn cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        2 => Just(Cell::Missing),
        2 => select(vec![0.0, -0.0, 5e-324, 1.0, -1.0, 1e-36, 1e300, -1e300]).prop_map(Cell::Value),
        2 => (-120.0..120.0_f64).prop_map(Cell::Value),
        6 => (any::<Index>(), -1_i8..2).prop_map(|(at, step)| Cell::Known(at, step)),
    ]
}

/// The rows of `cells` for `trees`: thresholds, their neighbours in `precision`, codes of categories, and other values.
pub(crate) fn rows(cells: &[Vec<Cell>], trees: &[Node], neighbour: impl Fn(f64, i8) -> f64) -> Vec<Vec<f64>> {
    let mut known: Vec<Vec<f64>> =
        (0..WIDTH).map(|feature| if feature < NUMERIC { vec![0.0] } else { vec![0.0, 31.0, -1.0, 1e9] }).collect();
    let mut add = |split: &Split| {
        if split.feature < NUMERIC {
            known[split.feature].push(split.threshold);
        } else {
            known[split.feature].extend(split.codes.iter().map(|code| f64::from(*code)));
        }
    };
    trees.iter().for_each(|tree| tree.splits(&mut add));
    let value = |(feature, cell): (usize, &Cell)| match cell {
        Cell::Missing => f64::NAN,
        Cell::Known(at, step) if feature < NUMERIC => neighbour(*at.get(&known[feature]), *step),
        Cell::Value(value) if feature < NUMERIC => *value,
        // categories are integers
        Cell::Value(value) => value.round(),
        Cell::Known(at, step) => at.get(&known[feature]) + f64::from(*step),
    };
    cells.iter().map(|row| row.iter().enumerate().map(value).collect()).collect()
}

pub(crate) fn cells() -> impl Strategy<Value = Vec<Vec<Cell>>> {
    vec(vec(cell(), WIDTH), 1..12)
}
