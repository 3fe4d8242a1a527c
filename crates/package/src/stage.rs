//! The stage as a whole: lineage, gates, bundle, replay.

use std::path::{Path, PathBuf};

use anyhow::Context;
use artifact::{
    ArtifactError, Digest, FileEntry, Gate, MANIFEST_VERSION, Manifest, Mark, OutputKind, RunRecord, TemporaryFolder,
    clear_abandoned_bundles, clear_temporary_folders, lock_to_read, read_bundle, write_atomically, write_bundle_archive,
    write_bundle_folder,
};
use cli::{Clock, Outcome, Progress};
use evaluation::Comparison;
use serde::Serialize;

use crate::{
    bundle::{
        assemble::{Loaded, Packed, assemble, load},
        lineage::{Lineage, walk},
    },
    card::model_card::{self, Facts},
    config::Config,
    gates::{Judgement, champion::Champion, judge},
    replay::{Replay, replay},
};

const STAGE: &str = "package";
const VERSION: &str = env!("CARGO_PKG_VERSION");
const ARCHIVE: OutputKind = OutputKind { name: "the archive of a bundle", mark: Mark::Bytes(&[0x1f, 0x8b]) };
const CARD: OutputKind = OutputKind { name: "the card of a model", mark: Mark::Text("# ", "\n\nPredicts ") };

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

/// What is written below `--output`.
struct OutputPaths {
    folder: PathBuf,
    archive: PathBuf,
    card_page: PathBuf,
    card_text: PathBuf,
}

impl OutputPaths {
    /// Those of the bundle called `name`.
    fn of(config: &Config, name: &str) -> Self {
        let at = |suffix: &str| config.output.join(format!("{name}{suffix}"));
        Self { folder: at(""), archive: at(".tar.gz"), card_page: at(".card.html"), card_text: at(".card.md") }
    }

    /// That none of them is a file that is read; a folder that is there with the same content is not written.
    fn check(&self, config: &Config, is_folder_there: bool) -> Result<(), ArtifactError> {
        let mut paths = config.paths.clone();
        if !is_folder_there {
            paths = paths.output_folder("the bundle in --output", &self.folder);
        }
        paths
            .stage_output("the archive in --output", &self.archive, ARCHIVE)
            .stage_output("the card in --output", &self.card_page, OutputKind::PAGE)
            .stage_output("the card in --output", &self.card_text, CARD)
            .check()
    }
}

