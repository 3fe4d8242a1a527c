//! Run of the stage: check for unchanged inputs, fit, transform, commit.

use std::{collections::BTreeMap, path::Path};

use anyhow::ensure;
use artifact::{
    AtomicFile, MANIFEST_VERSION, Manifest, check_input, lock_to_read, lock_to_write, write_atomically, write_envelope,
};
use cli::{Clock, Outcome, Progress, Refused};
use drift::{Profiler, Reference};
use features::{Fitter, PREPROCESSOR, Preprocessor, RowError};
use polars::prelude::*;
use schema::{SPLIT_COLUMN, SettingError, TEST, TRAIN};
use serde::Serialize;
use table_io::{Block, CleanedBlock, TableWriter, open_cleaned};

use crate::config::Config;

/// Name of the stage.
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
/// If the input is not a file of `process`, a feature cannot be fitted, an output cannot be written, or ([`Refused`]) a row has a level
/// that is rejected.
pub fn run(config: &Config, progress: &Progress) -> anyhow::Result<Outcome> {
    let clock = Clock::start();
    let waiting = |folder: &Path| progress.waiting(folder);
    let reading = lock_to_read(&config.input, &waiting);
    let (process, input) = check_input(&config.input, "process")?;
    ensure!(
        process.schema == config.schema.fingerprint(),
        "{}: was written for another schema, because the `table` section of {} has changed. Run `process` again",
        config.input.display(),
        config.source.0.display()
    );
    if !config.force
        && let Some(mut manifest) = Manifest::read_beside(&config.output).unwrap_or(None)
    {
        let outputs = [config.output.clone(), config.preprocessor.clone(), config.reference.clone()];
        if manifest.is_current(STAGE, VERSION, &config.settings, std::slice::from_ref(&input), &outputs) {
            manifest.refresh_configs(std::slice::from_ref(&config.config_file))?;
            return Ok(summary_outcome(config, "unchanged", &manifest.rows));
        }
    }

    let (preprocessor, reference) = fit(config, progress)?;
    progress.detail(format!("{} features fitted after {} ms", preprocessor.feature_names().len(), clock.elapsed_ms()));
    let (file, rows) = transform(config, &preprocessor, progress)?;
    // a program takes all its locks at once
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
    Ok(summary_outcome(config, "done", &manifest.rows))
}

/// Fits the preprocessor and the drift reference.
fn fit(config: &Config, progress: &Progress) -> anyhow::Result<(Preprocessor, Reference)> {
    let mut source = open_cleaned(&config.input, &config.schema)?;
    let bar = progress.bar("fitting", source.expected_blocks());
    let mut fitter = Fitter::new(&config.plan);
    let mut profiler = Profiler::new(config.plan.columns());
    let work = |block: &Block| {
        let block_rows = block.cleaned(&config.schema)?;
        let mut fitter = Fitter::new(&config.plan);
        fitter.update(&block_rows.table, &block_rows.train);
        let mut profiler = Profiler::new(config.plan.columns());
        profiler.update(&block_rows.table, &block_rows.train);
        Ok::<_, anyhow::Error>((fitter, profiler))
    };
    source.for_each_block(work, |fitted| {
        for (fitted, other_profile) in &fitted {
            fitter.merge(fitted);
            profiler.merge(other_profile);
        }
        bar.advance(fitted.len() as u64);
        Ok(())
    })?;
    ensure!(fitter.rows() > 0, "{}: has no training rows (split = {TRAIN})", config.input.display());
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
        let block_rows = block.cleaned(&config.schema)?;
        let features =
            preprocessor.transform(&block_rows.table).map_err(|error| unknown_level_error(config, block, &error))?;
        let count = block_rows.train.iter().filter(|train| **train).count() as u64;
        Ok::<_, anyhow::Error>((to_data_frame(config, preprocessor, features, &block_rows)?, count))
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

fn unknown_level_error(config: &Config, block: &Block, error: &RowError) -> Refused {
    Refused(format!(
        "{}:{}: {error}. List its levels in table.columns.{}, or set engineer.unknown_category: other",
        config.input.display(),
        block.line(error.row),
        error.column
    ))
}

fn to_data_frame(
    config: &Config,
    preprocessor: &Preprocessor,
    features: Vec<Vec<f64>>,
    block_rows: &CleanedBlock,
) -> PolarsResult<DataFrame> {
    let rows = block_rows.train.len();
    let mut columns: Vec<Column> = Vec::with_capacity(features.len() + 2);
    for (name, values) in preprocessor.feature_names().iter().zip(features) {
        let name: PlSmallStr = name.as_str().into();
        columns.push(if preprocessor.is_indicator(&name) {
            Column::new(name, values.iter().map(|value| *value as i32).collect::<Vec<i32>>())
        } else {
            // a missing value is an empty cell
            let cell = |value: f64| (!value.is_nan()).then_some(value);
            Column::new(name, values.into_iter().map(cell).collect::<Vec<Option<f64>>>())
        });
    }
    columns.push(Column::new(config.schema.target().name.as_str().into(), block_rows.target.as_slice()));
    let splits = block_rows.train.iter().map(|train| Some(if *train { TRAIN } else { TEST }));
    columns.push(StringChunked::from_iter_options(SPLIT_COLUMN.into(), splits).into_column());
    DataFrame::new(rows, columns)
}

fn summary_outcome(config: &Config, status: &'static str, rows: &BTreeMap<String, u64>) -> Outcome {
    let data = Summary { stage: STAGE, status, output: &config.output, preprocessor: &config.preprocessor, rows };
    let of = |name: &str| rows.get(name).copied().unwrap_or(0);
    let human = format!(
        "engineer  {status}: {} features of {} rows, fitted on {} training rows\n          → {} and {}",
        of("features"),
        of("out"),
        of("train"),
        config.output.display(),
        config.preprocessor.display()
    );
    Outcome::done(&data, human)
}
