//! `train predict`: a model applied to a raw table.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use artifact::{AtomicFile, Digest, read_envelope, read_envelope_or_older};
use cli::{No, Outcome, Progress};
use features::{PREPROCESSOR, Preprocessor, PreprocessorFile};
use frame::{Block, Format, Rejected, Source, TableWriter, TargetColumn};
use model::{Contributions, MODEL, Matrix, Model, ModelFile, ModelFileV1};
use polars::prelude::*;
use schema::UnknownCategory;
use serde::Serialize;

use crate::args::PredictArgs;

/// What `train predict` needs to know.
#[derive(Debug)]
pub struct PredictConfig {
    model: Model,
    preprocessor: Preprocessor,
    input: PathBuf,
    output: PathBuf,
    /// The share of targets that intervals are to hold, if they are wanted.
    intervals: Option<f64>,
    contributions: bool,
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
    /// Loads model and preprocessor and makes sure that they belong together.
    pub(crate) fn check(args: &PredictArgs) -> anyhow::Result<Self> {
        Format::of(&args.input)?;
        Format::of(&args.output)?;
        ensure!(
            std::path::absolute(&args.input)? != std::path::absolute(&args.output)?,
            "{}: is both input and output; name another output",
            args.input.display()
        );
        let bundle = args.models_dir.join("model.bin").exists();
        let folder = if bundle { args.models_dir.clone() } else { args.models_dir.join("trained") };
        let model_path = folder.join("model.bin");
        let file: ModelFile =
            read_envelope_or_older::<_, ModelFileV1>(&model_path, MODEL.into(), "Run `train` to write it")?;
        let model = Model::check(file).with_context(|| format!("{}", model_path.display()))?;
        let beside = folder.join("preprocessor.bin");
        let recorded =
            artifact::Manifest::read_beside(&model_path)?.and_then(|manifest| Some(manifest.inputs.get(1)?.path.clone()));
        let preprocessor_path = recorded.filter(|_| !bundle).unwrap_or(beside);
        let file: PreprocessorFile = read_envelope(&preprocessor_path, PREPROCESSOR.into(), "Run `engineer` to write it")?;
        let (digest, _) = Digest::of_file(&preprocessor_path)?;
        ensure!(
            digest.hex() == model.file().preprocessor,
            "{}: is not the preprocessor that {} was trained with (its digest begins with {}, the model names {}). Run `train` again",
            preprocessor_path.display(),
            model_path.display(),
            &digest.hex()[..12],
            &model.file().preprocessor.get(..12).unwrap_or_default()
        );
        let preprocessor = Preprocessor::check(file).with_context(|| format!("{}", preprocessor_path.display()))?;
        if let Some(coverage) = args.intervals {
            ensure!(coverage > 0.0 && coverage < 1.0, "--intervals {coverage}: is not a share above 0 and below 1");
            ensure!(
                model.file().interval.is_some(),
                "{}: has no intervals: they are learned from cross-validation when a model is trained",
                model_path.display()
            );
        }
        if args.contributions {
            model
                .check_explicable()
                .map_err(|reason| anyhow::anyhow!("{}: cannot be explained: {reason}", model_path.display()))?;
        }
        Ok(Self {
            model,
            preprocessor,
            input: args.input.clone(),
            output: args.output.clone(),
            intervals: args.intervals,
            contributions: args.contributions,
        })
    }
}

