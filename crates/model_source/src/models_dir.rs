//! Loads a model from a folder of models, in which `train` writes `trained/model.bin`; or from the folder of a bundle.

use std::path::{Path, PathBuf};

use artifact::{Manifest, RunPaths, bundle_file_limit, lock_to_read, read_bounded};
use drift::Reference;
use predictor::{LoadedParts, MODEL_FILE, ModelInfo, PREPROCESSOR_FILE, Predictor, PredictorError, REFERENCE_FILE};
use serde_json::Value;

use crate::DEFAULT_COVERAGE;

/// A folder with the files of a model.
#[derive(Clone, Debug)]
pub struct ModelsDir {
    /// The folder in which the files are.
    folder: PathBuf,
    /// Whether it is a bundle's: that has its files side by side.
    is_bundle: bool,
}

impl ModelsDir {
    /// The folder that a user names: one of models, or a bundle's.
    pub fn new(path: &Path) -> Self {
        let is_bundle = path.join(MODEL_FILE).exists();
        Self { folder: if is_bundle { path.to_owned() } else { path.join("trained") }, is_bundle }
    }

    /// The file of the model.
    pub fn model_path(&self) -> PathBuf {
        self.folder.join(MODEL_FILE)
    }

    /// Adds the files that are read, with those of their lineage. `flag` is that which named the folder.
    #[must_use]
    pub fn add_inputs(&self, paths: RunPaths, flag: &str) -> RunPaths {
        if self.is_bundle {
            return paths.input(flag, &self.folder);
        }
        paths.stage_input(flag, &self.model_path()).input(flag, &self.folder.join(REFERENCE_FILE))
    }

    /// Loads the model with its preprocessor, and its reference if it has one. `waiting` is called with a folder that another program writes.
    ///
    /// # Errors
    /// If a file is absent or invalid, or the two do not belong together.
    pub fn load(&self, waiting: &dyn Fn(&Path)) -> anyhow::Result<LoadedParts> {
        let model = self.model_path();
        // a bundle is replaced as a whole
        let _locks = (!self.is_bundle).then(|| lock_to_read(&model, waiting));
        let manifest = if self.is_bundle { None } else { Manifest::read_beside(&model)? };
        let recorded = manifest.and_then(|manifest| Some(manifest.inputs.get(1)?.path.clone()));
        let preprocessor = recorded.unwrap_or_else(|| self.folder.join(PREPROCESSOR_FILE));
        let predictor = Predictor::read(&model, &preprocessor).map_err(|error| match error {
            PredictorError::PreprocessorMismatch { .. } => anyhow::anyhow!("{error}. Run `train` again"),
            error => error.into(),
        })?;
        let info = ModelInfo {
            version: String::new(),
            source: self.folder.display().to_string(),
            fingerprint: String::new(),
            card: String::new(),
            metrics: Value::Null,
            lineage: Value::Null,
            coverage: DEFAULT_COVERAGE,
            is_older_bundle: false,
        };
        Ok(LoadedParts { predictor, reference: self.reference()?, info })
    }

    /// The distribution of the training rows. Folders of older programs have none.
    fn reference(&self) -> anyhow::Result<Option<Reference>> {
        let path = self.folder.join(REFERENCE_FILE);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = read_bounded(&path, bundle_file_limit(REFERENCE_FILE).unwrap_or(0))?;
        let reference = Reference::parse(&bytes);
        Ok(Some(reference.map_err(|reason| anyhow::anyhow!("{}: {reason}", path.display()))?))
    }
}
