//! Regression trees in one flat array of small nodes.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

/// [`Node::feature`] of a leaf: leaves compare with a sentinel cell (-inf) before the features.
pub(crate) const NO_FEATURE: u32 = 0;
/// Flag in [`Node::feature`]: a missing value goes left.
const MISSING_LEFT: u32 = 1 << 31;
/// Flag in [`Node::feature`]: the node tests for a set of categories.
const SET_FLAG: u32 = 1 << 30;
const PLACE_MASK: u32 = SET_FLAG - 1;
/// The largest number of features.
pub const MAX_FEATURES: usize = PLACE_MASK as usize - 1;
/// The largest code of a category.
pub const MAX_CODE: u32 = 1 << 20;

/// A node. The children of a split are adjacent. A leaf is its own left child, so a traversal needs no test for the end.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Node {
    /// Of a split: the largest value that goes left, or the index of a category set. Of a leaf: its value.
    pub(crate) number: f64,
    /// Index of the left child; the right child follows it.
    pub(crate) left: u32,
    /// The feature's index plus 1, and flags; 0 for a leaf.
    pub(crate) feature: u32,
}

/// The condition under which a row goes left.
#[derive(Clone, Debug, PartialEq)]
pub enum SplitCondition {
    /// The feature is at most this number.
    AtMost(f64),
    /// The category has one of these codes, in ascending order.
    OneOf(Vec<u32>),
}

/// A readable form of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeView {
    /// A leaf.
    Leaf {
        /// Its value.
        value: f64,
    },
    /// A split.
    Split {
        /// Index of the feature, from 0.
        feature: usize,
        /// Condition for the left child.
        rule: SplitCondition,
        /// True if a missing value goes left.
        missing_left: bool,
        /// Index of the left child; the right child follows it.
        left: usize,
    },
}

/// Trees in one array. Children come after their parent, so every traversal ends.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Trees {
    /// Index of the root of each tree.
    pub(crate) roots: Vec<u32>,
    pub(crate) nodes: Vec<Node>,
    /// Weight of the training rows that reached each node; empty if not known.
    pub(crate) cover: Vec<f64>,
    /// Start of each category set among the words, and the end of the last.
    pub(crate) set_starts: Vec<u32>,
    /// Category sets, one bit per code.
    pub(crate) set_words: Vec<u32>,
}

impl Trees {
    /// Starts a tree whose root is a leaf; returns the index of the root.
    pub fn begin_tree(&mut self, value: f64, cover: f64) -> usize {
        self.roots.push(self.nodes.len() as u32);
        self.push_leaf(value, cover)
    }

    fn push_leaf(&mut self, value: f64, cover: f64) -> usize {
        let index = self.nodes.len();
        self.nodes.push(Node { number: value, left: index as u32, feature: NO_FEATURE | MISSING_LEFT });
        self.cover.push(cover);
        index
    }

    /// Splits the leaf `node` and returns the index of its left child; the right child follows it. `children` holds value and cover of
    /// both.
    pub fn split(
        &mut self,
        node: usize,
        feature: usize,
        rule: &SplitCondition,
        missing_left: bool,
        children: [(f64, f64); 2],
    ) -> usize {
        let left = self.nodes.len();
        let mut place = feature as u32 + 1;
        if missing_left {
            place |= MISSING_LEFT;
        }
        let number = match rule {
            SplitCondition::AtMost(threshold) => *threshold,
            SplitCondition::OneOf(codes) => {
                place |= SET_FLAG;
                self.push_set(codes) as f64
            }
        };
        self.nodes[node] = Node { number, left: left as u32, feature: place };
        for (value, cover) in children {
            self.push_leaf(value, cover);
        }
        left
    }

    fn push_set(&mut self, codes: &[u32]) -> usize {
        if self.set_starts.is_empty() {
            self.set_starts.push(0);
        }
        let start = self.set_words.len();
        let words = codes.last().map_or(1, |code| code / 32 + 1) as usize;
        self.set_words.resize(start + words, 0);
        for code in codes {
            self.set_words[start + (code / 32) as usize] |= 1 << (code % 32);
        }
        self.set_starts.push(self.set_words.len() as u32);
        self.set_starts.len() - 2
    }

