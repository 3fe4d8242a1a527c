//! Regression trees as one flat array of small nodes.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

/// The place of the cell that leaves look at: it stands before the features and is never greater than anything.
pub(crate) const NO_FEATURE: u32 = 0;
/// In [`Node::feature`]: a missing value goes left.
const MISSING_LEFT: u32 = 1 << 31;
/// In [`Node::feature`]: the node asks whether a category is in a set.
const IN_SET: u32 = 1 << 30;
const PLACE: u32 = IN_SET - 1;
/// The largest number of features.
pub const MAX_FEATURES: usize = PLACE as usize - 1;
/// The largest code of a category.
pub const MAX_CODE: u32 = 1 << 20;

/// A node. The children of a split stand side by side; a leaf is its own left child and always goes there, so that a walk needs no
/// question whether it has arrived.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Node {
    /// Of a split: a row goes left if its feature is at most this; or which set its category must be in. Of a leaf: its value.
    pub(crate) number: f64,
    /// The left child; the right one is the next.
    pub(crate) left: u32,
    /// The feature's place from 1, and the flags; 0 of a leaf.
    pub(crate) feature: u32,
}

/// Which rows a split sends to the left.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// Those whose feature is at most this.
    AtMost(f64),
    /// Those whose category has one of these codes, in ascending order.
    OneOf(Vec<u32>),
}

/// What is to be known of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum View {
    /// A leaf.
    Leaf {
        /// What it predicts.
        value: f64,
    },
    /// A split.
    Split {
        /// The feature it asks for, from 0.
        feature: usize,
        /// What it asks.
        rule: Rule,
        /// Whether a missing value goes left.
        missing_left: bool,
        /// The left child; the right one is the next.
        left: usize,
    },
}

/// Trees whose nodes stand one after the other. A node's children stand behind it, so that every walk ends.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Trees {
    /// Per tree the index of its root.
    pub(crate) roots: Vec<u32>,
    pub(crate) nodes: Vec<Node>,
    /// Per node the weight of the training rows that came through it; empty where nobody knows.
    pub(crate) cover: Vec<f64>,
    /// Where each set of categories begins among the words, and where the last one ends.
    pub(crate) set_starts: Vec<u32>,
    /// Sets of categories, a bit a code.
    pub(crate) set_words: Vec<u32>,
}

impl Trees {
    /// Starts a tree with a leaf as its root; returns the root's index.
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

