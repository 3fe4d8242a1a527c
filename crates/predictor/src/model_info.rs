//! The description of a model beside its predictions, and what a loader returns.

use drift::Reference;
use serde_json::Value;

use crate::Predictor;

/// A model and its description, as a loader returns them.
#[derive(Debug)]
pub struct LoadedParts {
    /// The model with its preprocessor.
    pub predictor: Predictor,
    /// The distribution of the training rows. Models of older versions have none.
    pub reference: Option<Reference>,
    /// The description.
    pub info: ModelInfo,
}

/// The description of a model.
#[derive(Clone, Debug, Default)]
pub struct ModelInfo {
    /// Its version: that of a registry, or the content id of a bundle.
    pub version: String,
    /// The path or URI that it was loaded from.
    pub source: String,
    /// A text that changes when another model is at the source.
    pub fingerprint: String,
    /// The model card, in Markdown.
    pub card: String,
    /// `metrics.json` of a bundle, or the tags of a registered version.
    pub metrics: Value,
    /// The lineage of a bundle, or the run of a registered version.
    pub lineage: Value,
    /// The expected coverage of prediction intervals, between 0 and 1.
    pub coverage: f64,
    /// Whether it is a bundle of version 0.1.0. Its content id covers its files, but not its name, schema, lineage and gates.
    pub is_older_bundle: bool,
}
