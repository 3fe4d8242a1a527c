//! The command `process init`: infers a configuration from a table.

pub(crate) mod observation;
pub(crate) mod type_inference;
pub(crate) mod yaml;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{bail, ensure};
use artifact::{RunPaths, resolve_entry};
use cli::{Outcome, Progress};
use rayon::prelude::*;
use schema::{ColumnType, MAX_COLUMNS, PipelineConfig, Rule, Schema};
use serde::Serialize;
use table_io::{Block, Rejected, TableSource};

use crate::args::InitArgs;
use observation::ColumnObservation;
use type_inference::{InferredColumn, infer_column};

/// Validated arguments of `process init`.
#[derive(Debug)]
pub struct InitConfig {
    input: PathBuf,
    target: String,
    output: PathBuf,
    model_output: PathBuf,
    force: bool,
}

#[derive(Serialize)]
struct Summary<'a> {
    status: &'static str,
    columns: usize,
    rows: u64,
    pipeline_config: &'a Path,
    model_config: &'a Path,
}

impl InitConfig {
    /// Validates the arguments.
    pub(crate) fn try_from_args(args: &InitArgs, force: bool) -> anyhow::Result<Self> {
        let output = args.output.clone();
        ensure!(
            output.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"),
            "{}: name a configuration that ends in .yaml",
            output.display()
        );
        let stem = output.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let model_output = output.with_file_name(format!("{stem}_model.yaml"));
        RunPaths::default()
            .input("--input", &args.input)
            .output("--output", &output)
            .output("the model configuration of --output", &model_output)
            .check()?;
        for path in [&output, &model_output] {
            let is_taken =
                fs::symlink_metadata(resolve_entry(path)).is_ok_and(|metadata| !metadata.is_file() || metadata.len() > 0);
            if is_taken && !force {
                bail!("{}: exists. Name another file, or replace it with --force", path.display());
            }
        }
        Ok(Self { input: args.input.clone(), target: args.target.clone(), output, model_output, force })
    }
}

/// Reads the whole table and writes `pipeline.yaml` and `model_config.yaml` for it.
///
/// # Errors
/// If the table cannot be read, or has no such column or no numbers in it.
pub fn init(config: &InitConfig, progress: &Progress) -> anyhow::Result<Outcome> {
    let mut source = TableSource::open(&config.input)?;
    let names = source.names().to_vec();
    ensure!(
        names.len() <= MAX_COLUMNS,
        "{}:{}: the header has {} columns; at most {MAX_COLUMNS} are allowed",
        config.input.display(),
        source.header_line(),
        names.len()
    );
    if !names.contains(&config.target) {
        let near = schema::closest_match(&config.target, names.iter().map(String::as_str));
        let hint = near.map_or(String::new(), |near| format!(" (is it \"{near}\"?)"));
        bail!("{}:{}: column \"{}\" does not exist{hint}", config.input.display(), source.header_line(), config.target);
    }
    let mut observed: Vec<ColumnObservation> = names.iter().map(|_| ColumnObservation::default()).collect();
    let mut malformed: BTreeMap<Rule, (u64, Rejected)> = BTreeMap::new();
    let bar = progress.bar("reading", source.expected_blocks());
    source.for_each_block(
        |block| observe(block, &names),
        |batches| {
            bar.advance(batches.len() as u64);
            for FileBatch { columns, malformed: new } in batches {
                observed.iter_mut().zip(columns).for_each(|(all, new)| all.merge(new));
                for (rule, (rows, first)) in new {
                    malformed.entry(rule).or_insert((0, first)).0 += rows;
                }
            }
            Ok(())
        },
    )?;
    malformed.iter().for_each(|(rule, (rows, first))| progress.warn(warning(&config.input, *rule, *rows, first)));
    let rows = observed.first().map_or(0, |column| column.rows);
    if rows == 0 {
        return Err(table_io::FrameError::NoRows { path: config.input.clone() }.into());
    }
    let guesses: Vec<InferredColumn> =
        names.iter().zip(&observed).map(|(name, observed)| infer_column(name, observed, *name == config.target)).collect();
    let target = guesses.iter().find(|infer_column| infer_column.name == config.target);
    if target.is_none_or(|target| !target.kind.is_number()) {
        bail!("{}: column \"{}\" is not numeric, so it cannot be the target", config.input.display(), config.target);
    }
    if !guesses.iter().any(|infer_column| {
        infer_column.name != config.target && (infer_column.kind.is_number() || infer_column.kind == ColumnType::Category)
    }) {
        bail!("{}: no column except the target has numbers or categories", config.input.display());
    }
    let text = yaml::pipeline(&config.input, &config.target, rows, &guesses);
    let parsed =
        PipelineConfig::parse(&text).map_err(|error| anyhow::anyhow!("the configuration does not parse: {error}"))?;
    Schema::from_section(&parsed.table)?;
    artifact::write_atomically(&config.output, text.as_bytes())?;
    artifact::write_atomically(&config.model_output, yaml::model(&config.target, config.output.file_stem()).as_bytes())?;
    let data = Summary {
        status: if config.force { "replaced" } else { "written" },
        columns: names.len(),
        rows,
        pipeline_config: &config.output,
        model_config: &config.model_output,
    };
    let human = format!(
        "init      {} columns, {rows} rows → {} and {}\n          read the comments, then: scripts/run_pipeline.sh --input {} --config {} --model-config {}",
        names.len(),
        config.output.display(),
        config.model_output.display(),
        config.input.display(),
        config.output.display(),
        config.model_output.display()
    );
    Ok(Outcome::done(&data, human))
}

/// Observations of a block.
struct FileBatch {
    columns: Vec<ColumnObservation>,
    /// Number of malformed records and the first of them, by rule.
    malformed: BTreeMap<Rule, (u64, Rejected)>,
}

fn observe(block: &Block, names: &[String]) -> anyhow::Result<FileBatch> {
    let columns = block.texts()?;
    let rows = block.malformed_rows();
    let columns = names
        .par_iter()
        .zip(columns)
        .map(|(_, cells)| {
            let mut observed = ColumnObservation { rows, ..ColumnObservation::default() };
            cells.into_iter().for_each(|cell| observed.add(cell.trim()));
            observed
        })
        .collect();
    Ok(FileBatch { columns, malformed: block.malformed_by_rule() })
}

/// The warning about malformed records, which are ignored for the inference.
fn warning(input: &Path, rule: Rule, rows: u64, first: &Rejected) -> String {
    let column = if first.column.is_empty() { String::new() } else { format!("column \"{}\": ", first.column) };
    format!(
        "{}:{}: {column}{}; {}. {rows} such row(s) are ignored here; `process` quarantines them",
        input.display(),
        first.line,
        first.reason,
        rule.advice(&first.column)
    )
}
