//! XGBoost's JSON format and its decisions, as in "Introduction to Model IO" and `src/predictor/predict_fn.h`.

use serde_json::{Value, json};

use crate::ensemble::{NUMERIC, Node, Split, WIDTH};

/// The output of a tree for a row: `GetNextNode`. Numbers are compared in single precision.
pub(crate) fn output(node: &Node, row: &[f64]) -> f32 {
    let split = match node {
        Node::Leaf(value) => return *value as f32,
        Node::Split(split) => split,
    };
    let value = row[split.feature] as f32;
    let left = if value.is_nan() {
        split.default_left
    } else if split.feature < NUMERIC {
        value < split.threshold as f32
    } else {
        // categories of the set go right, invalid ones left
        !(value >= 0.0 && split.codes.contains(&(value as u32)))
    };
    output(if left { &split.left } else { &split.right }, row)
}

/// The lists of a tree.
#[derive(Default)]
struct Lists {
    left: Vec<i64>,
    right: Vec<i64>,
    parents: Vec<i64>,
    indices: Vec<usize>,
    conditions: Vec<f32>,
    default_left: Vec<u8>,
    types: Vec<u8>,
    categories: Vec<u32>,
    owners: Vec<usize>,
    segments: Vec<usize>,
    sizes: Vec<usize>,
}

impl Lists {
    fn push(&mut self, parent: i64) -> usize {
        self.left.push(-1);
        self.right.push(-1);
        self.parents.push(parent);
        self.indices.push(0);
        self.conditions.push(0.0);
        self.default_left.push(0);
        self.types.push(0);
        self.left.len() - 1
    }

    fn fill(&mut self, place: usize, node: &Node) {
        let split: &Split = match node {
            Node::Leaf(value) => {
                self.conditions[place] = *value as f32;
                return;
            }
            Node::Split(split) => split,
        };
        self.indices[place] = split.feature;
        self.default_left[place] = split.default_left.into();
        if split.feature < NUMERIC {
            self.conditions[place] = split.threshold as f32;
        } else {
            self.types[place] = 1;
            self.owners.push(place);
            self.segments.push(self.categories.len());
            self.sizes.push(split.codes.len());
            self.categories.extend(&split.codes);
        }
        let (left, right) = (self.push(place as i64), self.push(place as i64));
        (self.left[place], self.right[place]) = (left as i64, right as i64);
        self.fill(left, &split.left);
        self.fill(right, &split.right);
    }
}

fn tree_json(id: usize, tree: &Node) -> Value {
    let mut lists = Lists::default();
    let root = lists.push(i64::from(i32::MAX));
    lists.fill(root, tree);
    let nodes = lists.left.len();
    json!({
        "base_weights": lists.conditions,
        "categories": lists.categories,
        "categories_nodes": lists.owners,
        "categories_segments": lists.segments,
        "categories_sizes": lists.sizes,
        "default_left": lists.default_left,
        "id": id,
        "left_children": lists.left,
        "loss_changes": vec![0.0; nodes],
        "parents": lists.parents,
        "right_children": lists.right,
        "split_conditions": lists.conditions,
        "split_indices": lists.indices,
        "split_type": lists.types,
        "sum_hessian": vec![1.0; nodes],
        "tree_param": {
            "num_deleted": "0", "num_feature": WIDTH.to_string(), "num_nodes": nodes.to_string(), "size_leaf_vector": "1",
        },
    })
}

/// The file of an ensemble. With `weights` it is a DART model.
pub(crate) fn write(trees: &[Node], objective: &str, base: f64, weights: Option<&[f64]>) -> String {
    let model = json!({
        "cats": {"enc": vec![json!({"offsets": [], "values": []}); WIDTH], "feature_segments": vec![0; WIDTH + 1], "sorted_idx": []},
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": trees.len().to_string()},
        "tree_info": vec![0; trees.len()],
        "trees": trees.iter().enumerate().map(|(id, tree)| tree_json(id, tree)).collect::<Vec<_>>(),
    });
    let booster = match weights {
        None => json!({"model": model, "name": "gbtree"}),
        Some(weights) => json!({"gbtree": {"model": model, "name": "gbtree"}, "name": "dart", "weight_drop": weights}),
    };
    let types: Vec<&str> = (0..WIDTH).map(|feature| if feature < NUMERIC { "float" } else { "c" }).collect();
    json!({
        "learner": {
            "attributes": {},
            "feature_names": (0..WIDTH).map(|feature| format!("x{feature}")).collect::<Vec<_>>(),
            "feature_types": types,
            "gradient_booster": booster,
            "learner_model_param": {
                "base_score": format!("[{base:E}]"), "boost_from_average": "1", "num_class": "0",
                "num_feature": WIDTH.to_string(), "num_target": "1",
            },
            "objective": {"name": objective, "reg_loss_param": {"scale_pos_weight": "1"}},
        },
        "version": [3, 0, 2],
    })
    .to_string()
}
