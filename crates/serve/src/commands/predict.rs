//! `serve predict`: a file, by the same code that answers requests.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use artifact::{ArtifactError, AtomicFile, OutputKind, RunPaths};
use cli::{Outcome, Progress, Refused};
use inference::formats::csv;
use model_source::Source;
use serde::Serialize;

use crate::{args::PredictArgs, config::check_coverage, models::load::DeployedModel};

#[derive(Serialize)]
struct Summary<'a> {
    status: &'static str,
    output: &'a Path,
    rows: u64,
    refused: u64,
}

/// Predicts the rows of a file.
///
/// # Errors
/// If the model cannot be used, the file not be read or the other not be written; or ([`Refused`]) no row keeps to the schema.
pub(crate) fn predict(args: &PredictArgs, progress: &Progress) -> anyhow::Result<Outcome> {
    let PredictArgs { input, output, .. } = args;
    check_coverage(args.coverage)?;
    for path in [input, output] {
        let csv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        ensure!(csv, "{}: is not a .csv file; `train predict` reads and writes Parquet", path.display());
    }
    let source = Source::parse(&args.model, args.mlflow_tracking_uri.as_deref())?;
    let paths = RunPaths::default().input("--input", input).output_of_kind("--output", output, OutputKind::PREDICTIONS);
    match &source {
        Source::Bundle(path) => paths.input("--model", path),
        Source::Registered { location, .. } => location.add_inputs(paths, "--model"),
    }
    .check()?;
    let file = File::open(input).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            anyhow::Error::from(ArtifactError::Missing { path: input.clone(), hint: "Name another file".into() })
        }
        _ => anyhow::anyhow!("{}: cannot read it: {error}", input.display()),
    })?;
    let engine = DeployedModel::load(&source, 1000, args.coverage)?;
    let mut out = BufWriter::new(AtomicFile::create(output)?);
    let scored = csv::score(&engine, BufReader::new(file), &mut out, &())
        .map_err(|error| anyhow::anyhow!("{}: {error}", input.display()))?;
    ensure!(scored.rows + scored.refused > 0, "{}: has no row below its header", input.display());
    if scored.rows == 0 {
        let first = scored.first_fault.unwrap_or_default();
        let message = format!("{}: none of its {} rows keeps to the schema; {first}", input.display(), scored.refused);
        return Err(Refused(message).into());
    }
    out.flush().with_context(|| format!("{}: cannot write it", output.display()))?;
    let written: PathBuf = out.into_inner().map_err(|error| anyhow::anyhow!("{error}"))?.commit()?.path;
    if let Some(first) = &scored.first_fault {
        progress.warn(format!("{} rows have no prediction; the column `problem` says why ({first})", scored.refused));
    }
    let human = format!(
        "predict   done: {} rows predicted, {} refused, by {} {}\n          → {}",
        scored.rows,
        scored.refused,
        engine.name(),
        engine.info.version,
        written.display()
    );
    let summary = Summary { status: "done", output: &written, rows: scored.rows, refused: scored.refused };
    Ok(Outcome::done(&summary, human))
}
