//! Copies smartcore's trees, whose fields are private, into flat arrays: through their serialised form.
//!
//! The structs here mirror smartcore 0.7.0, whose version is pinned; [`crate::fit`] compares the copy's predictions with the
//! original's before it is used.

use bincode::config;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::trees::{Node, Trees};

#[derive(Deserialize)]
struct Boosted {
    regressors: Option<Vec<BoostedTree>>,
}

#[derive(Deserialize)]
struct BoostedTree {
    left: Option<Box<BoostedTree>>,
    right: Option<Box<BoostedTree>>,
    value: f64,
    threshold: f64,
    feature: usize,
    _score: f64,
}

#[derive(Deserialize)]
struct Forest {
    forest: Option<ForestBody>,
}

#[derive(Deserialize)]
struct ForestBody {
    trees: Option<Vec<ForestTree>>,
}

#[derive(Deserialize)]
struct ForestTree {
    nodes: Vec<ForestNode>,
    _parameters: Option<ForestParameters>,
    _depth: u16,
    _root_mass: f64,
}

#[derive(Deserialize)]
struct ForestParameters {
    _max_depth: Option<u16>,
    _min_samples_leaf: usize,
    _min_samples_split: usize,
    _seed: Option<u64>,
    _splitter: Splitter,
}

#[derive(Deserialize)]
enum Splitter {
    Random,
    Best,
}

#[derive(Deserialize)]
struct ForestNode {
    output: f64,
    feature: usize,
    split: Option<f64>,
    _score: Option<f64>,
    left: Option<usize>,
    right: Option<usize>,
}

fn mirror<T: DeserializeOwned>(original: &impl Serialize) -> Result<T, String> {
    let bytes = bincode::serde::encode_to_vec(original, config::legacy()).map_err(|error| error.to_string())?;
    bincode::serde::decode_from_slice(&bytes, config::legacy()).map(|(copy, _)| copy).map_err(|error| error.to_string())
}

/// The trees of an `XGRegressor`, as they stand: without learning rate or base score.
pub(crate) fn boosted_trees(original: &impl Serialize) -> Result<Trees, String> {
    let mut trees = Trees::default();
    for tree in mirror::<Boosted>(original)?.regressors.into_iter().flatten() {
        trees.begin_tree();
        push_boosted(&mut trees, &tree);
    }
    Ok(trees)
}

fn push_boosted(trees: &mut Trees, tree: &BoostedTree) -> usize {
    let (Some(left), Some(right)) = (&tree.left, &tree.right) else { return trees.push(&Node::Leaf(tree.value)) };
    let node = trees.push(&Node::Split { feature: tree.feature, threshold: tree.threshold });
    let left = push_boosted(trees, left);
    let right = push_boosted(trees, right);
    trees.link(node, left, right);
    node
}

/// The trees of a `RandomForestRegressor`.
pub(crate) fn forest_trees(original: &impl Serialize) -> Result<Trees, String> {
    let mut trees = Trees::default();
    let body = mirror::<Forest>(original)?.forest;
    for tree in body.and_then(|body| body.trees).into_iter().flatten() {
        trees.begin_tree();
        let mut first = None;
        for node in &tree.nodes {
            let split = node.left.is_some() && node.right.is_some();
            let index = trees.push(&match node.split {
                Some(threshold) if split => Node::Split { feature: node.feature, threshold },
                _ => Node::Leaf(node.output),
            });
            first.get_or_insert(index);
        }
        let first = first.ok_or("a tree has no node")?;
        for (index, node) in tree.nodes.iter().enumerate() {
            if let (Some(left), Some(right)) = (node.left, node.right) {
                trees.link(first + index, first + left, first + right);
            }
        }
    }
    Ok(trees)
}
