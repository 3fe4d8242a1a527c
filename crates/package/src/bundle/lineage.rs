//! Walks the manifests from the model back to the raw table.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use artifact::{ArtifactError, Digest, FileEntry, LineageStep, Manifest, NamedDigest, check_input};

use schema::Schema;

use crate::config::Config;

/// The unbroken chain, model first.
#[derive(Debug)]
pub(crate) struct Lineage {
    pub(crate) links: Vec<LineageStep>,
    /// The manifest of `train`.
    pub(crate) train: Manifest,
    /// The preprocessor that `train` used.
    pub(crate) preprocessor: PathBuf,
    /// The model configuration that `train` used.
    pub(crate) model_config: PathBuf,
    /// The cleaned table, whose test rows the model was measured on.
    pub(crate) cleaned: PathBuf,
    /// What was measured on them.
    pub(crate) predictions: PathBuf,
    /// The raw table's schema.
    pub(crate) schema: Schema,
}

/// Follows the chain; every file must be the one that the next stage read.
pub(crate) fn walk(config: &Config) -> anyhow::Result<Lineage> {
    let model = config.trained.join("model.bin");
    let (train, _) = check_input(&model, "train")?;
    for output in &train.outputs {
        check_input(&output.path, "train")?;
    }
    let [featured, preprocessor, others @ ..] = train.inputs.as_slice() else {
        bail!("{}: its manifest does not name what it was trained on", model.display())
    };
    let engineer = step(featured, "train", "engineer")?;
    for input in [preprocessor].into_iter().chain(others) {
        step(input, "train", "engineer")?;
    }
    let cleaned = engineer.inputs.first().context("the manifest of `engineer` names no input")?;
    let process = step(cleaned, "engineer", "process")?;
    let raw = process.inputs.first().context("the manifest of `process` names no input")?;
    same(raw, "process")?;
    let settings = [
        ("process", &process, Digest::of_json(&config.pipeline.process_settings())),
        ("engineer", &engineer, Digest::of_json(&config.pipeline.engineer_settings())),
    ];
    for (stage, manifest, now) in settings {
        ensure!(
            manifest.settings == now,
            "{}: the settings of `{stage}` (or the table) are not those it ran with. Run `{stage}` and the stages after it again",
            config.pipeline_path.display()
        );
    }
    let model_config = train.configs.first().context("the manifest of `train` names no configuration")?;
    same(model_config, "train")?;
    let links = [&train, &engineer, &process].map(|manifest| LineageStep {
        stage: manifest.stage.clone(),
        version: manifest.version.clone(),
        inputs: manifest.inputs.iter().map(NamedDigest::from).collect(),
        // of what `train` wrote the model alone: the record of the run has times in it
        outputs: manifest
            .outputs
            .iter()
            .filter(|entry| entry.path.file_name() != Some("metrics.json".as_ref()))
            .map(NamedDigest::from)
            .collect(),
        rows: manifest.rows.clone(),
    });
    Ok(Lineage {
        links: links.into(),
        preprocessor: preprocessor.path.clone(),
        model_config: model_config.path.clone(),
        cleaned: cleaned.path.clone(),
        predictions: config.trained.join("predictions.csv"),
        schema: config.schema.clone(),
        train: train.clone(),
    })
}

/// Checks that `file`, which `reader` read, is still what it read and what `writer` wrote; returns the writer's manifest.
fn step(file: &FileEntry, reader: &str, writer: &'static str) -> anyhow::Result<Manifest> {
    let (manifest, now) = check_input(&file.path, writer)?;
    differs(file, &now, reader)?;
    Ok(manifest)
}

fn same(file: &FileEntry, reader: &'static str) -> anyhow::Result<()> {
    if !file.path.exists() {
        let hint = format!("It is what `{reader}` read: put it back, or run `{reader}` and the stages after it again");
        return Err(ArtifactError::Missing { path: file.path.clone(), hint }.into());
    }
    differs(file, &FileEntry::from_file(Path::new(&file.path))?, reader)
}

fn differs(read: &FileEntry, now: &FileEntry, reader: &str) -> anyhow::Result<()> {
    ensure!(
        read.digest == now.digest,
        "{}: is not the file that `{reader}` read (digest {}, it read {}). Run `{reader}` and the stages after it again",
        read.path.display(),
        now.digest,
        read.digest
    );
    Ok(())
}