    /// Renumbers features: feature `i` becomes `places[i]`.
    ///
    /// # Errors
    /// If a split uses a feature without a place.
    pub fn remap_features(&mut self, places: &[usize]) -> Result<(), String> {
        for node in self.nodes.iter_mut().filter(|node| !node.is_leaf()) {
            let feature = node.column() - 1;
            let place = *places.get(feature).ok_or_else(|| format!("feature {feature} has no new place"))?;
            node.feature = node.feature & !PLACE_MASK | (place as u32 + 1);
        }
        Ok(())
    }

    /// Features that splits use as categories, in ascending order.
    pub fn categories_used(&self) -> Vec<usize> {
        let used = self.nodes.iter().filter(|node| !node.is_leaf() && node.tests_set()).map(|node| node.column() - 1);
        used.collect::<std::collections::BTreeSet<usize>>().into_iter().collect()
    }

    /// Renumbers the codes of categories: code `c` of feature `f` becomes `codes[f][c]`. Features that are not in the map keep their codes.
    ///
    /// # Errors
    /// If a split uses a code without a new number.
    pub fn remap_codes(&mut self, codes: &BTreeMap<usize, HashMap<u32, u32>>) -> Result<(), String> {
        let mut renumbered = Self::default();
        let mut sets = Vec::new();
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            if node.is_leaf() || !node.tests_set() {
                continue;
            }
            let NodeView::Split { feature, rule: SplitCondition::OneOf(set), .. } = self.view(index) else { continue };
            let mut set = match codes.get(&feature) {
                None => set,
                Some(codes) => set
                    .iter()
                    .map(|code| {
                        codes.get(code).copied().ok_or_else(|| format!("code {code} of feature {feature} is not a level"))
                    })
                    .collect::<Result<_, String>>()?,
            };
            set.sort_unstable();
            sets.push((index, renumbered.push_set(&set)));
        }
        for (index, set) in sets {
            self.nodes[index].number = set as f64;
        }
        (self.set_starts, self.set_words) = (renumbered.set_starts, renumbered.set_words);
        Ok(())
    }

    /// Features that splits use, in ascending order.
    pub fn features_used(&self) -> Vec<usize> {
        let used = self.nodes.iter().filter(|node| !node.is_leaf()).map(|node| node.column() - 1);
        used.collect::<std::collections::BTreeSet<usize>>().into_iter().collect()
    }

    /// Appends the trees of `other`.
    pub fn append(&mut self, other: &Self) {
        let (shift, sets, words) =
            (self.nodes.len() as u32, self.set_starts.len().saturating_sub(1), self.set_words.len() as u32);
        self.roots.extend(other.roots.iter().map(|root| root + shift));
        self.nodes.extend(other.nodes.iter().map(|node| {
            let number = if node.tests_set() { node.number + sets as f64 } else { node.number };
            Node { number, left: node.left + shift, feature: node.feature }
        }));
        self.cover.extend(&other.cover);
        if self.set_starts.is_empty() {
            self.set_starts.clone_from(&other.set_starts);
        } else {
            self.set_starts.extend(other.set_starts.iter().skip(1).map(|start| start + words));
        }
        self.set_words.extend(&other.set_words);
    }

    /// Removes the counts of training rows.
    pub fn clear_cover(&mut self) {
        self.cover.clear();
    }

    /// Multiplies every leaf by `factor`.
    pub fn scale(&mut self, factor: f64) {
        self.nodes.iter_mut().filter(|node| node.is_leaf()).for_each(|node| node.number *= factor);
    }

    /// Adds `value` to every leaf.
    pub(crate) fn shift(&mut self, value: f64) {
        self.nodes.iter_mut().filter(|node| node.is_leaf()).for_each(|node| node.number += value);
    }

    /// Keeps the first `trees` trees.
    pub fn truncate(&mut self, trees: usize) {
        if let Some(end) = self.roots.get(trees) {
            self.nodes.truncate(*end as usize);
            self.cover.truncate(*end as usize);
            self.roots.truncate(trees);
        }
    }

    /// Number of trees.
    pub fn len(&self) -> usize {
        self.roots.len()
    }

    /// True if there is no tree.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// Node indices of each tree.
    pub fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        let ends = self.roots.iter().skip(1).map(|root| *root as usize).chain([self.nodes.len()]);
        self.roots.iter().zip(ends).map(|(root, end)| *root as usize..end)
    }

    /// True if the weight of training rows is known for each node.
    pub fn has_cover(&self) -> bool {
        self.cover.len() == self.nodes.len()
    }

    /// Weight of the training rows that reached a node; NaN if not known.
    pub fn cover(&self, node: usize) -> f64 {
        self.cover.get(node).copied().unwrap_or(f64::NAN)
    }

    /// The readable form of a node.
    pub fn view(&self, index: usize) -> NodeView {
        let node = &self.nodes[index];
        if node.is_leaf() {
            return NodeView::Leaf { value: node.number };
        }
        let rule = if node.tests_set() {
            let bits = (0_u32..).zip(self.set(node)).flat_map(|(word, bits)| {
                let has = move |bit: &u32| bits >> bit & 1 == 1;
                (0..32).filter(has).map(move |bit| word * 32 + bit)
            });
            SplitCondition::OneOf(bits.collect())
        } else {
            SplitCondition::AtMost(node.number)
        };
        NodeView::Split { feature: node.column() - 1, rule, missing_left: node.missing_left(), left: node.left as usize }
    }

    fn set(&self, node: &Node) -> &[u32] {
        let set = node.number as usize;
        &self.set_words[self.set_starts[set] as usize..self.set_starts[set + 1] as usize]
    }

    /// True if some split tests for a category set.
    pub(crate) fn has_sets(&self) -> bool {
        self.set_starts.len() > 1
    }

    /// Index of the next node of a traversal from node `index`, for the value `x` of its feature.
    pub(crate) fn next(&self, index: usize, x: f64) -> usize {
        let node = &self.nodes[index];
        if node.is_leaf() {
            return index;
        }
        let left = if x.is_nan() {
            node.missing_left()
        } else if node.tests_set() {
            let (set, code) = (self.set(node), x as u32);
            f64::from(code) == x && set.get((code / 32) as usize).is_some_and(|word| word >> (code % 32) & 1 == 1)
        } else {
            x <= node.number
        };
        node.left as usize + usize::from(!left)
    }

    /// Checks that every traversal over `width` features stays inside the arrays and ends.
    ///
    /// # Errors
    /// If a node is invalid; the message names it.
    pub fn validate(&self, width: usize) -> Result<(), String> {
        let nodes = self.nodes.len();
        if !self.cover.is_empty() && self.cover.len() != nodes {
            return Err("the arrays of the trees differ in length".into());
        }
        if self.roots.first().is_some_and(|root| *root != 0) || !self.roots.is_sorted_by(|a, b| a < b) {
            return Err("the trees are not in order".into());
        }
        if let Some(root) = self.roots.iter().find(|root| **root as usize >= nodes) {
            return Err(format!("a tree starts at node {root} of {nodes}"));
        }
        let sets = self.set_starts.len().saturating_sub(1);
        let words = self.set_words.len();
        if !self.set_starts.is_sorted() || self.set_starts.last().map_or(0, |end| *end as usize) != words {
            return Err("the category sets are not in order".into());
        }
        for range in self.ranges() {
            let last = range.end;
            for index in range {
                let node = &self.nodes[index];
                if node.is_leaf() {
                    let own = node.left as usize == index && node.feature == NO_FEATURE | MISSING_LEFT;
                    if !node.number.is_finite() || !own {
                        return Err(format!("node {index} is not a valid leaf"));
                    }
                    continue;
                }
                let left = node.left as usize;
                if node.column() > width || left <= index || left + 1 >= last {
                    return Err(format!("node {index} has an invalid index"));
                }
                let valid = if node.tests_set() {
                    node.number >= 0.0 && node.number < sets as f64 && node.number.fract() == 0.0
                } else {
                    !node.number.is_nan()
                };
                if !valid {
                    return Err(format!("node {index} has an invalid number"));
                }
            }
        }
        let invalid = |cover: &f64| !cover.is_finite() || *cover < 0.0;
        self.cover.iter().position(invalid).map_or(Ok(()), |node| Err(format!("node {node} has an invalid cover")))
    }
}

impl Node {
    pub(crate) fn is_leaf(&self) -> bool {
        self.feature & PLACE_MASK == NO_FEATURE
    }

    /// The feature's index plus 1; 0 for a leaf.
    pub(crate) fn column(&self) -> usize {
        (self.feature & PLACE_MASK) as usize
    }

    pub(crate) fn missing_left(&self) -> bool {
        self.feature & MISSING_LEFT != 0
    }

    pub(crate) fn tests_set(&self) -> bool {
        self.feature & SET_FLAG != 0
    }
}

#[cfg(test)]
mod tests;
