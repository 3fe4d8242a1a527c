//! The stage as a whole: up to date? else learn, transform, commit.

use std::{collections::BTreeMap, path::Path};

use anyhow::ensure;
use artifact::{
    AtomicFile, MANIFEST_VERSION, Manifest, check_input, lock_to_read, lock_to_write, write_atomically, write_envelope,
};
use cli::{Clock, Outcome, Progress, Refused};
use drift::{Profiler, Reference};
use features::{Fitter, PREPROCESSOR, Preprocessor, RowError};
use frame::{Block, Cleaned, TableWriter, open_cleaned};
use polars::prelude::*;
use schema::{SPLIT_COLUMN, SettingError, TEST, TRAIN};
use serde::Serialize;

use crate::config::Config;

const STAGE: &str = "engineer";
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize)]
struct Summary<'a> {
    stage: &'static str,
    status: &'static str,
    output: &'a Path,
    preprocessor: &'a Path,
    rows: &'a BTreeMap<String, u64>,
}

/// Runs the stage.
///
/// # Errors
/// If the input is not what `process` wrote, a feature cannot be learned, nothing can be written, or ([`Refused`]) a row has a level
/// that is refused.
pub fn run(config: &Config, progress: &Progress) -> anyhow::Result<Outcome> {
    let clock = Clock::start();
    let waiting = |folder: &Path| progress.waiting(folder);
    let reading = lock_to_read(&config.input, &waiting);
    let (process, input) = check_input(&config.input, "process")?;
    ensure!(
        process.schema == config.schema.fingerprint(),
        "{}: was written for another table: the `table` section of {} has changed since. Run `process` again",
        config.input.display(),
        config.source.0.display()
    );
    if !config.force
        && let Some(mut manifest) = Manifest::read_beside(&config.output).unwrap_or(None)
    {
        let outputs = [config.output.clone(), config.preprocessor.clone(), config.reference.clone()];
        if manifest.is_current(STAGE, VERSION, &config.settings, std::slice::from_ref(&input), &outputs) {
            manifest.refresh_configs(std::slice::from_ref(&config.config_file))?;
            return Ok(summarise(config, "unchanged", &manifest.rows));
        }
    }

    let (preprocessor, reference) = learn(config, progress)?;
    progress.detail(format!("{} features learned after {} ms", preprocessor.feature_names().len(), clock.elapsed_ms()));
    let (file, rows) = transform(config, &preprocessor, progress)?;
    // a program that holds a folder waits for no other
    drop(reading);
    let folders = [&config.output, &config.preprocessor].map(|path| path.parent().unwrap_or(Path::new("")));
    let _locks = lock_to_write(&folders, &waiting)?;
    let preprocessor_file = write_envelope(&config.preprocessor, PREPROCESSOR.into(), preprocessor.file())?;
    let reference_file = write_atomically(&config.reference, reference.render().as_bytes())?;
    let manifest = Manifest {
        format_version: MANIFEST_VERSION,
        stage: STAGE.into(),
        version: VERSION.into(),
        commit: cli::commit(),
        schema: config.schema.fingerprint(),
        settings: config.settings.clone(),
        configs: vec![config.config_file.clone()],
        inputs: vec![input],
        outputs: vec![file.commit()?, preprocessor_file, reference_file],
        rows,
        started_at_ms: clock.started_at_ms,
        duration_ms: clock.elapsed_ms(),
    };
    manifest.write_beside_outputs()?;
    Ok(summarise(config, "done", &manifest.rows))
}

/// The preprocessor, and what the training rows look like.
fn learn(config: &Config, progress: &Progress) -> anyhow::Result<(Preprocessor, Reference)> {
    let mut source = open_cleaned(&config.input, &config.schema)?;
    let bar = progress.bar("learning", source.expected_blocks());
    let mut fitter = Fitter::new(&config.plan);
    let mut profiler = Profiler::new(config.plan.columns());
    let work = |block: &Block| {
        let cleaned = block.cleaned(&config.schema)?;
        let mut fitter = Fitter::new(&config.plan);
        fitter.update(&cleaned.table, &cleaned.train);
        let mut profiler = Profiler::new(config.plan.columns());
        profiler.update(&cleaned.table, &cleaned.train);
        Ok::<_, anyhow::Error>((fitter, profiler))
    };
    source.for_each_block(work, |learned| {
        for (learned, profiled) in &learned {
            fitter.merge(learned);
            profiler.merge(profiled);
        }
        bar.advance(learned.len() as u64);
        Ok(())
    })?;
    ensure!(fitter.rows() > 0, "{}: has no training row to learn from (split = {TRAIN})", config.input.display());
    let (path, text) = &config.source;
    let preprocessor =
        fitter.finish().map_err(|error: SettingError| anyhow::anyhow!("{}:{}", path.display(), error.locate(text)))?;
    Ok((preprocessor, profiler.finish()))
}