/// Runs the stage.
///
/// # Errors
/// If the lineage is broken, a file cannot be read or written, or ([`cli::Refused`]) the server does not serve what was measured; a model that
/// misses a gate is an outcome, refused.
pub fn run(config: &Config, progress: &Progress) -> anyhow::Result<Outcome> {
    let clock = Clock::start();
    clear_abandoned_bundles(&config.output);
    clear_temporary_folders();
    // a file that is being written would be taken for one that was changed
    let _locks = lock_to_read(&config.trained.join("model.bin"), &|folder| progress.waiting(folder));
    let lineage = walk(config)?;
    progress.detail(format!(
        "lineage unbroken: {}",
        lineage.links.iter().map(|link| link.stage.as_str()).collect::<Vec<_>>().join(" ← ")
    ));
    let metrics_path = config.trained.join("metrics.json");
    let record = RunRecord::parse(&cli::read_text(&metrics_path, "--models-dir")?)
        .map_err(|reason| anyhow::anyhow!("{}: {reason}", metrics_path.display()))?;
    let Loaded { files, predictor, reference } = load(config, &lineage)?;
    let champion = Champion::open(config)?;
    let judgement = judge(config, &lineage, &record, &predictor, &champion, progress)?;
    let mut summary = Summary {
        stage: STAGE,
        status: "refused",
        bundle: None,
        archive: None,
        card: None,
        content_id: None,
        gates: &judgement.gates,
        comparison: judgement.comparison.as_ref(),
        replay: None,
        warnings: &record.warnings,
    };
    let missed = judgement.refusals();
    if !missed.is_empty() {
        let human =
            format!("package   refused: {} of {} gates missed{}", missed.len(), judgement.gates.len(), judgement.lines());
        let hint = "Nothing was packaged; --allow GATE --reason TEXT lets a gate be missed";
        return Ok(Outcome::done(&summary, human).refused(format!("{}. {hint}", missed.join("; "))));
    }

    let facts = Facts {
        predictor: &predictor,
        record: &record,
        reference: &reference,
        lineage: &lineage.links,
        gates: &judgement.gates,
        split: split(config),
    };
    let packed = assemble(config, &lineage, files, &facts)?;
    let name = packed.manifest.folder();
    let outputs = OutputPaths::of(config, &name);
    let OutputPaths { folder, archive, card_page, card_text } = &outputs;
    summary.bundle = Some(folder);
    summary.archive = Some(archive);
    summary.card = Some(card_page);
    summary.content_id = Some(&packed.manifest.content_id);
    let inputs = input_files(config, &lineage, metrics_path)?;
    let settings = Digest::of_json(&config.pipeline.package);
    let there = folder.exists() && read_bundle(folder).is_ok_and(|found| found == packed.files);
    let replayed = Manifest::read_beside(archive).unwrap_or(None).is_some_and(|manifest| {
        manifest.is_current(STAGE, VERSION, &settings, &inputs, &[archive.clone(), card_page.clone(), card_text.clone()])
    });
    if there && replayed && !config.force {
        summary.status = "unchanged";
        return Ok(Outcome::done(&summary, told("unchanged", folder, &judgement, &record)));
    }

    outputs.check(config, there)?;
    let found = rehearse(config, &lineage, &record, &packed, progress)?;
    if !there {
        write_bundle_folder(folder, &packed.files)?;
    }
    let card = model_card::as_served(&facts, &found, &cli::machine());
    let written = vec![
        write_bundle_archive(archive, &name, &packed.files)?,
        write_atomically(card_page, card.page().as_bytes())?,
        write_atomically(card_text, card.markdown().as_bytes())?,
    ];
    Manifest {
        format_version: MANIFEST_VERSION,
        stage: STAGE.into(),
        version: VERSION.into(),
        commit: cli::commit(),
        schema: packed.manifest.schema.clone(),
        settings,
        configs: vec![FileEntry::from_file(&config.pipeline_path)?],
        inputs,
        outputs: written,
        rows: lineage.train.rows.clone(),
        started_at_ms: clock.started_at_ms,
        duration_ms: clock.elapsed_ms(),
    }
    .write_beside_outputs()?;
    summary.status = "done";
    summary.replay = Some(&found);
    Ok(Outcome::done(&summary, told("done", folder, &judgement, &record)))
}

fn told(status: &str, folder: &Path, judgement: &Judgement, record: &RunRecord) -> String {
    let rows = record.rows(schema::TEST);
    format!(
        "package   {status}: lineage unbroken back to the raw table, {rows} test rows served as they were measured{}\n          → {}/, \
         .tar.gz and .card.html",
        judgement.lines(),
        folder.display()
    )
}

/// The files that a bundle is made of and the server that is asked, as they are now.
fn input_files(config: &Config, lineage: &Lineage, metrics: PathBuf) -> anyhow::Result<Vec<FileEntry>> {
    let files = [
        config.trained.join("model.bin"),
        metrics,
        lineage.preprocessor.clone(),
        lineage.model_config.clone(),
        lineage.predictions.clone(),
        lineage.cleaned.clone(),
        config.serve.clone(),
    ];
    Ok(files.iter().map(|path| FileEntry::from_file(path)).collect::<Result<_, _>>()?)
}

/// Serves the bundle from a folder that is gone afterwards: nothing is written where bundles are kept before it was seen to be served.
fn rehearse(
    config: &Config,
    lineage: &Lineage,
    record: &RunRecord,
    packed: &Packed,
    progress: &Progress,
) -> anyhow::Result<Replay> {
    let stage = TemporaryFolder::new().context("replay")?;
    let bundle = stage.path().join(packed.manifest.folder());
    write_bundle_folder(&bundle, &packed.files)?;
    replay(&config.serve, &bundle, lineage, record, progress)
}

fn split(config: &Config) -> Vec<(String, String)> {
    let split = &config.pipeline.process.split;
    let mut found = vec![("test".to_owned(), split.test.to_string()), ("seed".to_owned(), split.seed.to_string())];
    found.extend(split.key.iter().map(|key| ("key".to_owned(), key.clone())));
    found
}
