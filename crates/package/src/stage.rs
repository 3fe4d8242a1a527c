//! The stage as a whole: lineage, gate, bundle.

use std::fs;

use anyhow::Context;
use artifact::{
    BUNDLE_MANIFEST, BundleFiles, BundleManifest, Digest, FileEntry, MANIFEST_VERSION, Manifest, RunRecord, read_bundle,
    write_bundle_archive, write_bundle_folder,
};
use cli::{Clock, Outcome, Progress};
use model::{Decision, decide};
use predictor::{MODEL_FILE, PREPROCESSOR_FILE, REFERENCE_FILE};
use serde::Serialize;
use serde_json::json;

use crate::{Config, card, lineage::walk, verify};

const STAGE: &str = "package";
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize)]
struct Summary<'a> {
    stage: &'static str,
    status: &'static str,
    bundle: Option<&'a std::path::Path>,
    archive: Option<&'a std::path::Path>,
    content_id: Option<&'a str>,
    gate: &'a [Decision],
}

/// Runs the stage.
///
/// # Errors
/// If the lineage is broken, a file cannot be read or written; a model that misses the gate is an outcome, refused.
pub fn run(config: &Config, progress: &Progress) -> anyhow::Result<Outcome> {
    let clock = Clock::start();
    let lineage = walk(config)?;
    progress.detail(format!(
        "lineage unbroken: {}",
        lineage.links.iter().map(|link| link.stage.as_str()).collect::<Vec<_>>().join(" ← ")
    ));
    let metrics_path = config.trained.join("metrics.json");
    let record = RunRecord::parse(&cli::read_text(&metrics_path, "--models-dir")?)
        .map_err(|reason| anyhow::anyhow!("{}: {reason}", metrics_path.display()))?;
    let decisions = decide(&config.pipeline.package.gate, &record.finals())
        .map_err(|message| anyhow::anyhow!("{}: {message}", config.pipeline_path.display()))?;
    let missed: Vec<String> = decisions.iter().filter(|decision| !decision.passed).map(Decision::refusal).collect();
    if !missed.is_empty() {
        let data =
            Summary { stage: STAGE, status: "refused", bundle: None, archive: None, content_id: None, gate: &decisions };
        let human = format!("package   refused: {} of {} bounds of the gate missed", missed.len(), decisions.len());
        return Ok(Outcome::done(&data, human).refused(format!("{}. Nothing was packaged", missed.join("; "))));
    }

    let (files, manifest) = assemble(config, &lineage, &record)?;
    let folder = config.output.join(manifest.folder());
    let archive = config.output.join(format!("{}.tar.gz", manifest.folder()));
    let there = folder.exists() && read_bundle(&folder).is_ok_and(|found| found == files);
    if !there {
        write_bundle_folder(&folder, &files)?;
    }
    let packed = write_bundle_archive(&archive, &manifest.folder(), &files)?;
    let inputs =
        [config.trained.join("model.bin"), metrics_path, lineage.preprocessor.clone(), lineage.model_config.clone()];
    Manifest {
        format_version: MANIFEST_VERSION,
        stage: STAGE.into(),
        version: VERSION.into(),
        commit: cli::commit(),
        schema: manifest.schema.clone(),
        settings: Digest::of_json(&config.pipeline.package),
        configs: vec![FileEntry::of(&config.pipeline_path)?],
        inputs: inputs.iter().map(|path| FileEntry::of(path)).collect::<Result<_, _>>()?,
        outputs: vec![packed],
        rows: lineage.train.rows.clone(),
        started_at_ms: clock.started_at_ms,
        duration_ms: clock.elapsed_ms(),
    }
    .write_beside_outputs()?;
    let status = if there { "unchanged" } else { "done" };
    let data = Summary {
        stage: STAGE,
        status,
        bundle: Some(&folder),
        archive: Some(&archive),
        content_id: Some(&manifest.content_id),
        gate: &decisions,
    };
    let gate = match decisions.len() {
        0 => "no gate is set".to_owned(),
        bounds => format!("all {bounds} bounds of the gate kept"),
    };
    let human = format!(
        "package   {status}: lineage unbroken back to the raw table, {gate}\n          → {}/ and .tar.gz",
        folder.display()
    );
    Ok(Outcome::done(&data, human))
}

fn assemble(
    config: &Config,
    lineage: &crate::lineage::Lineage,
    record: &RunRecord,
) -> anyhow::Result<(BundleFiles, BundleManifest)> {
    let read = |path: &std::path::Path| fs::read(path).with_context(|| format!("{}: cannot read it", path.display()));
    let mut files = BundleFiles::new();
    files.insert(MODEL_FILE.into(), read(&config.trained.join("model.bin"))?);
    files.insert(PREPROCESSOR_FILE.into(), read(&lineage.preprocessor)?);
    files.insert(REFERENCE_FILE.into(), read(&config.trained.join(REFERENCE_FILE))?);
    let predictor =
        verify::open(&files).map_err(|fault| anyhow::anyhow!("{}: {fault}. Run `train` again", config.trained.display()))?;

    // what differs between two runs of the same content (times, commit, folders) stays out
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
        "features": record.features,
        "datasets": datasets,
        "warnings": record.warnings,
    });
    let pretty =
        |value: &serde_json::Value| serde_json::to_string_pretty(value).map(|text| format!("{text}\n").into_bytes());
    files.insert("schema.json".into(), pretty(&serde_json::to_value(config.schema.section())?)?);
    files.insert("pipeline.yaml".into(), config.pipeline_text.clone().into_bytes());
    files.insert("model_config.yaml".into(), read(&lineage.model_config)?);
    files.insert("metrics.json".into(), pretty(&metrics)?);
    files.insert("MODEL_CARD.md".into(), card::render(&predictor, record, &lineage.links).into_bytes());
    let manifest =
        BundleManifest::new(&predictor.model().file().name, &config.schema.fingerprint(), lineage.links.clone(), &files);
    files.insert(BUNDLE_MANIFEST.into(), pretty(&serde_json::to_value(&manifest)?)?);
    Ok((files, manifest))
}
