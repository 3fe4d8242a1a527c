//! `train predict`: applies a model to a raw table.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use artifact::{AtomicFile, OutputKind, RunPaths, lock_to_read};
use cli::{Outcome, Progress, Refused};
use frame::{Block, Format, Rejected, Source, TableWriter};
use model::{Contributions, Explainer, Matrix};
use polars::prelude::*;
use predictor::{MODEL_FILE, PREPROCESSOR_FILE, Predictor, PredictorError};
use schema::{TargetColumn, UnknownCategory};
use serde::Serialize;

use crate::args::PredictArgs;

/// The configuration of `train predict`.
#[derive(Debug)]
pub struct PredictConfig {
    predictor: Predictor,
    input: PathBuf,
    output: PathBuf,
    /// The file for invalid rows.
    quarantine: PathBuf,
    /// The coverage of the prediction intervals to write.
    intervals: Option<f64>,
    /// Computes contributions, if they are to be written.
    explainer: Option<Explainer>,
    /// The names of the columns that are added to those of the input.
    written: Vec<String>,
}

#[derive(Serialize)]
struct Summary<'a> {
    status: &'static str,
    output: &'a Path,
    rows: u64,
    quarantined: u64,
    unknown_levels: u64,
}

impl PredictConfig {
    /// Loads the model and its preprocessor.
    ///
    /// # Errors
    /// If a path or a flag cannot be used, a file is invalid, or the preprocessor is not the one of the model.
    pub(crate) fn try_from_args(args: &PredictArgs, progress: &Progress) -> anyhow::Result<Self> {
        Format::from_path(&args.input)?;
        Format::from_path(&args.output)?;
        let bundle = args.models_dir.join(MODEL_FILE).exists();
        let folder = if bundle { args.models_dir.clone() } else { args.models_dir.join("trained") };
        let model_path = folder.join(MODEL_FILE);
        let quarantine = quarantine_path(&args.output);
        let paths = RunPaths::default()
            .input("--input", &args.input)
            .output_of_kind("--output", &args.output, OutputKind::PREDICTIONS)
            .output_of_kind("the quarantine of --output", &quarantine, OutputKind::QUARANTINE);
        let label = "--models-dir";
        if bundle { paths.input(label, &folder) } else { paths.stage_input(label, &model_path) }.check()?;
        let beside = folder.join(PREPROCESSOR_FILE);
        // a bundle is replaced as a whole
        let _locks = (!bundle).then(|| lock_to_read(&model_path, &|folder| progress.waiting(folder)));
        let recorded =
            artifact::Manifest::read_beside(&model_path)?.and_then(|manifest| Some(manifest.inputs.get(1)?.path.clone()));
        let preprocessor_path = recorded.filter(|_| !bundle).unwrap_or(beside);
        let predictor = Predictor::read(&model_path, &preprocessor_path).map_err(|error| match error {
            PredictorError::Stranger { .. } => anyhow::anyhow!("{error}. Run `train` again"),
            error => error.into(),
        })?;
        if let Some(coverage) = args.intervals {
            ensure!(coverage > 0.0 && coverage < 1.0, "--intervals {coverage}: must be above 0 and below 1");
            ensure!(
                predictor.model().file().interval.is_some(),
                "{}: has no intervals: they are calibrated by cross-validation when a model is trained",
                model_path.display()
            );
        }
        let inexplicable = |reason| anyhow::anyhow!("{}: cannot be explained: {reason}", model_path.display());
        let explainer = args.contributions.then(|| predictor.explainer()).transpose().map_err(inexplicable)?;
        let mut written = vec!["prediction".to_owned()];
        if args.intervals.is_some() {
            written.extend(["prediction_low", "prediction_high"].map(String::from));
        }
        if explainer.is_some() {
            written.push("base".into());
            written.extend(predictor.explained().iter().map(|name| format!("from {name}")));
        }
        Ok(Self {
            predictor,
            input: args.input.clone(),
            output: args.output.clone(),
            quarantine,
            intervals: args.intervals,
            explainer,
            written,
        })
    }
}