    /// Makes a split of the leaf `node`; returns the index of its new left leaf, whose sibling is the next. Children are given as
    /// value and cover.
    pub fn split(
        &mut self,
        node: usize,
        feature: usize,
        rule: &Rule,
        missing_left: bool,
        children: [(f64, f64); 2],
    ) -> usize {
        let left = self.nodes.len();
        let mut place = feature as u32 + 1;
        if missing_left {
            place |= MISSING_LEFT;
        }
        let number = match rule {
            Rule::AtMost(threshold) => *threshold,
            Rule::OneOf(codes) => {
                place |= IN_SET;
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

    /// Gives every feature another place: the `i`th is at `places[i]` from now on.
    ///
    /// # Errors
    /// If a split asks for a feature that has no place.
    pub fn move_features(&mut self, places: &[usize]) -> Result<(), String> {
        for node in self.nodes.iter_mut().filter(|node| !node.is_leaf()) {
            let feature = node.place() - 1;
            let place = *places.get(feature).ok_or_else(|| format!("there is no place for feature {feature}"))?;
            node.feature = node.feature & !PLACE | (place as u32 + 1);
        }
        Ok(())
    }

    /// The features that splits ask for as categories, in order.
    pub fn categories_used(&self) -> Vec<usize> {
        let asked = self.nodes.iter().filter(|node| !node.is_leaf() && node.asks_for_set()).map(|node| node.place() - 1);
        asked.collect::<std::collections::BTreeSet<usize>>().into_iter().collect()
    }

    /// Gives the codes of categories other numbers: code `c` of feature `f` is `codes[f][c]` from now on; the codes of features that are not
    /// in the map stay.
    ///
    /// # Errors
    /// If a split asks for a code that has no other number.
    pub fn move_codes(&mut self, codes: &BTreeMap<usize, HashMap<u32, u32>>) -> Result<(), String> {
        let mut moved = Self::default();
        let mut sets = Vec::new();
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            if node.is_leaf() || !node.asks_for_set() {
                continue;
            }
            let View::Split { feature, rule: Rule::OneOf(set), .. } = self.view(index) else { continue };
            let mut set = match codes.get(&feature) {
                None => set,
                Some(codes) => set
                    .iter()
                    .map(|code| {
                        codes.get(code).copied().ok_or_else(|| format!("code {code} of feature {feature} is no level"))
                    })
                    .collect::<Result<_, String>>()?,
            };
            set.sort_unstable();
            sets.push((index, moved.push_set(&set)));
        }
        for (index, set) in sets {
            self.nodes[index].number = set as f64;
        }
        (self.set_starts, self.set_words) = (moved.set_starts, moved.set_words);
        Ok(())
    }

    /// The features that splits ask for, in order.
    pub fn features_used(&self) -> Vec<usize> {
        let asked = self.nodes.iter().filter(|node| !node.is_leaf()).map(|node| node.place() - 1);
        asked.collect::<std::collections::BTreeSet<usize>>().into_iter().collect()
    }

    /// Adds the trees of `other` behind these.
    pub fn append(&mut self, other: &Self) {
        let (shift, sets, words) =
            (self.nodes.len() as u32, self.set_starts.len().saturating_sub(1), self.set_words.len() as u32);
        self.roots.extend(other.roots.iter().map(|root| root + shift));
        self.nodes.extend(other.nodes.iter().map(|node| {
            let number = if node.asks_for_set() { node.number + sets as f64 } else { node.number };
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

    /// Nobody knows how many training rows came through the nodes.
    pub fn forget_cover(&mut self) {
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

    /// Whether there is no tree.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// The indices of the nodes of each tree.
    pub fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        let ends = self.roots.iter().skip(1).map(|root| *root as usize).chain([self.nodes.len()]);
        self.roots.iter().zip(ends).map(|(root, end)| *root as usize..end)
    }

    /// Whether it is known how many training rows came through each node.
    pub fn has_cover(&self) -> bool {
        self.cover.len() == self.nodes.len()
    }

    /// The weight of the training rows that came through a node; NaN where nobody knows.
    pub fn cover(&self, node: usize) -> f64 {
        self.cover.get(node).copied().unwrap_or(f64::NAN)
    }

    /// What a node is.
    pub fn view(&self, index: usize) -> View {
        let node = &self.nodes[index];
        if node.is_leaf() {
            return View::Leaf { value: node.number };
        }
        let rule = if node.asks_for_set() {
            let bits = (0_u32..).zip(self.set(node)).flat_map(|(word, bits)| {
                let has = move |bit: &u32| bits >> bit & 1 == 1;
                (0..32).filter(has).map(move |bit| word * 32 + bit)
            });
            Rule::OneOf(bits.collect())
        } else {
            Rule::AtMost(node.number)
        };
        View::Split { feature: node.place() - 1, rule, missing_left: node.missing_left(), left: node.left as usize }
    }

    fn set(&self, node: &Node) -> &[u32] {
        let set = node.number as usize;
        &self.set_words[self.set_starts[set] as usize..self.set_starts[set + 1] as usize]
    }

    /// Whether some split asks for a category.
    pub(crate) fn has_sets(&self) -> bool {
        self.set_starts.len() > 1
    }

    /// Where a walk goes on from the node at `index` for the value `x` of its feature.
    pub(crate) fn next(&self, index: usize, x: f64) -> usize {
        let node = &self.nodes[index];
        if node.is_leaf() {
            return index;
        }
        let left = if x.is_nan() {
            node.missing_left()
        } else if node.asks_for_set() {
            let (set, code) = (self.set(node), x as u32);
            f64::from(code) == x && set.get((code / 32) as usize).is_some_and(|word| word >> (code % 32) & 1 == 1)
        } else {
            x <= node.number
        };
        node.left as usize + usize::from(!left)
    }

    /// Checks that no walk over `width` features can leave the arrays or go on for ever.
    ///
    /// # Errors
    /// Names the node at fault.
    pub fn check(&self, width: usize) -> Result<(), String> {
        let nodes = self.nodes.len();
        if !self.cover.is_empty() && self.cover.len() != nodes {
            return Err("the arrays of the trees differ in length".into());
        }
        if self.roots.first().is_some_and(|root| *root != 0) || !self.roots.is_sorted_by(|a, b| a < b) {
            return Err("the trees do not stand in order".into());
        }
        if let Some(root) = self.roots.iter().find(|root| **root as usize >= nodes) {
            return Err(format!("a tree begins at node {root} of {nodes}"));
        }
        let sets = self.set_starts.len().saturating_sub(1);
        let words = self.set_words.len();
        if !self.set_starts.is_sorted() || self.set_starts.last().map_or(0, |end| *end as usize) != words {
            return Err("the sets of categories are not in order".into());
        }
        for range in self.ranges() {
            let last = range.end;
            for index in range {
                let node = &self.nodes[index];
                if node.is_leaf() {
                    let own = node.left as usize == index && node.feature == NO_FEATURE | MISSING_LEFT;
                    if !node.number.is_finite() || !own {
                        return Err(format!("node {index} is no leaf"));
                    }
                    continue;
                }
                let left = node.left as usize;
                if node.place() > width || left <= index || left + 1 >= last {
                    return Err(format!("node {index} points nowhere"));
                }
                let sound = if node.asks_for_set() {
                    node.number >= 0.0 && node.number < sets as f64 && node.number.fract() == 0.0
                } else {
                    !node.number.is_nan()
                };
                if !sound {
                    return Err(format!("node {index} holds no number"));
                }
            }
        }
        let unsound = |cover: &f64| !cover.is_finite() || *cover < 0.0;
        self.cover.iter().position(unsound).map_or(Ok(()), |node| Err(format!("node {node} has no cover")))
    }
}

impl Node {
    pub(crate) fn is_leaf(&self) -> bool {
        self.feature & PLACE == NO_FEATURE
    }

    /// The feature's place from 1; 0 of a leaf.
    pub(crate) fn place(&self) -> usize {
        (self.feature & PLACE) as usize
    }

    pub(crate) fn missing_left(&self) -> bool {
        self.feature & MISSING_LEFT != 0
    }

    pub(crate) fn asks_for_set(&self) -> bool {
        self.feature & IN_SET != 0
    }
}

#[cfg(test)]
mod tests;
