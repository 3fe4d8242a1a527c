//! The arguments and the configuration file, checked.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use artifact::{Digest, FileEntry};
use features::Plan;
use frame::Format;
use schema::{EngineerSection, PipelineConfig, Schema, SettingError, TableSection};
use serde::Serialize;

use crate::Args;

/// Everything `engineer` needs to know.
#[derive(Debug)]
pub struct Config {
    pub(crate) input: PathBuf,
    pub(crate) output: PathBuf,
    pub(crate) preprocessor: PathBuf,
    pub(crate) schema: Schema,
    pub(crate) plan: Plan,
    pub(crate) settings: Digest,
    pub(crate) config_file: FileEntry,
    /// The configuration's name and text, to point into.
    pub(crate) source: (PathBuf, String),
    pub(crate) force: bool,
}

impl Config {
    /// Reads and checks.
    ///
    /// # Errors
    /// If a file name or a setting cannot be used; settings are named by file, line and key.
    pub fn check(args: &Args) -> anyhow::Result<Self> {
        let Args { input, output, preprocessor, pipeline_config: path, global } = args;
        Format::of(input)?;
        Format::of(output)?;
        let absolute = [input, output, preprocessor].map(std::path::absolute);
        let [input_path, output_path, preprocessor_path] = absolute;
        let preprocessor_path = preprocessor_path?;
        if input_path? == output_path.as_ref().map_or(PathBuf::new(), Clone::clone) {
            bail!("{}: is both input and output; name another output", input.display());
        }
        ensure!(output_path? != preprocessor_path, "{}: is both output and preprocessor", output.display());

        let text = cli::read_text(path, "--pipeline-config")?;
        let config = PipelineConfig::parse(&text).map_err(|error| anyhow::anyhow!("{}:{error}", path.display()))?;
        let located = |error: SettingError| anyhow::anyhow!("{}:{}", path.display(), error.locate(&text));
        let schema = Schema::check(&config.table).map_err(located)?;
        let plan = Plan::check(&schema, &config.engineer).map_err(located)?;

        #[derive(Serialize)]
        struct Settings<'a>(&'a TableSection, &'a EngineerSection, &'a str);
        // a preprocessor kept elsewhere is another output
        let preprocessor_name = preprocessor_path.to_string_lossy();
        let settings = Digest::of_json(&Settings(&config.table, &config.engineer, &preprocessor_name));
        let config_file = FileEntry::of(path).context("reading the configuration")?;
        Ok(Self {
            input: input.clone(),
            output: output.clone(),
            preprocessor: preprocessor.clone(),
            schema,
            plan,
            settings,
            config_file,
            source: (path.clone(), text),
            force: global.force,
        })
    }
}
