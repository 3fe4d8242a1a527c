//! Assembles a bundle from the outputs of `train` and `engineer`.

use artifact::{BUNDLE_MANIFEST, BundleFiles, BundleManifest};
use serde_json::json;

use crate::{
    bundle::{lineage::Lineage, trained_model::read_bundle_file},
    card::model_card::{self, CardInputs},
    config::Config,
};

/// The files and the manifest of a bundle that is not written yet.
pub(crate) struct BundleDraft {
    pub(crate) files: BundleFiles,
    pub(crate) manifest: BundleManifest,
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
    files.insert("model_config.yaml".into(), read_bundle_file(&lineage.model_config, "model_config.yaml")?);
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
