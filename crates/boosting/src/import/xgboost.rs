//! XGBoost's JSON format of versions 1.6 to 3.x ("Introduction to Model IO" in its documentation).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use crate::import::{CategoryCodes, ImportedModel, ParsedNode, add_tree, check_width};
use crate::tree::{
    ensemble::{SplitCondition, Trees},
    traversal::EnsembleOutput,
};

pub(super) fn parse(text: &str) -> Result<ImportedModel, String> {
    let file: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
    let booster = value_at(&file, &["learner", "gradient_booster"])?;
    let learner = &file["learner"];
    let objective = value_at(learner, &["objective", "name"])?.as_str().unwrap_or_default();
    let log_link = match objective {
        "reg:squarederror"
        | "reg:linear"
        | "reg:squaredlogerror"
        | "reg:pseudohubererror"
        | "reg:absoluteerror"
        | "reg:quantileerror" => false,
        "count:poisson" | "reg:gamma" | "reg:tweedie" => true,
        other => return Err(format!("the objective {other} is not a supported regression objective")),
    };
    let parameters = value_at(learner, &["learner_model_param"])?;
    let width = check_width(number(&parameters["num_feature"]).ok_or("num_feature cannot be read")? as usize)?;
    if number(&parameters["num_target"]).is_some_and(|targets| targets > 1.0) {
        return Err("predicts several targets".into());
    }
    let score = number(&parameters["base_score"]).ok_or("base_score cannot be read")?;
    let base = if log_link { score.ln() } else { score };
    let (model, weights) = match booster["name"].as_str() {
        Some("gbtree") => (value_at(booster, &["model"])?, None),
        Some("dart") => (value_at(booster, &["gbtree", "model"])?, booster["weight_drop"].as_array()),
        other => return Err(format!("the booster {} has no trees", other.unwrap_or_default())),
    };
    let codes = codes(&model["cats"])?;
    let mut trees = Trees::default();
    // the codes that occur, by categorical feature
    let mut used_codes = BTreeMap::new();
    let mut set_words = 0;
    for (index, text) in value_at(model, &["trees"])?.as_array().into_iter().flatten().enumerate() {
        let mut boosted_tree = Trees::default();
        tree(&mut boosted_tree, text, &codes, &mut used_codes, &mut set_words)
            .map_err(|message| format!("tree {index}: {message}"))?;
        if let Some(weight) = weights.and_then(|weights| weights.get(index)).and_then(Value::as_f64) {
            boosted_tree.scale(f64::from(weight as f32));
        }
        trees.append(&boosted_tree);
    }
    let names = learner["feature_names"].as_array().map(Vec::as_slice).unwrap_or_default();
    let features: Option<Vec<String>> = names.iter().map(|name| name.as_str().map(str::to_owned)).collect();
    let features = features.ok_or("feature_names cannot be read")?;
    if !features.is_empty() && features.len() != width {
        return Err(format!("has {} names for {width} features", features.len()));
    }
    let features = (!features.is_empty()).then_some(features);
    let numbers = |codes: BTreeSet<u32>| CategoryCodes::Numbers(codes.into_iter().collect());
    let categories = used_codes.into_iter().map(|(feature, codes)| (feature, numbers(codes))).collect();
    Ok(ImportedModel {
        source: "XGBoost",
        features,
        categories,
        width,
        trees,
        sum: EnsembleOutput { base, factor: 1.0 },
        log_link,
    })
}

fn value_at<'a>(value: &'a Value, path: &[&str]) -> Result<&'a Value, String> {
    let value = path.iter().try_fold(value, |value, key| value.get(key));
    value.ok_or_else(|| format!("{} is missing", path.join(".")))
}

/// A number, also as text or in brackets.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.trim_matches(['[', ']']).parse().ok(),
        other => other.as_f64(),
    }
}

fn numbers(tree: &Value, key: &str) -> Result<Vec<f64>, String> {
    let list = tree[key].as_array().ok_or_else(|| format!("{key} is missing"))?;
    let parse = |value: &Value| value.as_f64().or_else(|| value.as_bool().map(f64::from)).or_else(|| number(value));
    list.iter().map(|value| parse(value).ok_or_else(|| format!("{key}: {value} is not a number"))).collect()
}

/// The meaning of codes by feature, if a pandas table was encoded; empty for codes as they are.
fn codes(cats: &Value) -> Result<Vec<Vec<u32>>, String> {
    let mut all = Vec::new();
    for (feature, encoded) in cats["enc"].as_array().into_iter().flatten().enumerate() {
        let values = encoded["values"].as_array().map(Vec::as_slice).unwrap_or_default();
        let code = |value: &Value| {
            value.as_u64().filter(|code| *code <= u64::from(crate::tree::ensemble::MAX_CODE)).map(|code| code as u32)
        };
        let named = encoded["offsets"].as_array().is_some_and(|offsets| !offsets.is_empty());
        let known: Option<Vec<u32>> = values.iter().map(code).collect();
        match known {
            Some(known) if !named => all.push(known),
            _ => {
                return Err(format!(
                    "feature {feature} has categories with names. Train it on their codes (integers from 0)"
                ));
            }
        }
    }
    Ok(all)
}