/// Predicts the target of every row that keeps to the schema.
///
/// # Errors
/// If the table cannot be read, nothing can be written, or ([`No`]) no row keeps to the schema.
pub fn predict(config: &PredictConfig, progress: &Progress) -> anyhow::Result<Outcome> {
    let schema = config.preprocessor.schema();
    let mut source = Source::open(&config.input)?;
    frame::check_header(&config.input, source.header_line(), source.names(), schema, TargetColumn::Optional)?;
    if let Some(name) = source.names().iter().find(|name| written(config).contains(name)) {
        bail!("{}:{}: has a column \"{name}\" already; rename it", config.input.display(), source.header_line());
    }
    let mut quarantine_name = config.output.as_os_str().to_owned();
    quarantine_name.push(".quarantine.csv");
    let mut quarantine = AtomicFile::create(Path::new(&quarantine_name))?;
    quarantine.write_all(frame::REJECTED_HEADER.as_bytes())?;
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
                quarantine.write_all(&frame::rejected_csv(&predicted.rejected)?)?;
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
        return Err(No(format!(
            "{input}: none of its {quarantined} rows keeps to the schema; the reasons are in {reasons}"
        ))
        .into());
    }
    if quarantined > 0 {
        progress.warn(format!("{quarantined} rows break the schema and are in {}", quarantine.path.display()));
    }
    if unknown_levels > 0 {
        progress
            .warn(format!("{unknown_levels} cells hold a level that training did not know; they share the bucket `other`"));
    }
    let output = file.commit()?.path;
    let data = Summary { status: "done", output: &output, rows, quarantined, unknown_levels };
    let human = format!(
        "predict   done: {rows} rows predicted, {quarantined} quarantined, by {} ({})\n          → {}",
        config.model.file().name,
        config.model.file().algorithm,
        output.display()
    );
    Ok(Outcome::done(&data, human))
}

/// The names of the columns that are written beside those that came.
fn written(config: &PredictConfig) -> Vec<String> {
    let mut names = vec!["prediction".to_owned()];
    if config.intervals.is_some() {
        names.extend(["prediction_low", "prediction_high"].map(String::from));
    }
    if config.contributions {
        names.push("base".into());
        names.extend(explained(config).into_iter().map(|name| format!("from {name}")));
    }
    names
}

/// The raw columns that the model goes by.
fn explained(config: &PredictConfig) -> Vec<&str> {
    let made_of = |feature: &String| config.preprocessor.raw_columns(feature);
    let used: Vec<&str> = config.model.file().features.iter().flat_map(made_of).collect();
    let columns = config.preprocessor.columns().map(|column| column.name.as_str());
    columns.filter(|name| used.contains(name)).collect()
}

/// What is written beside the predictions, column by column.
fn added(config: &PredictConfig, features: &Matrix, predictions: &[f64]) -> Vec<Vec<f64>> {
    let mut columns = Vec::new();
    if let (Some(coverage), Some(interval)) = (config.intervals, &config.model.file().interval) {
        let (low, high) = interval.bounds(features, predictions, coverage).into_iter().unzip();
        columns.extend([low, high]);
    }
    if config.contributions {
        let names = explained(config);
        let place = |column: &str| names.iter().position(|name| *name == column);
        let groups: Vec<Vec<usize>> = config
            .model
            .file()
            .features
            .iter()
            .map(|feature| config.preprocessor.raw_columns(feature).into_iter().filter_map(place).collect())
            .collect();
        let parts: Vec<Contributions> =
            config.model.contributions(features).into_iter().map(|parts| parts.grouped(names.len(), &groups)).collect();
        columns.push(parts.iter().map(|parts| parts.base).collect());
        columns.extend((0..names.len()).map(|column| parts.iter().map(|parts| parts.parts[column]).collect()));
    }
    columns
}

struct Predicted {
    frame: DataFrame,
    rejected: Vec<Rejected>,
    /// Cells that share the bucket for levels that training did not know.
    unknown_levels: u64,
}

fn predict_block(config: &PredictConfig, block: &Block) -> anyhow::Result<Predicted> {
    let preprocessor = &config.preprocessor;
    let schema = preprocessor.schema();
    let bucket = preprocessor.file().unknown == UnknownCategory::Other;
    let mut checked = block.check_inputs(schema, bucket)?;
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
    let features = preprocessor.transform(&table.select_rows(&good)).context("a level slipped through")?;
    let matrix = config.model.select(preprocessor.feature_names(), features)?;
    let predictions = config.model.predict(&matrix);
    let mut columns = Vec::new();
    for (name, cells) in block.names().iter().zip(&texts) {
        let cells: Vec<Option<&str>> =
            good.iter().map(|row| Some(cells[*row].as_str()).filter(|cell| !cell.is_empty())).collect();
        columns.push(Column::new(name.as_str().into(), cells));
    }
    let parts = added(config, &matrix, &predictions);
    for (name, values) in written(config).into_iter().zip([predictions].into_iter().chain(parts)) {
        columns.push(Column::new(name.into(), values));
    }
    Ok(Predicted { frame: DataFrame::new(good.len(), columns)?, rejected: checked.rejected, unknown_levels })
}
