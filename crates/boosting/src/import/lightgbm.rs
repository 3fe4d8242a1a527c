//! LightGBM's text format, version 4: blocks of `key=value` lines, one block per tree.
//!
//! `decision_type` is defined in `include/LightGBM/tree.h`: bit 0 a category, bit 1 missing values go left, bits 2 and 3 the kind of
//! missing value (0 nothing, 1 zero, 2 NaN).

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap, HashSet},
    str::FromStr,
};

use serde_json::Value;

use crate::import::{CategoryCodes, ImportedModel, ParsedNode, add_tree, check_width};
use crate::tree::{
    ensemble::{SplitCondition, Trees},
    traversal::EnsembleOutput,
};

type KeyValues<'a> = HashMap<&'a str, &'a str>;

pub(super) fn parse(text: &str) -> Result<ImportedModel, String> {
    let (body, end) = text.split_once("end of trees").ok_or("is cut off: \"end of trees\" is missing")?;
    let mut blocks = body.split("\nTree=");
    let header = parse_block(blocks.next().unwrap_or_default());
    let classes: usize = parse_one(&header, "num_class")?;
    if classes != 1 {
        return Err(format!("has {classes} classes; only regression is supported"));
    }
    let last: u32 = parse_one(&header, "max_feature_idx")?;
    let width = check_width(last as usize + 1)?;
    let names: Vec<String> = parse_list(&header, "feature_names")?;
    if names.len() != width {
        return Err(format!("has {} names for {width} features", names.len()));
    }
    let objective = header.get("objective").copied().unwrap_or("regression");
    let log_link = match objective.split(' ').next().unwrap_or_default() {
        _ if objective.split(' ').any(|word| word == "sqrt") => {
            return Err("predicts a square root, which is not supported".into());
        }
        "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" => false,
        "poisson" | "gamma" | "tweedie" => true,
        other => return Err(format!("the objective {other} is not a supported regression objective")),
    };
    let mut trees = Trees::default();
    for (index, text) in blocks.enumerate() {
        tree(&mut trees, &parse_block(text)).map_err(|message| format!("tree {index}: {message}"))?;
    }
    let average = header.contains_key("average_output") && !trees.is_empty();
    let factor = if average { 1.0 / trees.len() as f64 } else { 1.0 };
    let own = names.iter().enumerate().any(|(index, name)| *name != format!("Column_{index}"));
    let categories = categories(&header, end, &names)?;
    Ok(ImportedModel {
        source: "LightGBM",
        categories,
        features: own.then_some(names),
        width,
        trees,
        sum: EnsembleOutput { base: 0.0, factor },
        log_link,
    })
}

/// Meaning of the codes of categorical features. `feature_infos` lists these features and the codes that occurred; the last line of the
/// file lists the categories of the pandas table.
fn categories(header: &KeyValues, end: &str, names: &[String]) -> Result<BTreeMap<usize, CategoryCodes>, String> {
    let infos: Vec<String> = parse_list(header, "feature_infos")?;
    if infos.len() != names.len() {
        return Err(format!("has {} feature_infos for {} features", infos.len(), names.len()));
    }
    let mut codes: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for (feature, info) in infos.iter().enumerate().filter(|(_, info)| !info.starts_with('[') && *info != "none") {
        // -1 is the code of missing values
        let known_codes = info
            .split(':')
            .filter(|code| *code != "-1")
            .map(|code| code.parse().ok().filter(|code| *code <= crate::tree::ensemble::MAX_CODE));
        let known_codes: Option<Vec<u32>> = known_codes.collect();
        let mut known_codes = known_codes
            .ok_or_else(|| format!("feature_infos: the codes of feature \"{}\" cannot be read", names[feature]))?;
        known_codes.sort_unstable();
        codes.insert(feature, known_codes);
    }
    let lists =
        end.lines().rev().find_map(|line| line.strip_prefix("pandas_categorical:")).map(str::trim).unwrap_or_default();
    let lists: Option<Vec<Vec<Value>>> = match lists {
        "" | "null" => None,
        text => serde_json::from_str(text).map_err(|error| format!("its pandas_categorical cannot be read: {error}"))?,
    };
    let Some(lists) = lists.filter(|lists| !lists.is_empty()) else {
        return Ok(codes.into_iter().map(|(feature, codes)| (feature, CategoryCodes::Numbers(codes))).collect());
    };
    if lists.len() != codes.len() {
        return Err(format!(
            "lists the categories of {} columns of pandas (pandas_categorical) and has {} features that are categories: ordered \
             categories and an explicit categorical_feature are not supported. Train it with unordered categories only",
            lists.len(),
            codes.len()
        ));
    }
    let listed = |((feature, codes), parse_list): ((usize, Vec<u32>), &Vec<Value>)| {
        if let Some(code) = codes.last().filter(|code| **code as usize >= parse_list.len()) {
            return Err(format!(
                "feature \"{}\" has the code {code}, but the list of its categories (pandas_categorical) ends at {}",
                names[feature],
                parse_list.len() as i64 - 1
            ));
        }
        Ok((feature, CategoryCodes::Listed(parse_list.iter().map(spellings).collect::<Result<_, String>>()?)))
    };
    codes.into_iter().zip(&lists).map(listed).collect()
}

