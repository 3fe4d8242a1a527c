//! Assembles a bundle from what `train` and `engineer` wrote.

use std::path::Path;

use artifact::{BUNDLE_MANIFEST, BundleFiles, BundleManifest, bundle_file_limit, read_bounded};
use drift::Reference;
use predictor::{MODEL_FILE, PREPROCESSOR_FILE, Predictor, REFERENCE_FILE, open_files};
use serde_json::json;

use crate::{
    bundle::lineage::Lineage,
    card::model_card::{self, Facts},
    config::Config,
};

/// The model and all that is packed with it.
pub(crate) struct Packed {
    pub(crate) files: BundleFiles,
    pub(crate) manifest: BundleManifest,
}

/// What `train` and `engineer` left.
pub(crate) struct Loaded {
    pub(crate) files: BundleFiles,
    pub(crate) predictor: Predictor,
    pub(crate) reference: Reference,
}

pub(crate) fn load(config: &Config, lineage: &Lineage) -> anyhow::Result<Loaded> {
    let mut files = BundleFiles::new();
    let reference = config.trained.join(REFERENCE_FILE);
    for (name, path) in [
        (MODEL_FILE, &config.trained.join("model.bin")),
        (PREPROCESSOR_FILE, &lineage.preprocessor),
        (REFERENCE_FILE, &reference),
    ] {
        files.insert(name.into(), read(path, name)?);
    }
    let predictor =
        open_files(&files).map_err(|fault| anyhow::anyhow!("{}: {fault}. Run `train` again", config.trained.display()))?;
    let reference = Reference::parse(&files[REFERENCE_FILE])
        .map_err(|fault| anyhow::anyhow!("{} {fault}. Run `train` again", reference.display()))?;
    Ok(Loaded { files, predictor, reference })
}

/// What will be the file `name` of a bundle.
pub(crate) fn read(path: &Path, name: &str) -> anyhow::Result<Vec<u8>> {
    Ok(read_bounded(path, bundle_file_limit(name).unwrap_or(0))?)
}

pub(crate) fn assemble(config: &Config, lineage: &Lineage, mut files: BundleFiles, facts: &Facts) -> anyhow::Result<Packed> {
    // what differs between two runs of the same content (times, commit, folders) stays out
    let record = facts.record;
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
    let card = model_card::draw(facts);
    files.insert("MODEL_CARD.md".into(), card.markdown().into_bytes());
    files.insert("MODEL_CARD.html".into(), card.page().into_bytes());
    let name = &facts.predictor.model().file().name;
    let (links, gates) = (lineage.links.clone(), facts.gates.to_vec());
    let manifest = BundleManifest::new(name, &config.schema.fingerprint(), links, gates, &files);
    files.insert(BUNDLE_MANIFEST.into(), pretty(&serde_json::to_value(&manifest)?)?);
    Ok(Packed { files, manifest })
}
