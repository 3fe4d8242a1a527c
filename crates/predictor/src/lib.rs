//! A model with the preprocessor that it was trained with: raw rows in; predictions, intervals and contributions out.
//!
//! Whoever predicts (a file, a test row, a request) does it here, so that what is measured is what is served.

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
pub use row::{Prediction, Workbench};

/// The model's file, in a bundle and elsewhere.
pub const MODEL_FILE: &str = "model.bin";
/// The preprocessor's file.
pub const PREPROCESSOR_FILE: &str = "preprocessor.bin";

/// The file that says what training rows looked like.
pub const REFERENCE_FILE: &str = "reference.json";

/// A checked model and a checked preprocessor that belong together.
#[derive(Clone, Debug)]
pub struct Predictor {
    model: Model,
    preprocessor: Preprocessor,
    /// Places of the model's features among the preprocessor's.
    selected: Vec<usize>,
    /// The raw columns that the model goes by.
    explained: Vec<String>,
    /// Per feature of the model the places of the columns that it is made of among `explained`.
    made_of: Vec<Vec<usize>>,
}

impl Predictor {
    /// Takes the two together. Whether they were trained together is for whoever has the files to say.
    ///
    /// # Errors
    /// Names a feature that the preprocessor does not make.
    pub fn new(model: Model, preprocessor: Preprocessor) -> Result<Self, PredictorError> {
        let made = preprocessor.feature_names();
        let place = |feature: &String| {
            let place = made.iter().position(|name| name == feature);
            place.ok_or_else(|| PredictorError::NoFeature { feature: feature.clone() })
        };
        let selected = model.file().features.iter().map(place).collect::<Result<Vec<usize>, _>>()?;
        let used: Vec<Vec<&str>> = model.file().features.iter().map(|feature| preprocessor.raw_columns(feature)).collect();
        let columns = preprocessor.columns().map(|column| column.name.clone());
        let explained: Vec<String> = columns.filter(|name| used.iter().flatten().any(|used| used == name)).collect();
        let place = |name: &&str| explained.iter().position(|explained| explained == name);
        let made_of = used.iter().map(|names| names.iter().filter_map(place).collect()).collect();
        Ok(Self { model, preprocessor, selected, explained, made_of })
    }

    /// Opens the two files and makes sure that they belong together. Their names are for messages.
    ///
    /// # Errors
    /// If one is damaged, does not hold together, or is not the other's.
    pub fn of_bytes(
        (model_name, model): (&Path, &[u8]),
        (preprocessor_name, preprocessor): (&Path, &[u8]),
    ) -> Result<Self, PredictorError> {
        let file: ModelFile = read_envelope_bytes_or_older::<_, ModelFileV1>(model, model_name, MODEL.into())?;
        let unsound = |path: &Path, reason: String| PredictorError::Unsound { path: path.to_owned(), reason };
        let checked = Model::from_file(file).map_err(|fault| unsound(model_name, fault.to_string()))?;
        let file: PreprocessorFile = read_envelope_bytes(preprocessor, preprocessor_name, PREPROCESSOR.into())?;
        let found = Digest::of_bytes(preprocessor);
        if found.hex() != checked.file().preprocessor {
            let short = |hex: &str| hex.get(..12).unwrap_or(hex).to_owned();
            return Err(PredictorError::Stranger {
                preprocessor: preprocessor_name.to_owned(),
                model: model_name.to_owned(),
                found: short(found.hex()),
                named: short(&checked.file().preprocessor),
            });
        }
        let preprocessor = Preprocessor::from_file(file).map_err(|fault| unsound(preprocessor_name, fault.to_string()))?;
        Self::new(checked, preprocessor)
    }

    /// Reads the two files and makes sure that they belong together.
    ///
    /// # Errors
    /// If one is absent, and as [`of_bytes`](Self::of_bytes).
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
        Self::of_bytes((model, &model_bytes), (preprocessor, &preprocessor_bytes))
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
    /// With the first row that has a level unknown to schema and training, where that is refused.
    pub fn features(&self, table: &Table) -> Result<Matrix, RowError> {
        let mut made = self.preprocessor.transform(table)?;
        Ok(Matrix::new(self.selected.iter().map(|place| std::mem::take(&mut made[*place])).collect()))
    }

    /// The predictions for every row of a raw table, in the target's unit.
    ///
    /// # Errors
    /// As [`features`](Self::features).
    pub fn predict(&self, table: &Table) -> Result<Vec<f64>, RowError> {
        Ok(self.model.predict(&self.features(table)?))
    }

    /// The raw columns that the model goes by, in the order of the schema.
    pub fn explained(&self) -> &[String] {
        &self.explained
    }

    /// The parts of features as parts of [`explained`](Self::explained): one made of two columns is shared evenly.
    #[must_use]
    pub fn of_columns(&self, parts: &Contributions) -> Contributions {
        parts.grouped(self.explained.len(), &self.made_of)
    }

    /// What takes predictions of this model apart.
    ///
    /// # Errors
    /// Says what the model does not know.
    pub fn explainer(&self) -> Result<Explainer, String> {
        Explainer::new(&self.model)
    }
}