/// The spellings of a pandas category in a table; the first is that of pandas.
fn spellings(category: &Value) -> Result<Vec<String>, String> {
    Ok(match category {
        Value::String(text) => vec![text.clone()],
        Value::Bool(true) => vec!["True".into(), "1".into()],
        Value::Bool(false) => vec!["False".into(), "0".into()],
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(all_rows), _) => vec![all_rows.to_string(), format!("{all_rows}.0")],
            (None, Some(number)) if number.fract() == 0.0 && number.abs() < 1e15 => {
                vec![format!("{number:.1}"), format!("{number:.0}")]
            }
            _ => vec![number.to_string()],
        },
        other => return Err(format!("its pandas_categorical holds {other}, which is not a category")),
    })
}

/// Parses lines of `key=value`; a line without `=` is a key with an empty value.
fn parse_block(text: &str) -> KeyValues<'_> {
    text.lines().map(|line| line.split_once('=').unwrap_or((line, ""))).collect()
}

fn parse_one<T: FromStr>(parse_block: &KeyValues, key: &str) -> Result<T, String> {
    parse_list(parse_block, key)?.into_iter().next().ok_or_else(|| format!("{key} is empty"))
}

fn parse_list<T: FromStr>(parse_block: &KeyValues, key: &str) -> Result<Vec<T>, String> {
    let text = parse_block.get(key).ok_or_else(|| format!("{key} is missing"))?;
    let words = text.split(' ').filter(|word| !word.is_empty());
    words.map(|word| word.parse().map_err(|_| format!("{key}: \"{word}\" cannot be read"))).collect()
}

