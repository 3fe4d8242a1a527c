//! Verifies the lineage: follows the manifests from the model back to the raw table.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use artifact::{ArtifactError, Digest, FileEntry, LineageStep, Manifest, NamedDigest, check_input};

use schema::Schema;

use crate::config::Config;

/// A verified lineage, model first.
#[derive(Debug)]
pub(crate) struct Lineage {
    pub(crate) steps: Vec<LineageStep>,
    /// The manifest of `train`.
    pub(crate) train: Manifest,
    /// The preprocessor that `train` used.
    pub(crate) preprocessor: PathBuf,
    /// The model configuration that `train` used.
    pub(crate) model_config: PathBuf,
    /// The cleaned table with the test rows.
    pub(crate) cleaned: PathBuf,
    /// The predictions for the test rows.
    pub(crate) predictions: PathBuf,
    /// The schema of the raw table.
    pub(crate) schema: Schema,
}

impl Lineage {
    /// The names of the stages, the last one first.
    pub(crate) fn stages(&self) -> Vec<&str> {
        self.steps.iter().map(|step| step.stage.as_str()).collect()
    }
}

/// Verifies the lineage. Every file must be the one that the next stage read.
pub(crate) fn verify_lineage(config: &Config) -> anyhow::Result<Lineage> {
    let model = config.trained.join("model.bin");
    let (train, _) = check_input(&model, "train")?;
    for output in &train.outputs {
        check_input(&output.path, "train")?;
    }
    let [featured, preprocessor, others @ ..] = train.inputs.as_slice() else {
        bail!("{}: its manifest names no training data", model.display())
    };
    let engineer = check_stage_input(featured, "train", "engineer")?;
    for input in [preprocessor].into_iter().chain(others) {
        check_stage_input(input, "train", "engineer")?;
    }
    let cleaned = engineer.inputs.first().context("the manifest of `engineer` names no input")?;
    let process = check_stage_input(cleaned, "engineer", "process")?;
    let raw = process.inputs.first().context("the manifest of `process` names no input")?;
    check_unchanged(raw, "process")?;
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
    check_unchanged(model_config, "train")?;
    let steps = [&train, &engineer, &process].map(|manifest| LineageStep {
        stage: manifest.stage.clone(),
        version: manifest.version.clone(),
        inputs: manifest.inputs.iter().map(NamedDigest::from).collect(),
        // of the outputs of `train` only the model: the run record contains times
        outputs: manifest
            .outputs
            .iter()
            .filter(|entry| entry.path.file_name() != Some("metrics.json".as_ref()))
            .map(NamedDigest::from)
            .collect(),
        rows: manifest.rows.clone(),
    });
    Ok(Lineage {
        steps: steps.into(),
        preprocessor: preprocessor.path.clone(),
        model_config: model_config.path.clone(),
        cleaned: cleaned.path.clone(),
        predictions: config.trained.join("predictions.csv"),
        schema: config.schema.clone(),
        train: train.clone(),
    })
}

/// Checks that `file` is still as `writer` wrote it and `reader` read it; returns the writer's manifest.
fn check_stage_input(file: &FileEntry, reader: &str, writer: &'static str) -> anyhow::Result<Manifest> {
    let (manifest, now) = check_input(&file.path, writer)?;
    ensure_same_digest(file, &now, reader)?;
    Ok(manifest)
}

fn check_unchanged(file: &FileEntry, reader: &'static str) -> anyhow::Result<()> {
    if !file.path.exists() {
        let hint = format!("It is an input of `{reader}`: restore it, or run `{reader}` and the stages after it again");
        return Err(ArtifactError::Missing { path: file.path.clone(), hint }.into());
    }
    ensure_same_digest(file, &FileEntry::from_file(Path::new(&file.path))?, reader)
}

fn ensure_same_digest(read: &FileEntry, now: &FileEntry, reader: &str) -> anyhow::Result<()> {
    ensure!(
        read.digest == now.digest,
        "{}: is not the file that `{reader}` read (digest {}, it read {}). Run `{reader}` and the stages after it again",
        read.path.display(),
        now.digest,
        read.digest
    );
    Ok(())
}
