//! A model with its preprocessor: it turns raw rows into predictions, prediction intervals and contributions.
//!
//! Every prediction (of a file, a test row, a request) is made by this crate, so that served predictions equal the evaluated ones.

mod bundle;
mod error;
mod model_info;
mod row;

use std::path::Path;

use artifact::{ArtifactError, Digest, bundle_file_limit, read_bounded, read_envelope_bytes, read_envelope_bytes_or_older};
use features::{PREPROCESSOR, Preprocessor, PreprocessorFile, RowError};
use model::{Contributions, Explainer, MODEL, Matrix, Model, ModelFile, ModelFileV1};
use schema::Table;

pub use bundle::{open_bundle, open_files};
pub use error::PredictorError;
pub use model_info::{LoadedParts, ModelInfo};
pub use row::{Prediction, Scratch};

/// The file name of the model.
pub const MODEL_FILE: &str = "model.bin";
/// The file name of the preprocessor.
pub const PREPROCESSOR_FILE: &str = "preprocessor.bin";

/// The file name of the reference distribution of training rows.
pub const REFERENCE_FILE: &str = "reference.json";

/// A valid model and its valid preprocessor.
#[derive(Clone, Debug)]
pub struct Predictor {
    model: Model,
    preprocessor: Preprocessor,
    /// Positions of the model's features among the preprocessor's.
    selected: Vec<usize>,
    /// The raw columns that the model uses.
    explained_columns: Vec<String>,
    /// For each feature of the model, the positions of its raw columns in `explained_columns`.
    source_columns: Vec<Vec<usize>>,
}

impl Predictor {
    /// Combines a model and a preprocessor. The caller is responsible for them being trained together.
    ///
    /// # Errors
    /// Names a feature that the preprocessor does not create.
    pub fn new(model: Model, preprocessor: Preprocessor) -> Result<Self, PredictorError> {
        let features = preprocessor.feature_names();
        let position = |feature: &String| {
            let position = features.iter().position(|name| name == feature);
            position.ok_or_else(|| PredictorError::MissingFeature { feature: feature.clone() })
        };
        let selected = model.file().features.iter().map(position).collect::<Result<Vec<usize>, _>>()?;
        let used: Vec<Vec<&str>> = model.file().features.iter().map(|feature| preprocessor.raw_columns(feature)).collect();
        let columns = preprocessor.columns().map(|column| column.name.clone());
        let explained_columns: Vec<String> = columns.filter(|name| used.iter().flatten().any(|used| used == name)).collect();
        let position = |name: &&str| explained_columns.iter().position(|column| column == name);
        let source_columns = used.iter().map(|names| names.iter().filter_map(position).collect()).collect();
        Ok(Self { model, preprocessor, selected, explained_columns, source_columns })
    }

    /// Opens the contents of the two files, and checks that they belong together. Their names are for messages.
    ///
    /// # Errors
    /// If a file is corrupt or inconsistent, or the preprocessor is not the one that the model was trained with.
    pub fn from_bytes(
        (model_name, model): (&Path, &[u8]),
        (preprocessor_name, preprocessor): (&Path, &[u8]),
    ) -> Result<Self, PredictorError> {
        let file: ModelFile = read_envelope_bytes_or_older::<_, ModelFileV1>(model, model_name, MODEL.into())?;
        let invalid = |path: &Path, reason: String| PredictorError::Invalid { path: path.to_owned(), reason };
        let model = Model::from_file(file).map_err(|error| invalid(model_name, error.to_string()))?;
        let file: PreprocessorFile = read_envelope_bytes(preprocessor, preprocessor_name, PREPROCESSOR.into())?;
        let digest = Digest::of_bytes(preprocessor);
        if digest.hex() != model.file().preprocessor {
            let short = |hex: &str| hex.get(..12).unwrap_or(hex).to_owned();
            return Err(PredictorError::PreprocessorMismatch {
                preprocessor: preprocessor_name.to_owned(),
                model: model_name.to_owned(),
                found: short(digest.hex()),
                named: short(&model.file().preprocessor),
            });
        }
        let preprocessor = Preprocessor::from_file(file).map_err(|error| invalid(preprocessor_name, error.to_string()))?;
        Self::new(model, preprocessor)
    }

    /// Reads the two files, and checks that they belong together.
    ///
    /// # Errors
    /// If one is absent, and those of [`from_bytes`](Self::from_bytes).
    pub fn read(model: &Path, preprocessor: &Path) -> Result<Self, PredictorError> {
        let read = |path: &Path, name: &str, stage: &str| {
            if !path.exists() {
                let hint = format!("Run `{stage}` to write it");
                return Err(ArtifactError::Missing { path: path.to_owned(), hint });
            }
            read_bounded(path, bundle_file_limit(name).unwrap_or(0))
        };
        let model_bytes = read(model, MODEL_FILE, "train")?;
        let preprocessor_bytes = read(preprocessor, PREPROCESSOR_FILE, "engineer")?;
        Self::from_bytes((model, &model_bytes), (preprocessor, &preprocessor_bytes))
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The preprocessor.
    pub fn preprocessor(&self) -> &Preprocessor {
        &self.preprocessor
    }

    /// The model's features of every row of a raw table.
    ///
    /// # Errors
    /// The first row with a level that is unknown to schema and training, if those are rejected.
    pub fn features(&self, table: &Table) -> Result<Matrix, RowError> {
        let mut features = self.preprocessor.transform(table)?;
        Ok(Matrix::new(self.selected.iter().map(|position| std::mem::take(&mut features[*position])).collect()))
    }

    /// The predictions for every row of a raw table, in the target's unit.
    ///
    /// # Errors
    /// Those of [`features`](Self::features).
    pub fn predict(&self, table: &Table) -> Result<Vec<f64>, RowError> {
        Ok(self.model.predict(&self.features(table)?))
    }

    /// The raw columns that the model uses, in the order of the schema.
    pub fn explained_columns(&self) -> &[String] {
        &self.explained_columns
    }

    /// Converts contributions of features to contributions of [`explained_columns`](Self::explained_columns). A feature of two columns is
    /// shared evenly between them.
    #[must_use]
    pub fn contributions_by_column(&self, parts: &Contributions) -> Contributions {
        parts.grouped(self.explained_columns.len(), &self.source_columns)
    }

    /// The explainer of this model.
    ///
    /// # Errors
    /// The reason why the model cannot be explained.
    pub fn explainer(&self) -> Result<Explainer, String> {
        Explainer::new(&self.model)
    }
}