fn tree(trees: &mut Trees, parse_block: &KeyValues) -> Result<(), String> {
    if parse_one::<u8>(parse_block, "is_linear").unwrap_or(0) != 0 {
        return Err("has linear functions in its leaves, which are not supported".into());
    }
    let values: Vec<f64> = parse_list(parse_block, "leaf_value")?;
    let leaves: usize = parse_one(parse_block, "num_leaves")?;
    if leaves != values.len() {
        return Err(format!("has {} values for {leaves} leaves", values.len()));
    }
    if leaves <= 1 {
        let value = values.first().copied().unwrap_or(0.0);
        return add_tree(trees, 1, |_| Ok((ParsedNode::Leaf { value }, 1.0))).map(|_| ());
    }
    let features: Vec<usize> = parse_list(parse_block, "split_feature")?;
    let thresholds: Vec<f64> = parse_list(parse_block, "threshold")?;
    let decisions: Vec<u8> = parse_list(parse_block, "decision_type")?;
    let (left, right): (Vec<i64>, Vec<i64>) =
        (parse_list(parse_block, "left_child")?, parse_list(parse_block, "right_child")?);
    let leaf_counts: Vec<f64> = parse_list(parse_block, "leaf_count")?;
    let inner_counts: Vec<f64> = parse_list(parse_block, "internal_count")?;
    let lengths = [features.len(), thresholds.len(), decisions.len(), left.len(), right.len(), inner_counts.len()];
    if lengths.iter().any(|length| *length != leaves - 1) || leaf_counts.len() != leaves {
        return Err("its lists differ in length".into());
    }
    let sets = CategorySets::read(parse_block)?;
    // leaves are numbered after the splits: child -1 is leaf 0
    let number = |child: i64| if child >= 0 { child as usize } else { leaves - 1 + !child as usize };
    for child in left.iter().chain(&right) {
        if *child >= leaves as i64 - 1 || *child < -(leaves as i64) {
            let what = if *child < 0 { format!("leaf {}", !child) } else { format!("node {child}") };
            return Err(format!("{what} does not exist; the tree has {} nodes and {leaves} leaves", leaves - 1));
        }
    }
    let read = add_tree(trees, 2 * leaves - 1, |node| {
        if let Some(leaf) = node.checked_sub(leaves - 1) {
            return Ok((ParsedNode::Leaf { value: values[leaf] }, leaf_counts[leaf]));
        }
        let (threshold, decision) = (thresholds[node], decisions[node]);
        let missing = decision >> 2 & 3;
        let (rule, missing_left) = if decision & 1 == 1 {
            (SplitCondition::OneOf(sets.codes(threshold)?), false)
        } else {
            let default_left = decision >> 1 & 1 == 1;
            let zero_left = 0.0 <= threshold;
            let missing_left = match missing {
                0 => zero_left,
                1 if default_left != zero_left => {
                    return Err("treats zeros as missing values, which is not supported".into());
                }
                _ => default_left,
            };
            (SplitCondition::AtMost(threshold), missing_left)
        };
        let (left, right) = (number(left[node]), number(right[node]));
        Ok((ParsedNode::Split { feature: features[node], rule, missing_left, left, right }, inner_counts[node]))
    })?;
    let unreached = 2 * leaves - 1 - read;
    if unreached > 0 { Err(format!("{unreached} of its {} nodes have no parent", 2 * leaves - 1)) } else { Ok(()) }
}

/// The category sets of a tree.
struct CategorySets {
    boundaries: Vec<usize>,
    words: Vec<u32>,
    /// Indices of the sets that a node has used.
    used: RefCell<HashSet<usize>>,
}

impl CategorySets {
    fn read(parse_block: &KeyValues) -> Result<Self, String> {
        if parse_one::<usize>(parse_block, "num_cat")? == 0 {
            return Ok(Self { boundaries: Vec::new(), words: Vec::new(), used: RefCell::default() });
        }
        let boundaries: Vec<usize> = parse_list(parse_block, "cat_boundaries")?;
        if !boundaries.is_sorted() {
            return Err("its category sets are not in order".into());
        }
        Ok(Self { boundaries, words: parse_list(parse_block, "cat_threshold")?, used: RefCell::default() })
    }

    fn codes(&self, threshold: f64) -> Result<Vec<u32>, String> {
        let index = threshold as usize;
        if !self.used.borrow_mut().insert(index) {
            return Err(format!("two nodes use the category set {index}"));
        }
        let words = self
            .boundaries
            .get(index)
            .zip(self.boundaries.get(index + 1))
            .and_then(|(start, end)| self.words.get(*start..*end))
            .ok_or_else(|| format!("the category set {threshold} does not exist"))?;
        let codes = words
            .iter()
            .zip((0_u32..).step_by(32))
            .flat_map(|(word, first)| (0..32).filter(move |bit| word >> bit & 1 == 1).map(move |bit| first + bit));
        let codes: Vec<u32> = codes.collect();
        if codes.last().is_some_and(|code| *code > crate::tree::ensemble::MAX_CODE) {
            Err("a category's code is too large".into())
        } else {
            Ok(codes)
        }
    }
}