/// Largest total size of the category sets of a model, in words of 32 codes (64 MiB).
const MAX_SET_WORDS: usize = 1 << 24;

fn tree(
    trees: &mut Trees,
    tree: &Value,
    codes: &[Vec<u32>],
    used_codes: &mut BTreeMap<usize, BTreeSet<u32>>,
    set_words: &mut usize,
) -> Result<(), String> {
    let (left, right) = (numbers(tree, "left_children")?, numbers(tree, "right_children")?);
    let (indices, conditions) = (numbers(tree, "split_indices")?, numbers(tree, "split_conditions")?);
    let (default_left, cover) = (numbers(tree, "default_left")?, numbers(tree, "sum_hessian")?);
    let kinds = numbers(tree, "split_type").unwrap_or_default();
    let nodes = left.len();
    if [right.len(), indices.len(), conditions.len(), default_left.len(), cover.len()].iter().any(|length| *length != nodes)
    {
        return Err("its lists differ in length".into());
    }
    if nodes == 0 {
        return Err("has no node".into());
    }
    let mut sets = sets(tree)?;
    for (node, set) in &mut sets {
        let feature = indices.get(*node).copied().unwrap_or_default() as usize;
        let known = codes.get(feature).filter(|known| !known.is_empty());
        let code = |code: &u32| known.map_or(Some(*code), |known| known.get(*code as usize).copied());
        *set = set.iter().filter_map(code).collect();
        set.sort_unstable();
        used_codes.entry(feature).or_default().extend(set.iter());
    }
    *set_words += sets.values().map(|set| set.last().map_or(1, |code| *code as usize / 32 + 1)).sum::<usize>();
    if *set_words > MAX_SET_WORDS {
        return Err(format!("the category sets of the trees take {set_words} words of memory; {MAX_SET_WORDS} are allowed"));
    }
    // a pruned tree keeps its removed nodes
    let deleted = number(&tree["tree_param"]["num_deleted"]).unwrap_or(0.0) as usize;
    let read = add_tree(trees, nodes, |node| {
        let weight = cover[node];
        if left[node] < 0.0 {
            return Ok((ParsedNode::Leaf { value: f64::from(conditions[node] as f32) }, weight));
        }
        let (feature, left, right) = (indices[node] as usize, left[node] as usize, right[node] as usize);
        let default_left = default_left[node] != 0.0;
        if kinds.get(node) == Some(&1.0) {
            // in XGBoost, categories of the set go right
            let rule = SplitCondition::OneOf(sets.get(&node).cloned().unwrap_or_default());
            return Ok((ParsedNode::Split { feature, rule, missing_left: !default_left, left: right, right: left }, weight));
        }
        let rule = SplitCondition::AtMost(last_below(conditions[node] as f32));
        Ok((ParsedNode::Split { feature, rule, missing_left: default_left, left, right }, weight))
    })?;
    if read + deleted == nodes {
        Ok(())
    } else {
        Err(format!("{} of its {nodes} nodes have no parent, but the file says that {deleted} were deleted", nodes - read))
    }
}

/// The largest number that is below `threshold` after rounding to single precision, in which XGBoost compares.
fn last_below(threshold: f32) -> f64 {
    let before = threshold.next_down();
    let middle = f64::midpoint(f64::from(before), f64::from(threshold));
    // a number half way between two rounds to the one with the even last digit
    if before.to_bits() & 1 == 0 { middle } else { middle.next_down() }
}

/// Category sets by node.
fn sets(tree: &Value) -> Result<HashMap<usize, Vec<u32>>, String> {
    let Ok(owners) = numbers(tree, "categories_nodes") else { return Ok(HashMap::new()) };
    let (all, starts, sizes) =
        (numbers(tree, "categories")?, numbers(tree, "categories_segments")?, numbers(tree, "categories_sizes")?);
    if sizes.iter().sum::<f64>() > all.len() as f64 {
        return Err("its category sets share codes".into());
    }
    let set = |(place, owner): (usize, &f64)| {
        let (start, size) = (*starts.get(place)? as usize, *sizes.get(place)? as usize);
        let inside = all.get(start..start.checked_add(size)?)?;
        let codes: Option<Vec<u32>> = inside
            .iter()
            .map(|code| (*code >= 0.0 && *code <= f64::from(crate::tree::ensemble::MAX_CODE)).then_some(*code as u32))
            .collect();
        Some((*owner as usize, codes?))
    };
    owners.iter().enumerate().map(|place| set(place).ok_or_else(|| "its category sets cannot be read".into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_separate_numbers_as_single_precision_does() {
        for threshold in [0.3_f32, 1.0, -7.7, 221.96, 1e-45, 3e38, 0.0] {
            let last = last_below(threshold);
            assert!((last as f32) < threshold, "{threshold}");
            assert!((last.next_up() as f32) >= threshold, "{threshold}");
        }
    }
}