/// Predicts the target of every valid row.
///
/// # Errors
/// If the table cannot be read, an output cannot be written, or ([`Refused`]) no row is valid.
pub fn predict(config: &PredictConfig, progress: &Progress) -> anyhow::Result<Outcome> {
    let schema = config.predictor.preprocessor().schema();
    let mut source = Source::open(&config.input)?;
    source.check_header(schema, TargetColumn::Optional)?;
    if let Some(name) = source.names().iter().find(|name| config.written.contains(name)) {
        bail!("{}:{}: already has a column \"{name}\"; rename it", config.input.display(), source.header_line());
    }
    let mut quarantine = AtomicFile::create(&config.quarantine)?;
    quarantine.write_all(frame::QUARANTINE_HEADER.as_bytes())?;
    let mut file = AtomicFile::create(&config.output)?;
    let mut writer = TableWriter::new(&config.output, &mut file)?;
    let bar = progress.bar("predicting", source.expected_blocks());
    let (mut rows, mut quarantined, mut unknown_levels) = (0, 0, 0);
    source.for_each_block(
        |block| predict_block(config, block),
        |done| {
            bar.advance(done.len() as u64);
            for predicted in &done {
                rows += predicted.frame.height() as u64;
                quarantined += predicted.rejected.len() as u64;
                unknown_levels += predicted.unknown_levels;
                quarantine.write_all(&frame::rejected_csv(&predicted.rejected))?;
            }
            Ok(writer.write(&done.into_iter().map(|predicted| predicted.frame).collect::<Vec<_>>())?)
        },
    )?;
    writer.finish()?;
    if rows + quarantined == 0 {
        return Err(frame::FrameError::NoRows { path: config.input.clone() }.into());
    }
    let quarantine = quarantine.commit()?;
    if rows == 0 {
        let (input, reasons) = (config.input.display(), quarantine.path.display());
        return Err(
            Refused(format!("{input}: none of its {quarantined} rows is valid; the reasons are in {reasons}")).into()
        );
    }
    if quarantined > 0 {
        progress.warn(format!("{quarantined} invalid rows are in {}", quarantine.path.display()));
    }
    if unknown_levels > 0 {
        progress.warn(format!(
            "{unknown_levels} cells have a level that is not in the training data; they are predicted as the level \
             `other`"
        ));
    }
    let output = file.commit()?.path;
    let data = Summary { status: "done", output: &output, rows, quarantined, unknown_levels };
    let human = format!(
        "predict   done: {rows} rows predicted, {quarantined} quarantined, by {} ({})\n          → {}",
        config.predictor.model().file().name,
        config.predictor.model().file().algorithm,
        output.display()
    );
    Ok(Outcome::done(&data, human))
}

fn quarantine_path(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".quarantine.csv");
    name.into()
}

/// The values of the added columns except the predictions.
fn added(config: &PredictConfig, features: &Matrix, predictions: &[f64]) -> Vec<Vec<f64>> {
    let model = config.predictor.model();
    let mut columns = Vec::new();
    if let (Some(coverage), Some(interval)) = (config.intervals, &model.file().interval) {
        let (low, high) = interval.bounds(features, predictions, coverage).into_iter().unzip();
        columns.extend([low, high]);
    }
    if let Some(explainer) = &config.explainer {
        let of_columns = |parts: &Contributions| config.predictor.of_columns(parts);
        let parts: Vec<Contributions> = explainer.explain_all(model, features).iter().map(of_columns).collect();
        columns.push(parts.iter().map(|parts| parts.base).collect());
        let part = |column: usize| parts.iter().map(|parts| parts.parts[column]).collect();
        columns.extend((0..config.predictor.explained().len()).map(part));
    }
    columns
}

struct Predicted {
    frame: DataFrame,
    rejected: Vec<Rejected>,
    /// Cells with a level that is not in the training data, predicted as the level `other`.
    unknown_levels: u64,
}

fn predict_block(config: &PredictConfig, block: &Block) -> anyhow::Result<Predicted> {
    let preprocessor = config.predictor.preprocessor();
    let schema = preprocessor.schema();
    let bucket = preprocessor.file().unknown == UnknownCategory::Other;
    let mut checked = block.validate_inputs(schema, bucket)?;
    let texts = block.texts()?;
    let table = checked.to_table(schema);
    let unknown = preprocessor.unknown_levels(&table);
    let unknown_levels = unknown.iter().filter(|unknown| bucket && checked.good[unknown.row]).count() as u64;
    for refusal in unknown.into_iter().filter(|_| !bucket) {
        if checked.good[refusal.row] {
            checked.good[refusal.row] = false;
            checked.rejected.push(block.reject_row(refusal.row, &refusal.column, &refusal.reason, &texts));
        }
    }
    checked.rejected.sort_by_key(|rejected| rejected.line);
    let good: Vec<usize> = (0..checked.good.len()).filter(|row| checked.good[*row]).collect();
    let matrix = config.predictor.features(&table.select_rows(&good)).context("an unknown level was not rejected")?;
    let predictions = config.predictor.model().predict(&matrix);
    let mut columns = Vec::new();
    for (name, cells) in block.names().iter().zip(&texts) {
        let cells: Vec<Option<&str>> =
            good.iter().map(|row| Some(cells[*row].as_str()).filter(|cell| !cell.is_empty())).collect();
        columns.push(Column::new(name.as_str().into(), cells));
    }
    let parts = added(config, &matrix, &predictions);
    for (name, values) in config.written.iter().zip([predictions].into_iter().chain(parts)) {
        columns.push(Column::new(name.as_str().into(), values));
    }
    Ok(Predicted { frame: DataFrame::new(good.len(), columns)?, rejected: checked.rejected, unknown_levels })
}
