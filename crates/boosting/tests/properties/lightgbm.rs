//! LightGBM's text format (version 4) and its decisions, as in `include/LightGBM/tree.h`.

use std::fmt::{Display, Write};

use crate::ensemble::{NUMERIC, Node, Split, WIDTH, ZERO_THRESHOLD};

/// A split as LightGBM stores it: what counts as missing agrees with the direction of zeros, else it cannot be imported.
fn stored(split: &Split) -> (u8, f64, bool) {
    if split.missing != 1 {
        return (split.missing, split.threshold, split.default_left);
    }
    // no threshold lies among the zeros
    let threshold = if split.threshold.abs() < ZERO_THRESHOLD { ZERO_THRESHOLD } else { split.threshold };
    (1, threshold, 0.0 <= threshold)
}

/// The output of a tree for a row: `NumericalDecision` and `CategoricalDecision`.
pub(crate) fn output(node: &Node, row: &[f64]) -> f64 {
    let split = match node {
        Node::Leaf(value) => return *value,
        Node::Split(split) => split,
    };
    let value = row[split.feature];
    let left = if split.feature < NUMERIC {
        let (missing, threshold, default_left) = stored(split);
        let value = if value.is_nan() && missing != 2 { 0.0 } else { value };
        match missing {
            1 if value.abs() <= ZERO_THRESHOLD => default_left,
            2 if value.is_nan() => default_left,
            _ => value <= threshold,
        }
    } else {
        // a missing or negative code goes right
        value >= 0.0 && value <= f64::from(i32::MAX) && split.codes.contains(&(value as u32))
    };
    output(if left { &split.left } else { &split.right }, row)
}

/// The lists of a tree.
#[derive(Default)]
struct Lists {
    feature: Vec<usize>,
    threshold: Vec<String>,
    decision: Vec<u8>,
    left: Vec<i64>,
    right: Vec<i64>,
    leaves: Vec<f64>,
    boundaries: Vec<usize>,
    words: Vec<u32>,
}

impl Lists {
    /// Adds a node and those below it; returns its number, which is negative for a leaf.
    fn push(&mut self, node: &Node) -> i64 {
        let split = match node {
            Node::Leaf(value) => {
                self.leaves.push(*value);
                return -(self.leaves.len() as i64);
            }
            Node::Split(split) => split,
        };
        let place = self.feature.len();
        self.feature.push(split.feature);
        if split.feature < NUMERIC {
            let (missing, threshold, default_left) = stored(split);
            self.threshold.push(format!("{threshold:?}"));
            self.decision.push(missing << 2 | u8::from(default_left) << 1);
        } else {
            self.threshold.push(self.boundaries.len().saturating_sub(1).to_string());
            self.decision.push(1 | split.missing << 2);
            if self.boundaries.is_empty() {
                self.boundaries.push(0);
            }
            let start = self.words.len();
            let words = split.codes.last().map_or(1, |code| code / 32 + 1) as usize;
            self.words.resize(start + words, 0);
            split.codes.iter().for_each(|code| self.words[start + *code as usize / 32] |= 1 << (code % 32));
            self.boundaries.push(self.words.len());
        }
        self.left.push(0);
        self.right.push(0);
        // right before left: no order of the nodes is required
        self.right[place] = self.push(&split.right);
        self.left[place] = self.push(&split.left);
        place as i64
    }
}

fn join<T: Display>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join(" ")
}

/// The file of an ensemble.
pub(crate) fn write(trees: &[Node], objective: &str, is_average: bool) -> String {
    let names: Vec<String> = (0..WIDTH).map(|feature| format!("x{feature}")).collect();
    let infos: Vec<&str> =
        (0..WIDTH).map(|feature| if feature < NUMERIC { "[-1e+300:1e+300]" } else { "-1:0:31:5" }).collect();
    let average = if is_average { "average_output\n" } else { "" };
    let mut text = format!(
        "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx={}\nobjective={objective}\n{average}\
         feature_names={}\nfeature_infos={}\ntree_sizes=1\n\n",
        WIDTH - 1,
        join(&names),
        join(&infos)
    );
    for (place, tree) in trees.iter().enumerate() {
        let mut lists = Lists::default();
        lists.push(tree);
        let _ = writeln!(
            text,
            "Tree={place}\nnum_leaves={}\nnum_cat={}",
            lists.leaves.len(),
            lists.boundaries.len().saturating_sub(1)
        );
        for (key, list) in [
            ("split_feature", join(&lists.feature)),
            ("split_gain", join(&lists.feature)),
            ("threshold", join(&lists.threshold)),
            ("decision_type", join(&lists.decision)),
            ("left_child", join(&lists.left)),
            ("right_child", join(&lists.right)),
            ("leaf_value", lists.leaves.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(" ")),
            ("leaf_count", join(&vec![1; lists.leaves.len()])),
            ("internal_count", join(&vec![2; lists.feature.len()])),
        ] {
            let _ = writeln!(text, "{key}={list}");
        }
        if !lists.boundaries.is_empty() {
            let _ = writeln!(text, "cat_boundaries={}\ncat_threshold={}", join(&lists.boundaries), join(&lists.words));
        }
        text.push_str("is_linear=0\nshrinkage=0.1\n\n\n");
    }
    text + "end of trees\n\nfeature_importances:\nx0=1\n\nparameters:\n[boosting: gbdt]\nend of parameters\n\npandas_categorical:null\n"
}
