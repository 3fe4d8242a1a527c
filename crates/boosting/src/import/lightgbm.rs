//! LightGBM's text format, version 4: blocks of `key=value` lines, a block a tree.
//!
//! The meaning of `decision_type` is that of `include/LightGBM/tree.h`: bit 0 a category, bit 1 missing values go left, bits 2 and 3
//! what is missing (0 nothing, 1 zero, 2 NaN).

use std::{collections::HashMap, str::FromStr};

use super::{Imported, Read, add_tree};
use crate::{Rule, Sum, Trees};

type Block<'a> = HashMap<&'a str, &'a str>;

pub(super) fn parse(text: &str) -> Result<Imported, String> {
    let (body, _) = text.split_once("end of trees").ok_or("is cut off: \"end of trees\" is missing")?;
    let mut blocks = body.split("\nTree=");
    let header = block(blocks.next().unwrap_or_default());
    let classes: usize = one(&header, "num_class")?;
    if classes != 1 {
        return Err(format!("has {classes} classes; only regression is predicted here"));
    }
    let width = one::<usize>(&header, "max_feature_idx")? + 1;
    let names: Vec<String> = list(&header, "feature_names")?;
    if names.len() != width {
        return Err(format!("has {} names for {width} features", names.len()));
    }
    let objective = header.get("objective").copied().unwrap_or("regression");
    let log_link = match objective.split(' ').next().unwrap_or_default() {
        _ if objective.split(' ').any(|word| word == "sqrt") => {
            return Err("predicts a square root, which is not done here".into());
        }
        "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" => false,
        "poisson" | "gamma" | "tweedie" => true,
        other => return Err(format!("the objective {other} is not a regression that is predicted here")),
    };
    let mut trees = Trees::default();
    for (index, text) in blocks.enumerate() {
        tree(&mut trees, &block(text)).map_err(|message| format!("tree {index}: {message}"))?;
    }
    let average = header.contains_key("average_output") && !trees.is_empty();
    let factor = if average { 1.0 / trees.len() as f64 } else { 1.0 };
    let own = names.iter().enumerate().any(|(index, name)| *name != format!("Column_{index}"));
    Ok(Imported {
        source: "LightGBM",
        features: own.then_some(names),
        width,
        trees,
        sum: Sum { base: 0.0, factor },
        log_link,
    })
}

/// Lines of `key=value`; a key alone stands for itself.
fn block(text: &str) -> Block<'_> {
    text.lines().map(|line| line.split_once('=').unwrap_or((line, ""))).collect()
}

fn one<T: FromStr>(block: &Block, key: &str) -> Result<T, String> {
    list(block, key)?.into_iter().next().ok_or_else(|| format!("{key} is empty"))
}

fn list<T: FromStr>(block: &Block, key: &str) -> Result<Vec<T>, String> {
    let text = block.get(key).ok_or_else(|| format!("{key} is missing"))?;
    let words = text.split(' ').filter(|word| !word.is_empty());
    words.map(|word| word.parse().map_err(|_| format!("{key}: \"{word}\" cannot be read"))).collect()
}

fn tree(trees: &mut Trees, block: &Block) -> Result<(), String> {
    if one::<u8>(block, "is_linear").unwrap_or(0) != 0 {
        return Err("has linear functions in its leaves, which are not predicted here".into());
    }
    let values: Vec<f64> = list(block, "leaf_value")?;
    let leaves: usize = one(block, "num_leaves")?;
    if leaves != values.len() {
        return Err(format!("has {} values for {leaves} leaves", values.len()));
    }
    if leaves <= 1 {
        let value = values.first().copied().unwrap_or(0.0);
        return add_tree(trees, 0, |_| Ok((Read::Leaf { value }, 1.0)));
    }
    let features: Vec<usize> = list(block, "split_feature")?;
    let thresholds: Vec<f64> = list(block, "threshold")?;
    let decisions: Vec<u8> = list(block, "decision_type")?;
    let (left, right): (Vec<i64>, Vec<i64>) = (list(block, "left_child")?, list(block, "right_child")?);
    let leaf_counts: Vec<f64> = list(block, "leaf_count")?;
    let inner_counts: Vec<f64> = list(block, "internal_count")?;
    let lengths = [features.len(), thresholds.len(), decisions.len(), left.len(), right.len(), inner_counts.len()];
    if lengths.iter().any(|length| *length != leaves - 1) || leaf_counts.len() != leaves {
        return Err("its lists differ in length".into());
    }
    let sets = Sets::read(block)?;
    // leaves are numbered behind the splits: child -1 is leaf 0
    let number = |child: i64| if child >= 0 { child as usize } else { leaves - 1 + (-(child + 1)) as usize };
    add_tree(trees, 0, |node| {
        if let Some(leaf) = node.checked_sub(leaves - 1) {
            let value = *values.get(leaf).ok_or_else(|| format!("there is no leaf {leaf}"))?;
            return Ok((Read::Leaf { value }, leaf_counts[leaf]));
        }
        let (threshold, decision) = (thresholds[node], decisions[node]);
        let missing = decision >> 2 & 3;
        let (rule, missing_left) = if decision & 1 == 1 {
            (Rule::OneOf(sets.of(threshold)?), false)
        } else {
            let default_left = decision >> 1 & 1 == 1;
            let zero_left = 0.0 <= threshold;
            let missing_left = match missing {
                0 => zero_left,
                1 if default_left != zero_left => {
                    return Err("takes zeros for missing values, which is not done here".into());
                }
                _ => default_left,
            };
            (Rule::AtMost(threshold), missing_left)
        };
        let (left, right) = (number(left[node]), number(right[node]));
        Ok((Read::Split { feature: features[node], rule, missing_left, left, right }, inner_counts[node]))
    })
}

/// The sets of categories of a tree.
struct Sets {
    boundaries: Vec<usize>,
    words: Vec<u32>,
}

impl Sets {
    fn read(block: &Block) -> Result<Self, String> {
        if one::<usize>(block, "num_cat")? == 0 {
            return Ok(Self { boundaries: Vec::new(), words: Vec::new() });
        }
        Ok(Self { boundaries: list(block, "cat_boundaries")?, words: list(block, "cat_threshold")? })
    }

    fn of(&self, threshold: f64) -> Result<Vec<u32>, String> {
        let index = threshold as usize;
        let words = self
            .boundaries
            .get(index)
            .zip(self.boundaries.get(index + 1))
            .and_then(|(start, end)| self.words.get(*start..*end))
            .ok_or_else(|| format!("there is no set of categories {threshold}"))?;
        let codes = words
            .iter()
            .zip((0_u32..).step_by(32))
            .flat_map(|(word, first)| (0..32).filter(move |bit| word >> bit & 1 == 1).map(move |bit| first + bit));
        let codes: Vec<u32> = codes.collect();
        if codes.last().is_some_and(|code| *code > crate::MAX_CODE) {
            Err("a category's code is too large".into())
        } else {
            Ok(codes)
        }
    }
}
