//! The validated configuration of the stage.

use std::path::PathBuf;

use anyhow::Context;
use artifact::{Digest, FileEntry, Mark, OutputKind, RunPaths};
use features::{PREPROCESSOR, Plan};
use schema::{PipelineConfig, Schema, SettingError};
use table_io::Format;

use crate::args::Args;

/// Kind of the preprocessor file.
const PREPROCESSOR_FILE: OutputKind = OutputKind { name: "a preprocessor", mark: Mark::Envelope(PREPROCESSOR.0) };

/// Validated arguments and settings of `engineer`.
#[derive(Debug)]
pub struct Config {
    pub(crate) input: PathBuf,
    pub(crate) output: PathBuf,
    pub(crate) preprocessor: PathBuf,
    /// Path of the drift reference.
    pub(crate) reference: PathBuf,
    pub(crate) schema: Schema,
    pub(crate) plan: Plan,
    pub(crate) settings: Digest,
    pub(crate) config_file: FileEntry,
    /// Path and text of the configuration, for errors.
    pub(crate) source: (PathBuf, String),
    pub(crate) force: bool,
}

impl Config {
    /// Reads and validates arguments and settings.
    ///
    /// # Errors
    /// If a file name or setting is invalid; settings are named by file, line and key.
    pub fn try_from_args(args: &Args) -> anyhow::Result<Self> {
        let Args { input, output, preprocessor, pipeline_config: path, global } = args;
        Format::from_path(input)?;
        Format::from_path(output)?;
        let reference = preprocessor.with_extension("reference.json");
        RunPaths::default()
            .input("--pipeline-config", path)
            .stage_input("--input", input)
            .stage_output("--output", output, OutputKind::TABLE)
            .stage_output("--preprocessor", preprocessor, PREPROCESSOR_FILE)
            .stage_output("the reference of --preprocessor", &reference, OutputKind::REPORT)
            .check()?;

        let text = cli::read_text(path, "--pipeline-config")?;
        let config = PipelineConfig::parse(&text).map_err(|error| anyhow::anyhow!("{}:{error}", path.display()))?;
        let located = |error: SettingError| anyhow::anyhow!("{}:{}", path.display(), error.locate(&text));
        let schema = Schema::from_section(&config.table).map_err(located)?;
        let plan = Plan::from_section(&schema, &config.engineer).map_err(located)?;

        let settings = Digest::of_json(&config.engineer_settings());
        let config_file = FileEntry::from_file(path).context("reading the configuration")?;
        Ok(Self {
            input: input.clone(),
            output: output.clone(),
            preprocessor: preprocessor.clone(),
            reference,
            schema,
            plan,
            settings,
            config_file,
            source: (path.clone(), text),
            force: global.force,
        })
    }
}
