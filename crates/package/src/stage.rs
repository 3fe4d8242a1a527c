//! The stage: verifies the lineage, checks the gates, replays the test rows, and writes the bundle.

use std::path::Path;

use anyhow::Context;
use artifact::{
    Digest, FileEntry, Gate, MANIFEST_VERSION, Manifest, RunRecord, TemporaryFolder, clear_abandoned_bundles,
    clear_temporary_folders, lock_to_read, write_bundle_folder,
};
use cli::{Clock, Outcome, Progress};
use evaluation::Comparison;
use serde::Serialize;

use crate::{
    bundle::{
        assemble::{BundleDraft, assemble},
        lineage::{Lineage, verify_lineage},
        trained_model::TrainedModel,
    },
    card::model_card::{self, CardInputs},
    config::Config,
    gates::{GateReport, champion::Champion, evaluate_gates},
    outputs::{OutputPaths, STAGE, STAGE_VERSION},
    replay::{Replay, replay},
};

#[derive(Serialize)]
struct Summary<'a> {
    stage: &'static str,
    status: &'static str,
    bundle: Option<&'a Path>,
    archive: Option<&'a Path>,
    card: Option<&'a Path>,
    content_id: Option<&'a str>,
    gates: &'a [Gate],
    comparison: Option<&'a Comparison>,
    replay: Option<&'a Replay>,
    warnings: &'a [String],
}

impl<'a> Summary<'a> {
    /// The summary of a model that was not packaged.
    fn new(report: &'a GateReport, record: &'a RunRecord) -> Self {
        Self {
            stage: STAGE,
            status: "refused",
            bundle: None,
            archive: None,
            card: None,
            content_id: None,
            gates: &report.gates,
            comparison: report.comparison.as_ref(),
            replay: None,
            warnings: &record.warnings,
        }
    }
}

/// Runs the stage.
///
/// # Errors
/// If the lineage is broken, a file cannot be read or written, or ([`cli::Refused`]) the server does not serve the evaluated predictions. A
/// failed gate is an outcome, with exit code 1.
pub fn run(config: &Config, progress: &Progress) -> anyhow::Result<Outcome> {
    let clock = Clock::start();
    clear_abandoned_bundles(&config.output);
    clear_temporary_folders();
    // a file that is being written would look like a changed one
    let _locks = lock_to_read(&config.trained.join("model.bin"), &|folder| progress.waiting(folder));
    let lineage = verify_lineage(config)?;
    progress.detail(format!("lineage verified: {}", lineage.stages().join(" ← ")));
    let trained = TrainedModel::read(config, &lineage)?;
    let champion = Champion::load(config)?;
    let report = evaluate_gates(config, &lineage, &trained, &champion, progress)?;
    let mut summary = Summary::new(&report, &trained.record);
    let failures = report.failures();
    if !failures.is_empty() {
        return Ok(rejection(&summary, &report, &failures));
    }

    let card_inputs = card_inputs(config, &lineage, &trained, &report);
    let draft = assemble(config, &lineage, trained.files.clone(), &card_inputs)?;
    let outputs = OutputPaths::new(config, &draft.manifest.folder());
    summary.bundle = Some(&outputs.folder);
    summary.archive = Some(&outputs.archive);
    summary.card = Some(&outputs.card_page);
    summary.content_id = Some(&draft.manifest.content_id);
    let (settings, inputs) = (Digest::of_json(&config.pipeline.package), input_files(config, &lineage)?);
    let has_folder = outputs.has_folder(&draft);
    if has_folder && outputs.are_current(&settings, &inputs) && !config.force {
        summary.status = "unchanged";
        return Ok(Outcome::done(&summary, summary_text("unchanged", &outputs.folder, &report, &trained.record)));
    }

    outputs.validate(config, has_folder)?;
    let replay = replay_in_temporary_folder(config, &lineage, &trained.record, &draft, progress)?;
    let card = model_card::render_served_card(&card_inputs, &replay, &cli::machine());
    let files = outputs.write(&draft, has_folder, &card)?;
    Manifest {
        format_version: MANIFEST_VERSION,
        stage: STAGE.into(),
        version: STAGE_VERSION.into(),
        commit: cli::commit(),
        schema: draft.manifest.schema.clone(),
        settings,
        configs: vec![FileEntry::from_file(&config.pipeline_path)?],
        inputs,
        outputs: files,
        rows: lineage.train.rows.clone(),
        started_at_ms: clock.started_at_ms,
        duration_ms: clock.elapsed_ms(),
    }
    .write_beside_outputs()?;
    summary.status = "done";
    summary.replay = Some(&replay);
    Ok(Outcome::done(&summary, summary_text("done", &outputs.folder, &report, &trained.record)))
}

/// The outcome of a model with failed gates.
fn rejection(summary: &Summary, report: &GateReport, failures: &[String]) -> Outcome {
    let human = format!("package   rejected: {} of {} gates failed{}", failures.len(), report.gates.len(), report.lines());
    let hint = "Nothing was packaged. Use --allow GATE --reason TEXT to accept a failed gate";
    Outcome::done(summary, human).refused(format!("{}. {hint}", failures.join("; ")))
}

fn summary_text(status: &str, folder: &Path, report: &GateReport, record: &RunRecord) -> String {
    let rows = record.rows(schema::TEST);
    format!(
        "package   {status}: lineage verified back to the raw table, {rows} test rows served with the evaluated predictions{}\n          \
         → {}/, .tar.gz and .card.html",
        report.lines(),
        folder.display()
    )
}

fn card_inputs<'a>(
    config: &Config,
    lineage: &'a Lineage,
    trained: &'a TrainedModel,
    report: &'a GateReport,
) -> CardInputs<'a> {
    let split = &config.pipeline.process.split;
    let mut settings = vec![("test".to_owned(), split.test.to_string()), ("seed".to_owned(), split.seed.to_string())];
    settings.extend(split.key.iter().map(|key| ("key".to_owned(), key.clone())));
    CardInputs {
        predictor: &trained.predictor,
        record: &trained.record,
        reference: &trained.reference,
        lineage: &lineage.steps,
        gates: &report.gates,
        split: settings,
    }
}

/// The files of the bundle and the server program, as they are now.
fn input_files(config: &Config, lineage: &Lineage) -> anyhow::Result<Vec<FileEntry>> {
    let files = [
        config.trained.join("model.bin"),
        config.metrics_path(),
        lineage.preprocessor.clone(),
        lineage.model_config.clone(),
        lineage.predictions.clone(),
        lineage.cleaned.clone(),
        config.serve.clone(),
    ];
    Ok(files.iter().map(|path| FileEntry::from_file(path)).collect::<Result<_, _>>()?)
}

/// Replays the bundle from a temporary folder, so that nothing is written to `--output` before.
fn replay_in_temporary_folder(
    config: &Config,
    lineage: &Lineage,
    record: &RunRecord,
    draft: &BundleDraft,
    progress: &Progress,
) -> anyhow::Result<Replay> {
    let temporary = TemporaryFolder::new().context("replay")?;
    let bundle = temporary.path().join(draft.manifest.folder());
    write_bundle_folder(&bundle, &draft.files)?;
    replay(&config.serve, &bundle, lineage, record, progress)
}
