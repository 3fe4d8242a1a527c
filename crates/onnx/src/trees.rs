//! Trees as one `TreeEnsembleRegressor` (operator set 3 of the machine learning domain) with thresholds and values in double precision.
//!
//! The operator does not support category sets. A split by a set therefore tests an extra column: 0 if the row's category is in the set,
//! else 1.

use model::{Ensemble, NodeView, SplitCondition};

use crate::{
    graph::{Graph, Value},
    proto::{AttributeProto, TensorProto, attribute_type, data_type},
};

/// The nodes in the operator's form: one list per attribute.
#[derive(Default)]
struct Nodes {
    trees: Vec<i64>,
    ids: Vec<i64>,
    features: Vec<i64>,
    thresholds: Vec<f64>,
    leaf: Vec<bool>,
    left: Vec<i64>,
    right: Vec<i64>,
    missing_left: Vec<i64>,
    leaf_trees: Vec<i64>,
    leaf_ids: Vec<i64>,
    values: Vec<f64>,
}

/// The prediction of an ensemble for `features`, a matrix of `width` columns.
pub(crate) fn ensemble(graph: &mut Graph, features: &Value, ensemble: &Ensemble, width: usize) -> Value {
    let mut nodes = Nodes::default();
    let mut sets: Vec<(usize, Vec<u32>)> = Vec::new();
    for (tree, range) in ensemble.trees.ranges().enumerate() {
        let first = range.start;
        for index in range {
            nodes.push(tree as i64, (index - first) as i64, first, ensemble.trees.view(index), width, &mut sets);
        }
    }
    let sum = if nodes.ids.is_empty() {
        let (zeros, flat) = (graph.number_tensor(&vec![0.0; width], &[width, 1]), graph.integers(&[-1]));
        let nothing = graph.op("MatMul", &[features, &zeros]);
        graph.op("Reshape", &[&nothing, &flat])
    } else {
        let features = with_sets(graph, features, &sets);
        let sums = graph.ml_op("TreeEnsembleRegressor", &[&features], nodes.attributes());
        let flat = graph.integers(&[-1]);
        let sums = graph.op("Reshape", &[&sums, &flat]);
        graph.number_of(&sums)
    };
    let base = graph.number(ensemble.base);
    let sum = graph.op("Add", &[&sum, &base]);
    let factor = graph.number(ensemble.factor);
    let prediction = graph.op("Mul", &[&sum, &factor]);
    if ensemble.log_link { graph.op("Exp", &[&prediction]) } else { prediction }
}

/// The features, followed by one column per category set.
fn with_sets(graph: &mut Graph, features: &Value, sets: &[(usize, Vec<u32>)]) -> Value {
    let mut blocks = vec![features.clone()];
    // sets are in the order of their nodes: consecutive ones have the same feature
    let mut start = 0;
    while start < sets.len() {
        let feature = sets[start].0;
        let end = start + sets[start..].iter().take_while(|(other, _)| *other == feature).count();
        blocks.push(outside(graph, features, feature, &sets[start..end]));
        start = end;
    }
    if blocks.len() == 1 {
        return features.clone();
    }
    let blocks: Vec<&Value> = blocks.iter().collect();
    graph.op_with("Concat", &blocks, "axis", 1)
}

/// For each set, 1 if the category of `feature` is not in it; other values are in no set.
fn outside(graph: &mut Graph, features: &Value, feature: usize, sets: &[(usize, Vec<u32>)]) -> Value {
    let most = sets.iter().filter_map(|(_, codes)| codes.last()).max().copied().unwrap_or(0);
    let none = most + 1;
    let mut table = vec![1.0; (none as usize + 1) * sets.len()];
    for (place, (_, codes)) in sets.iter().enumerate() {
        codes.iter().for_each(|code| table[*code as usize * sets.len() + place] = 0.0);
    }
    let table = graph.number_tensor(&table, &[none as usize + 1, sets.len()]);
    let place = graph.integer(feature as i64);
    let code = graph.op_with("Gather", &[features, &place], "axis", 1);
    let (low, high) = (graph.number(0.0), graph.number(f64::from(most)));
    let whole = graph.op("Floor", &[&code]);
    // comparisons with NaN are false
    let conditions = [
        graph.op("Equal", &[&code, &whole]),
        graph.op("GreaterOrEqual", &[&code, &low]),
        graph.op("LessOrEqual", &[&code, &high]),
    ];
    let both = graph.op("And", &[&conditions[0], &conditions[1]]);
    let known = graph.op("And", &[&both, &conditions[2]]);
    let none = graph.number(f64::from(none));
    let code = graph.choose(&known, &code, &none);
    let code = graph.whole_of(&code);
    graph.op_with("Gather", &[&table, &code], "axis", 0)
}

impl Nodes {
    fn push(&mut self, tree: i64, id: i64, first: usize, view: NodeView, width: usize, sets: &mut Vec<(usize, Vec<u32>)>) {
        self.trees.push(tree);
        self.ids.push(id);
        match view {
            NodeView::Leaf { value } => {
                self.features.push(0);
                self.thresholds.push(0.0);
                self.leaf.push(true);
                self.left.push(0);
                self.right.push(0);
                self.missing_left.push(0);
                self.leaf_trees.push(tree);
                self.leaf_ids.push(id);
                self.values.push(value);
            }
            NodeView::Split { feature, rule, missing_left, left } => {
                let (feature, threshold) = match rule {
                    SplitCondition::AtMost(threshold) => (feature, threshold),
                    SplitCondition::OneOf(codes) => {
                        sets.push((feature, codes));
                        (width + sets.len() - 1, 0.5)
                    }
                };
                self.features.push(feature as i64);
                self.thresholds.push(threshold);
                self.leaf.push(false);
                self.left.push((left - first) as i64);
                self.right.push((left + 1 - first) as i64);
                self.missing_left.push(i64::from(missing_left));
            }
        }
    }

    fn attributes(self) -> Vec<AttributeProto> {
        let ints = |name: &str, ints: Vec<i64>| AttributeProto {
            name: name.into(),
            ints,
            kind: attribute_type::INTS,
            ..AttributeProto::default()
        };
        let numbers = |name: &str, values: Vec<f64>| AttributeProto {
            name: name.into(),
            t: Some(TensorProto {
                dims: vec![values.len() as i64],
                data_type: data_type::DOUBLE,
                double_data: values,
                ..TensorProto::default()
            }),
            kind: attribute_type::TENSOR,
            ..AttributeProto::default()
        };
        let modes = self.leaf.iter().map(|leaf| if *leaf { b"LEAF".to_vec() } else { b"BRANCH_LEQ".to_vec() }).collect();
        let modes = AttributeProto {
            name: "nodes_modes".into(),
            strings: modes,
            kind: attribute_type::STRINGS,
            ..AttributeProto::default()
        };
        let targets =
            AttributeProto { name: "n_targets".into(), i: 1, kind: attribute_type::INT, ..AttributeProto::default() };
        vec![
            ints("nodes_treeids", self.trees),
            ints("nodes_nodeids", self.ids),
            ints("nodes_featureids", self.features),
            numbers("nodes_values_as_tensor", self.thresholds),
            modes,
            ints("nodes_truenodeids", self.left),
            ints("nodes_falsenodeids", self.right),
            ints("nodes_missing_value_tracks_true", self.missing_left),
            ints("target_treeids", self.leaf_trees),
            ints("target_nodeids", self.leaf_ids),
            ints("target_ids", vec![0; self.values.len()]),
            numbers("target_weights_as_tensor", self.values),
            targets,
        ]
    }
}