fn transform(
    config: &Config,
    preprocessor: &Preprocessor,
    progress: &Progress,
) -> anyhow::Result<(AtomicFile, BTreeMap<String, u64>)> {
    let mut source = open_cleaned(&config.input, &config.schema)?;
    let bar = progress.bar("transforming", source.expected_blocks());
    let mut file = AtomicFile::create(&config.output)?;
    let mut writer = TableWriter::new(&config.output, &mut file)?;
    let (mut train, mut test) = (0, 0);
    let work = |block: &Block| {
        let cleaned = block.cleaned(&config.schema)?;
        let features = preprocessor.transform(&cleaned.table).map_err(|error| refused(config, block, &error))?;
        let count = cleaned.train.iter().filter(|train| **train).count() as u64;
        Ok::<_, anyhow::Error>((to_frame(config, preprocessor, features, &cleaned)?, count))
    };
    source.for_each_block(work, |done| {
        let (frames, counts): (Vec<DataFrame>, Vec<u64>) = done.into_iter().unzip();
        train += counts.iter().sum::<u64>();
        test += frames.iter().map(|frame| frame.height() as u64).sum::<u64>() - counts.iter().sum::<u64>();
        bar.advance(frames.len() as u64);
        Ok(writer.write(&frames)?)
    })?;
    writer.finish()?;
    let features = preprocessor.feature_names().len() as u64;
    let rows = [("in", train + test), ("out", train + test), ("train", train), ("test", test), ("features", features)];
    Ok((file, rows.map(|(name, count)| (name.to_owned(), count)).into()))
}

fn refused(config: &Config, block: &Block, error: &RowError) -> Refused {
    Refused(format!(
        "{}:{}: {error}. List its levels in table.columns.{}, or set engineer.unknown_category: other",
        config.input.display(),
        block.line(error.row),
        error.column
    ))
}

fn to_frame(
    config: &Config,
    preprocessor: &Preprocessor,
    features: Vec<Vec<f64>>,
    cleaned: &Cleaned,
) -> PolarsResult<DataFrame> {
    let rows = cleaned.train.len();
    let mut columns: Vec<Column> = Vec::with_capacity(features.len() + 2);
    for (name, values) in preprocessor.feature_names().iter().zip(features) {
        let name: PlSmallStr = name.as_str().into();
        columns.push(if preprocessor.is_indicator(&name) {
            Column::new(name, values.iter().map(|value| *value as i32).collect::<Vec<i32>>())
        } else {
            // what stays missing is an empty cell
            let cell = |value: f64| (!value.is_nan()).then_some(value);
            Column::new(name, values.into_iter().map(cell).collect::<Vec<Option<f64>>>())
        });
    }
    columns.push(Column::new(config.schema.target().name.as_str().into(), cleaned.target.as_slice()));
    let sides = cleaned.train.iter().map(|train| Some(if *train { TRAIN } else { TEST }));
    columns.push(StringChunked::from_iter_options(SPLIT_COLUMN.into(), sides).into_column());
    DataFrame::new(rows, columns)
}

fn summarise(config: &Config, status: &'static str, rows: &BTreeMap<String, u64>) -> Outcome {
    let data = Summary { stage: STAGE, status, output: &config.output, preprocessor: &config.preprocessor, rows };
    let of = |name: &str| rows.get(name).copied().unwrap_or(0);
    let human = format!(
        "engineer  {status}: {} features of {} rows, learned from the {} training rows\n          → {} and {}",
        of("features"),
        of("out"),
        of("train"),
        config.output.display(),
        config.preprocessor.display()
    );
    Outcome::done(&data, human)
}
