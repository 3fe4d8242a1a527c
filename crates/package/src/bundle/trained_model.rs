//! The outputs of `train` and `engineer` that a bundle contains.

use std::path::Path;

use artifact::{BundleFiles, RunRecord, bundle_file_limit, read_bounded};
use drift::Reference;
use predictor::{MODEL_FILE, PREPROCESSOR_FILE, Predictor, REFERENCE_FILE, open_files};

use crate::{bundle::lineage::Lineage, config::Config};

/// The outputs of `train` and `engineer` that a bundle contains.
pub(crate) struct TrainedModel {
    pub(crate) files: BundleFiles,
    pub(crate) predictor: Predictor,
    pub(crate) reference: Reference,
    pub(crate) record: RunRecord,
}

impl TrainedModel {
    /// Reads the outputs.
    ///
    /// # Errors
    /// If a file cannot be read, is invalid, or does not belong to the others.
    pub(crate) fn read(config: &Config, lineage: &Lineage) -> anyhow::Result<Self> {
        let metrics = config.metrics_path();
        let record = RunRecord::parse(&cli::read_text(&metrics, "--models-dir")?)
            .map_err(|reason| anyhow::anyhow!("{}: {reason}", metrics.display()))?;
        let mut files = BundleFiles::new();
        let reference = config.trained.join(REFERENCE_FILE);
        for (name, path) in [
            (MODEL_FILE, &config.trained.join("model.bin")),
            (PREPROCESSOR_FILE, &lineage.preprocessor),
            (REFERENCE_FILE, &reference),
        ] {
            files.insert(name.into(), read_bundle_file(path, name)?);
        }
        let predictor = open_files(&files)
            .map_err(|reason| anyhow::anyhow!("{}: {reason}. Run `train` again", config.trained.display()))?;
        let reference = Reference::parse(&files[REFERENCE_FILE])
            .map_err(|reason| anyhow::anyhow!("{} {reason}. Run `train` again", reference.display()))?;
        Ok(Self { files, predictor, reference, record })
    }
}

/// Reads the file `name` of a bundle from `path`.
pub(crate) fn read_bundle_file(path: &Path, name: &str) -> anyhow::Result<Vec<u8>> {
    Ok(read_bounded(path, bundle_file_limit(name).unwrap_or(0))?)
}
