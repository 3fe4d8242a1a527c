//! The run: checks paths, loads the model, predicts, and puts the files into their places.

use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail, ensure};
use artifact::{AtomicFile, OutputKind, RunPaths};
use cli::{Outcome, Progress, Refused};
use inference::{
    loaded_model::LoadedModel,
    tables::{
        block::RowSource,
        header::{TableOptions, output_columns},
        named_writer::NamedWriter,
        predict::{TableCounts, predict_table},
    },
};
use model_source::{ModelsDir, Source};
use predictor::LoadedParts;
use serde::Serialize;

use crate::{
    args::PredictArgs,
    format::TableFormat,
    table_file::{Parquet, begin, check_format, open},
};

#[derive(Serialize)]
struct Summary<'a> {
    status: &'static str,
    output: &'a Path,
    rows: u64,
    quarantined: u64,
    unknown_levels: u64,
}

/// Where the model is.
enum ModelLocation {
    Source(Source),
    Folder(ModelsDir),
}

impl ModelLocation {
    fn of(args: &PredictArgs) -> anyhow::Result<Self> {
        match (&args.model.model, &args.model.models_dir) {
            (Some(model), _) => Ok(Self::Source(Source::parse(model, args.mlflow_tracking_uri.as_deref())?)),
            (None, Some(folder)) => Ok(Self::Folder(ModelsDir::new(folder))),
            (None, None) => bail!("name a model: --model or --models-dir"),
        }
    }

    fn add_inputs(&self, paths: RunPaths) -> RunPaths {
        match self {
            Self::Source(Source::Bundle(path)) => paths.input("--model", path),
            Self::Source(Source::Registered { location, .. }) => location.add_inputs(paths, "--model"),
            Self::Folder(folder) => folder.add_inputs(paths, "--models-dir"),
        }
    }

    fn load(&self, progress: &Progress) -> anyhow::Result<LoadedParts> {
        match self {
            Self::Source(source) => source.load(),
            Self::Folder(folder) => folder.load(&|folder| progress.waiting(folder)),
        }
    }

    /// The model, for messages.
    fn name(&self) -> String {
        match self {
            Self::Source(source) => source.to_string(),
            Self::Folder(folder) => folder.model_path().display().to_string(),
        }
    }
}

/// Predicts the target of every valid row of a file. `parquet` is how the program reads and writes Parquet, if it does.
///
/// # Errors
/// If the model cannot be used, the table not be read, or something not be written; or ([`Refused`]) no row is valid.
pub fn predict(args: &PredictArgs, progress: &Progress, parquet: Option<Parquet>) -> anyhow::Result<Outcome> {
    check_format(&args.input, parquet)?;
    check_format(&args.output, parquet)?;
    if let Some(share) = args.intervals {
        ensure!(share > 0.0 && share < 1.0, "--intervals {share}: must be above 0 and below 1");
    }
    let location = ModelLocation::of(args)?;
    let quarantine = quarantine_path(&args.output);
    let paths = RunPaths::default()
        .input("--input", &args.input)
        .output_of_kind("--output", &args.output, OutputKind::PREDICTIONS)
        .output_of_kind("the quarantine of --output", &quarantine, OutputKind::QUARANTINE);
    location.add_inputs(paths).check()?;
    let model = LoadedModel::for_tables(location.load(progress)?, args.intervals);
    let options = TableOptions::check(&model, args.intervals.is_some(), args.contributions)
        .map_err(|message| anyhow!("{}: {message}", location.name()))?;
    let mut source = open(&args.input, &model, parquet)?;
    let (counts, output) = write_table(args, &quarantine, &model, &mut *source, options, parquet, progress)?;
    let TableCounts { rows, quarantined, unknown_levels } = counts;
    if quarantined > 0 {
        progress.warn(format!("{quarantined} invalid rows are in {}", quarantine.display()));
    }
    if unknown_levels > 0 {
        progress.warn(format!(
            "{unknown_levels} cells have a level that is not in the training data; they are predicted as the level `other`"
        ));
    }
    let data = Summary { status: "done", output: &output, rows, quarantined, unknown_levels };
    let file = model.predictor.model().file();
    let human = format!(
        "predict   done: {rows} rows predicted, {quarantined} quarantined, by {} ({})\n          → {}",
        file.name,
        file.algorithm,
        output.display()
    );
    Ok(Outcome::done(&data, human))
}

/// Writes the predictions and the quarantine, each as a whole or not at all; returns the counts and the path of the predictions.
fn write_table(
    args: &PredictArgs,
    quarantine: &Path,
    model: &LoadedModel,
    source: &mut dyn RowSource,
    options: TableOptions,
    parquet: Option<Parquet>,
    progress: &Progress,
) -> anyhow::Result<(TableCounts, PathBuf)> {
    let columns =
        output_columns(model, source.names(), options).map_err(|message| anyhow!("{}: {message}", source.header_place()))?;
    let mut quarantine_file = AtomicFile::create(quarantine)?;
    let mut file = AtomicFile::create(&args.output)?;
    let mut sink = begin(&args.output, &mut file, &columns, source, parquet)?;
    let mut rejected = NamedWriter::new(quarantine.display().to_string(), &mut quarantine_file);
    let bar = progress.bar("predicting", source.expected_blocks());
    let counts = predict_table(model, source, &mut *sink, &mut rejected, options, &mut |blocks| bar.advance(blocks))?;
    drop(sink);
    let input = args.input.display();
    if counts.rows + counts.quarantined == 0 {
        match TableFormat::of(&args.input)? {
            TableFormat::Csv | TableFormat::Parquet => bail!("{input}: has a header but no rows"),
            TableFormat::Ndjson | TableFormat::Arrow => bail!("{input}: has no rows"),
        }
    }
    quarantine_file.commit()?;
    if counts.rows == 0 {
        let (rows, reasons) = (counts.quarantined, quarantine.display());
        return Err(Refused(format!("{input}: none of its {rows} rows is valid; the reasons are in {reasons}")).into());
    }
    Ok((counts, file.commit()?.path))
}

fn quarantine_path(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".quarantine.csv");
    name.into()
}
