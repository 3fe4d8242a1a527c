//! Histogram gradient boosting and forests. Pure: columns of numbers in, flat trees out.
//!
//! Splits are chosen by sums of integers, so the same rows give the same trees at any number of threads.
//!
//! # Example
//!
//! Fit to 200 rows of two features, predict a row, and explain the prediction:
//!
//! ```
//! use boosting::{BoostingParameters, EnsembleOutput, fit};
//!
//! let size: Vec<f64> = (0..200).map(f64::from).collect();
//! let floor: Vec<f64> = (0..200).map(|row| f64::from(row % 5)).collect();
//! let price: Vec<f64> = size.iter().zip(&floor).map(|(size, floor)| 3.0 * size + 10.0 * floor).collect();
//!
//! let parameters = BoostingParameters { min_samples_leaf: 1, ..BoostingParameters::default() };
//! let model = fit(&[size, floor], &price, None, &parameters)?;
//! let output = EnsembleOutput { base: model.base, factor: 1.0 };
//! let predicted = model.trees.predict_row(&[100.0, 2.0], output);
//! assert!((predicted - 320.0).abs() < 10.0);
//!
//! // the mean over training rows plus the contributions of the features is the prediction
//! let mut contributions = [0.0; 2];
//! let explained = model.trees.explainer().explain(&model.trees, &[100.0, 2.0], output, &mut contributions);
//! assert_eq!(explained, predicted);
//! let sum = model.trees.expected(output) + contributions.iter().sum::<f64>();
//! assert!((sum - predicted).abs() < 1e-9);
//! # Ok::<(), boosting::BoostingError>(())
//! ```

mod binning;
mod boosting;
mod early_stopper;
mod explanation;
mod forest;
mod grower;
mod import;
#[doc(hidden)]
pub mod kernels;
mod loss;
mod parameters;
mod tree;

pub use boosting::{BoostedTrees, fit};
pub use explanation::explainer::TreeExplainer;
pub use forest::{ForestParameters, fit_forest};
pub use import::{CategoryCodes, ImportError, ImportedModel};
pub use loss::Loss;
pub use parameters::{BoostingError, BoostingParameters, EarlyStopping};
pub use tree::ensemble::{MAX_CODE, MAX_FEATURES, NodeView, SplitCondition, Trees};
pub use tree::quick_scorer::QuickScorer;
pub use tree::traversal::EnsembleOutput;
