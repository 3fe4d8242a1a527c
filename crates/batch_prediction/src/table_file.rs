//! Tables as files: an input is opened, an output begun.

use std::{fs::File, io::Write, path::Path};

use anyhow::{Context, bail, ensure};
use inference::{
    loaded_model::LoadedModel,
    tables::{
        arrow::{ArrowSink, ArrowSource},
        block::{OutputColumns, RowSink, RowSource},
        csv::{CsvSink, CsvSource},
        named_writer::NamedWriter,
        ndjson::{NdjsonSink, NdjsonSource},
    },
};

use crate::format::TableFormat;

/// Opens the Parquet table at a path, whose columns must fit the model.
pub type OpenParquet = fn(&Path, &LoadedModel) -> anyhow::Result<Box<dyn RowSource>>;

/// Begins a Parquet table with these columns in an output, which messages call by a path.
pub type WriteParquet =
    for<'a> fn(&Path, &'a mut (dyn Write + Send), &OutputColumns) -> anyhow::Result<Box<dyn RowSink + 'a>>;

/// How a program reads and writes Parquet.
#[derive(Clone, Copy, Debug)]
pub struct Parquet {
    /// Opens an input.
    pub open: OpenParquet,
    /// Begins an output.
    pub write: WriteParquet,
}

/// Checks that the program can read and write the table that `path` names.
///
/// # Errors
/// If it cannot, or the name does not tell the format.
pub(crate) fn check_format(path: &Path, parquet: Option<Parquet>) -> anyhow::Result<()> {
    if TableFormat::of(path)? == TableFormat::Parquet && parquet.is_none() {
        return Err(no_parquet(path));
    }
    Ok(())
}

fn no_parquet(path: &Path) -> anyhow::Error {
    anyhow::anyhow!("{}: this program cannot read or write Parquet. Use `train predict`", path.display())
}

/// Opens the table at `path`.
///
/// # Errors
/// If it is absent or empty, is not what its name says, or its columns do not fit.
pub(crate) fn open(path: &Path, model: &LoadedModel, parquet: Option<Parquet>) -> anyhow::Result<Box<dyn RowSource>> {
    let name = path.display().to_string();
    let format = TableFormat::of(path)?;
    if format == TableFormat::Parquet {
        return (parquet.ok_or_else(|| no_parquet(path))?.open)(path, model);
    }
    if !path.exists() {
        bail!("{name}: no such file; check the path");
    }
    let file = File::open(path).with_context(|| format!("{name}: cannot open it"))?;
    let metadata = file.metadata().with_context(|| format!("{name}: cannot read it"))?;
    ensure!(!metadata.is_dir(), "{name}: is a folder, not a table");
    let bytes = metadata.len();
    Ok(match format {
        TableFormat::Csv => Box::new(CsvSource::open(&name, file, bytes, model)?),
        TableFormat::Ndjson => Box::new(NdjsonSource::open(&name, file, bytes, model)?),
        TableFormat::Arrow | TableFormat::Parquet => Box::new(ArrowSource::open(&name, file, bytes, model)?),
    })
}

/// Begins the table at `path` in `out`. `input` is the table that is predicted.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn begin<'a>(
    path: &Path,
    out: &'a mut (dyn Write + Send),
    columns: &OutputColumns,
    input: &dyn RowSource,
    parquet: Option<Parquet>,
) -> anyhow::Result<Box<dyn RowSink + 'a>> {
    let name = path.display().to_string();
    Ok(match TableFormat::of(path)? {
        TableFormat::Csv => Box::new(CsvSink::create(NamedWriter::new(name, out), columns)?),
        TableFormat::Ndjson => Box::new(NdjsonSink::new(NamedWriter::new(name, out), columns)),
        TableFormat::Arrow => Box::new(ArrowSink::create(NamedWriter::new(name, out), columns, input.arrow_schema())?),
        TableFormat::Parquet => (parquet.ok_or_else(|| no_parquet(path))?.write)(path, out, columns)?,
    })
}
