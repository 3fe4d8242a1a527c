//! Assembles a bundle from the outputs of `train` and `engineer`.

use std::path::Path;

use artifact::{BUNDLE_MANIFEST, BundleFiles, BundleManifest, RunRecord, bundle_file_limit, read_bounded};
use drift::Reference;
use predictor::{MODEL_FILE, PREPROCESSOR_FILE, Predictor, REFERENCE_FILE, open_files};
use serde_json::json;

use crate::{
    bundle::lineage::Lineage,
    card::model_card::{self, CardInputs},
    config::Config,
};

/// The files and the manifest of a bundle that is not written yet.
pub(crate) struct BundleDraft {
    pub(crate) files: BundleFiles,
    pub(crate) manifest: BundleManifest,
}

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
            files.insert(name.into(), read(path, name)?);
        }
        let predictor = open_files(&files)
            .map_err(|reason| anyhow::anyhow!("{}: {reason}. Run `train` again", config.trained.display()))?;
        let reference = Reference::parse(&files[REFERENCE_FILE])
            .map_err(|reason| anyhow::anyhow!("{} {reason}. Run `train` again", reference.display()))?;
        Ok(Self { files, predictor, reference, record })
    }
}

/// Reads the file `name` of a bundle from `path`.
pub(crate) fn read(path: &Path, name: &str) -> anyhow::Result<Vec<u8>> {
    Ok(read_bounded(path, bundle_file_limit(name).unwrap_or(0))?)
}

/// Assembles a bundle of `files` and everything else that belongs into it.
///
/// # Errors
/// If the model configuration cannot be read.
pub(crate) fn assemble(
    config: &Config,
    lineage: &Lineage,
    mut files: BundleFiles,
    inputs: &CardInputs,
) -> anyhow::Result<BundleDraft> {
    // times, commit and folders stay out: they differ between two runs with the same content
    let record = inputs.record;
    let datasets: Vec<_> = record
        .datasets
        .iter()
        .map(|input| json!({"context": input.context, "rows": input.rows, "digest": input.source.digest, "schema": input.schema}))
        .collect();
    let metrics = json!({
        "name": record.name,
        "parameters": record.parameters,
        "metrics": record.metrics,
        "intervals": record.intervals,
        "importances": record.importances,
        "features": record.features,
        "datasets": datasets,
        "warnings": record.warnings,
    });
    let pretty =
        |value: &serde_json::Value| serde_json::to_string_pretty(value).map(|text| format!("{text}\n").into_bytes());
    files.insert("schema.json".into(), pretty(&serde_json::to_value(config.schema.section())?)?);
    files.insert("pipeline.yaml".into(), config.pipeline_text.clone().into_bytes());
    files.insert("model_config.yaml".into(), read(&lineage.model_config, "model_config.yaml")?);
    files.insert("metrics.json".into(), pretty(&metrics)?);
    let card = model_card::render_card(inputs);
    files.insert("MODEL_CARD.md".into(), card.markdown().into_bytes());
    files.insert("MODEL_CARD.html".into(), card.page().into_bytes());
    let name = &inputs.predictor.model().file().name;
    let (steps, gates) = (lineage.steps.clone(), inputs.gates.to_vec());
    let manifest = BundleManifest::new(name, &config.schema.fingerprint(), steps, gates, &files);
    files.insert(BUNDLE_MANIFEST.into(), pretty(&serde_json::to_value(&manifest)?)?);
    Ok(BundleDraft { files, manifest })
}
