//! Regression trees as flat arrays.

use serde::{Deserialize, Serialize};

/// Marks a leaf in [`Trees::feature`].
const LEAF: u32 = u32::MAX;

/// Trees whose nodes stand one after the other. A node's children stand behind it, so that every walk ends.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Trees {
    /// Per tree the index of its root.
    roots: Vec<u32>,
    /// Per node the feature it asks for, or [`LEAF`].
    feature: Vec<u32>,
    /// Per node: a row goes left if its feature is at most this.
    threshold: Vec<f64>,
    /// Per node the index of its left child.
    left: Vec<u32>,
    /// Per node the index of its right child.
    right: Vec<u32>,
    /// Per node what it predicts if it is a leaf.
    value: Vec<f64>,
}

/// A node to add.
pub(crate) enum Node {
    Leaf(f64),
    Split { feature: usize, threshold: f64 },
}

impl Trees {
    /// Starts a tree; its root is the next node added.
    pub(crate) fn begin_tree(&mut self) {
        self.roots.push(self.feature.len() as u32);
    }

    /// Adds a node; returns its index.
    pub(crate) fn push(&mut self, node: &Node) -> usize {
        let (feature, threshold, value) = match *node {
            Node::Leaf(value) => (LEAF, 0.0, value),
            Node::Split { feature, threshold } => (feature as u32, threshold, 0.0),
        };
        self.feature.push(feature);
        self.threshold.push(threshold);
        self.value.push(value);
        self.left.push(0);
        self.right.push(0);
        self.feature.len() - 1
    }

    /// Sets the children of a split.
    pub(crate) fn link(&mut self, node: usize, left: usize, right: usize) {
        self.left[node] = left as u32;
        self.right[node] = right as u32;
    }

    /// Adds the trees of `other` behind these.
    pub(crate) fn append(&mut self, other: &Self) {
        let shift = self.feature.len() as u32;
        self.roots.extend(other.roots.iter().map(|root| root + shift));
        self.left.extend(other.left.iter().map(|child| child + shift));
        self.right.extend(other.right.iter().map(|child| child + shift));
        self.feature.extend(&other.feature);
        self.threshold.extend(&other.threshold);
        self.value.extend(&other.value);
    }

    /// Multiplies every leaf by `factor`.
    pub(crate) fn scale(&mut self, factor: f64) {
        self.value.iter_mut().for_each(|value| *value *= factor);
    }

    /// Number of trees.
    pub fn len(&self) -> usize {
        self.roots.len()
    }

    /// Whether there is no tree.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// Checks that no walk over `width` features can leave the arrays or go on for ever.
    ///
    /// # Errors
    /// Names the node at fault.
    pub fn check(&self, width: usize) -> Result<(), String> {
        let nodes = self.feature.len();
        let lengths = [self.threshold.len(), self.left.len(), self.right.len(), self.value.len()];
        if lengths.iter().any(|length| *length != nodes) {
            return Err("the arrays of the trees differ in length".into());
        }
        if let Some(root) = self.roots.iter().find(|root| **root as usize >= nodes) {
            return Err(format!("a tree begins at node {root} of {nodes}"));
        }
        for node in 0..nodes {
            if !self.value[node].is_finite() || self.threshold[node].is_nan() {
                return Err(format!("node {node} holds no number"));
            }
            if self.feature[node] == LEAF {
                continue;
            }
            let behind = |child: u32| child as usize > node && (child as usize) < nodes;
            if self.feature[node] as usize >= width || !behind(self.left[node]) || !behind(self.right[node]) {
                return Err(format!("node {node} points nowhere"));
            }
        }
        Ok(())
    }

    /// What each tree predicts for `row`, in order.
    pub(crate) fn outputs<'a>(&'a self, row: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        self.roots.iter().map(|root| {
            let mut node = *root as usize;
            while self.feature[node] != LEAF {
                let left = row[self.feature[node] as usize] <= self.threshold[node];
                node = if left { self.left[node] } else { self.right[node] } as usize;
            }
            self.value[node]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stump() -> Trees {
        let mut trees = Trees::default();
        trees.begin_tree();
        let root = trees.push(&Node::Split { feature: 1, threshold: 2.0 });
        let (left, right) = (trees.push(&Node::Leaf(10.0)), trees.push(&Node::Leaf(20.0)));
        trees.link(root, left, right);
        trees
    }

    #[test]
    fn rows_fall_to_their_leaves() {
        let mut trees = stump();
        trees.append(&stump());
        let of = |row: &[f64]| trees.outputs(row).collect::<Vec<_>>();
        assert_eq!(of(&[0.0, 2.0]), [10.0, 10.0]);
        assert_eq!(of(&[0.0, 2.1]), [20.0, 20.0]);
        assert_eq!(trees.check(2), Ok(()));
    }

    #[test]
    fn crafted_trees_are_refused() {
        let fault = |spoil: &dyn Fn(&mut Trees)| {
            let mut trees = stump();
            spoil(&mut trees);
            trees.check(2).unwrap_err()
        };
        assert_eq!(fault(&|trees| trees.left[0] = 0), "node 0 points nowhere");
        assert_eq!(fault(&|trees| trees.right[0] = 3), "node 0 points nowhere");
        assert_eq!(fault(&|trees| trees.feature[0] = 2), "node 0 points nowhere");
        assert_eq!(fault(&|trees| trees.roots[0] = 3), "a tree begins at node 3 of 3");
        assert_eq!(fault(&|trees| trees.value[1] = f64::NAN), "node 1 holds no number");
        assert_eq!(fault(&|trees| trees.left.clear()), "the arrays of the trees differ in length");
    }
}
