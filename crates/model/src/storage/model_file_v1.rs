//! Models as they were stored before: read, and made into what they are now.

use boosting::{SplitCondition, Trees};
use serde::Deserialize;

use crate::{
    estimator::{Ensemble, Regressor, linear::Linear, target_transform::TargetTransform},
    storage::model_file::{ModelFault, ModelFile},
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

/// Nodes in arrays, the right child anywhere behind its parent.
#[derive(Deserialize)]
struct TreesV1 {
    roots: Vec<u32>,
    feature: Vec<u32>,
    threshold: Vec<f64>,
    left: Vec<u32>,
    right: Vec<u32>,
    value: Vec<f64>,
}

const LEAF: u32 = u32::MAX;

impl TryFrom<ModelFileV1> for ModelFile {
    type Error = ModelFault;

    fn try_from(old: ModelFileV1) -> Result<Self, ModelFault> {
        let regressor = match old.regressor {
            RegressorV1::Linear(linear) => Regressor::Linear(linear),
            RegressorV1::Boosted { base, trees } => {
                Regressor::Trees(Ensemble { base, factor: 1.0, log_link: false, trees: trees.read()? })
            }
            RegressorV1::Forest { trees } => {
                let trees = trees.read()?;
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
    fn read(&self) -> Result<Trees, ModelFault> {
        let fault = |node: usize| ModelFault(format!("node {node} points nowhere"));
        let nodes = self.feature.len();
        if [self.threshold.len(), self.left.len(), self.right.len(), self.value.len()].iter().any(|length| *length != nodes)
        {
            return Err(ModelFault("the arrays of the trees differ in length".into()));
        }
        let mut trees = Trees::default();
        let mut read = 0;
        for root in &self.roots {
            let root = *root as usize;
            let first = trees.begin_tree(*self.value.get(root).ok_or_else(|| fault(root))?, 0.0);
            let mut open = vec![(root, first)];
            while let Some((node, place)) = open.pop() {
                read += 1;
                if self.feature[node] == LEAF {
                    continue;
                }
                let children = [self.left[node] as usize, self.right[node] as usize];
                let behind = children.iter().all(|child| *child > node && *child < nodes);
                // a node that two parents share would be read twice, and so on below
                if !behind || read > nodes || self.feature[node] as usize >= boosting::MAX_FEATURES {
                    return Err(fault(node));
                }
                let rule = SplitCondition::AtMost(self.threshold[node]);
                let values = children.map(|child| (self.value[child], 0.0));
                let left = trees.split(place, self.feature[node] as usize, &rule, false, values);
                open.extend([(children[1], left + 1), (children[0], left)]);
            }
        }
        trees.clear_cover();
        Ok(trees)
    }
}
