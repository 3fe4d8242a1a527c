//! Model files of format version 1, and their conversion to the current version.

use boosting::{SplitCondition, Trees};
use serde::Deserialize;

use crate::{
    estimator::{Ensemble, Regressor, linear::Linear, target_transform::TargetTransform},
    storage::model_file::{InvalidModel, ModelFile},
};

/// Format version 1.
#[derive(Deserialize)]
pub struct ModelFileV1 {
    name: String,
    algorithm: String,
    target: String,
    target_transform: TargetTransform,
    #[serde(deserialize_with = "schema::bounded_list")]
    features: Vec<String>,
    preprocessor: String,
    schema: String,
    seed: u64,
    train_rows: u64,
    regressor: RegressorV1,
}

#[derive(Deserialize)]
enum RegressorV1 {
    Linear(Linear),
    Boosted { base: f64, trees: TreesV1 },
    Forest { trees: TreesV1 },
}

/// Trees in arrays; both children come after their parent.
#[derive(Deserialize)]
struct TreesV1 {
    roots: Vec<u32>,
    feature: Vec<u32>,
    threshold: Vec<f64>,
    left: Vec<u32>,
    right: Vec<u32>,
    value: Vec<f64>,
}

/// Marks a leaf in [`TreesV1::feature`].
const LEAF: u32 = u32::MAX;

impl TryFrom<ModelFileV1> for ModelFile {
    type Error = InvalidModel;

    fn try_from(old: ModelFileV1) -> Result<Self, InvalidModel> {
        let regressor = match old.regressor {
            RegressorV1::Linear(linear) => Regressor::Linear(linear),
            RegressorV1::Boosted { base, trees } => {
                Regressor::Trees(Ensemble { base, factor: 1.0, log_link: false, trees: trees.convert()? })
            }
            RegressorV1::Forest { trees } => {
                let trees = trees.convert()?;
                Regressor::Trees(Ensemble { base: 0.0, factor: 1.0 / trees.len() as f64, log_link: false, trees })
            }
        };
        Ok(Self {
            name: old.name,
            algorithm: old.algorithm,
            target: old.target,
            target_transform: old.target_transform,
            features: old.features,
            preprocessor: old.preprocessor,
            schema: old.schema,
            seed: old.seed,
            train_rows: old.train_rows,
            regressor,
            means: Vec::new(),
            interval: None,
        })
    }
}

impl TreesV1 {
    fn convert(&self) -> Result<Trees, InvalidModel> {
        let invalid = |node: usize| InvalidModel(format!("node {node} has an invalid index"));
        let nodes = self.feature.len();
        if [self.threshold.len(), self.left.len(), self.right.len(), self.value.len()].iter().any(|length| *length != nodes)
        {
            return Err(InvalidModel("the arrays of the trees differ in length".into()));
        }
        let mut trees = Trees::default();
        let mut visited = 0;
        for root in &self.roots {
            let root = *root as usize;
            let first = trees.begin_tree(*self.value.get(root).ok_or_else(|| invalid(root))?, 0.0);
            let mut pending = vec![(root, first)];
            while let Some((node, place)) = pending.pop() {
                visited += 1;
                if self.feature[node] == LEAF {
                    continue;
                }
                let children = [self.left[node] as usize, self.right[node] as usize];
                let valid_order = children.iter().all(|child| *child > node && *child < nodes);
                // without this check, a node of two parents would be read repeatedly
                if !valid_order || visited > nodes || self.feature[node] as usize >= boosting::MAX_FEATURES {
                    return Err(invalid(node));
                }
                let rule = SplitCondition::AtMost(self.threshold[node]);
                let values = children.map(|child| (self.value[child], 0.0));
                let left = trees.split(place, self.feature[node] as usize, &rule, false, values);
                pending.extend([(children[1], left + 1), (children[0], left)]);
            }
        }
        trees.clear_cover();
        Ok(trees)
    }
}
