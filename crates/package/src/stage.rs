//! The stage as a whole: lineage, gates, bundle, replay.

use std::path::{Path, PathBuf};

use anyhow::Context;
use artifact::{
    ArtifactError, BUNDLE_MANIFEST, BundleFiles, BundleManifest, Digest, FileEntry, Gate, MANIFEST_VERSION, Manifest, Mark,
    OutputKind, RunRecord, TemporaryFolder, bundle_file_limit, clear_abandoned_bundles, clear_temporary_folders,
    lock_to_read, read_bounded, read_bundle, write_atomically, write_bundle_archive, write_bundle_folder,
};
use cli::{Clock, Outcome, Progress};
use drift::Reference;
use evaluation::Comparison;
use predictor::{MODEL_FILE, PREPROCESSOR_FILE, Predictor, REFERENCE_FILE, open_files};
use serde::Serialize;
use serde_json::json;

use crate::{
    bundle::lineage::{Lineage, walk},
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

/// The model and all that is packed with it.
struct Packed {
    files: BundleFiles,
    manifest: BundleManifest,
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
/// If the lineage is broken, a file cannot be read or written, or ([`cli::No`]) the server does not serve what was measured; a model that
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
        configs: vec![FileEntry::of(&config.pipeline_path)?],
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
    Ok(files.iter().map(|path| FileEntry::of(path)).collect::<Result<_, _>>()?)
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

/// What `train` and `engineer` left.
struct Loaded {
    files: BundleFiles,
    predictor: Predictor,
    reference: Reference,
}

fn load(config: &Config, lineage: &Lineage) -> anyhow::Result<Loaded> {
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
fn read(path: &Path, name: &str) -> anyhow::Result<Vec<u8>> {
    Ok(read_bounded(path, bundle_file_limit(name).unwrap_or(0))?)
}

fn assemble(config: &Config, lineage: &Lineage, mut files: BundleFiles, facts: &Facts) -> anyhow::Result<Packed> {
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
