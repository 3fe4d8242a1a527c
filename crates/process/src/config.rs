//! The arguments and the configuration file, checked.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use artifact::{Digest, FileEntry, OutputKind, RunPaths};
use frame::Format;
use schema::{PipelineConfig, ProcessSection, Schema, SettingError};

use crate::{args::Args, outliers::Fences};

/// What the name of the output is followed by, for the rows of a table that is rejected.
const FAILED_QUARANTINE: &str = ".failed.quarantine.csv";

/// Everything `process` needs to know.
#[derive(Debug)]
pub struct Config {
    pub(crate) input: PathBuf,
    pub(crate) output: PathBuf,
    pub(crate) quarantine: PathBuf,
    /// Where quarantined rows are if there are too many: the outputs of an earlier run stay as they are.
    pub(crate) failed_quarantine: PathBuf,
    pub(crate) report: PathBuf,
    pub(crate) page: PathBuf,
    pub(crate) schema: Schema,
    pub(crate) process: ProcessSection,
    pub(crate) fences: Option<Fences>,
    /// Place of the key column among the schema's columns.
    pub(crate) key: Option<usize>,
    pub(crate) settings: Digest,
    pub(crate) config_file: FileEntry,
    pub(crate) force: bool,
}

impl Config {
    /// Reads and checks.
    ///
    /// # Errors
    /// If a file name or a setting cannot be used; settings are named by file, line and key.
    pub fn check(args: &Args) -> anyhow::Result<Self> {
        let (Some(input), Some(output)) = (args.input.clone(), args.output.clone()) else {
            bail!("--input and --output are required")
        };
        Format::of(&output)?;
        Format::of(&input)?;
        let beside = |suffix: &str| with_suffix(&output, suffix);
        let (quarantine, report, page) = (beside(".quarantine.csv"), beside(".report.json"), beside(".report.html"));
        let failed_quarantine = beside(FAILED_QUARANTINE);
        let path = &args.pipeline_config;
        RunPaths::default()
            .input("--input", &input)
            .input("--pipeline-config", path)
            .stage_output("--output", &output, OutputKind::TABLE)
            .stage_output("the quarantine of --output", &quarantine, OutputKind::QUARANTINE)
            .output_of_kind(
                "the quarantine of --output if the table is rejected",
                &failed_quarantine,
                OutputKind::QUARANTINE,
            )
            .stage_output("the report of --output", &report, OutputKind::REPORT)
            .stage_output("the report of --output", &page, OutputKind::PAGE)
            .check()?;
        let text = cli::read_text(path, "--pipeline-config")?;
        let config = PipelineConfig::parse(&text).map_err(|error| anyhow::anyhow!("{}:{error}", path.display()))?;
        let located = |error: SettingError| anyhow::anyhow!("{}:{}", path.display(), error.locate(&text));
        let schema = Schema::from_section(&config.table).map_err(located)?;
        let process = config.process.clone();
        let key = check_split(&process, &schema).map_err(located)?;
        let fences = Fences::check(&process.trim, &schema).map_err(located)?;

        let settings = Digest::of_json(&config.process_settings());
        let config_file = FileEntry::from_file(path).context("reading the configuration")?;
        Ok(Self {
            input,
            output,
            quarantine,
            failed_quarantine,
            report,
            page,
            schema,
            process,
            fences,
            key,
            settings,
            config_file,
            force: args.global.force,
        })
    }
}

impl Config {
    /// The place of a column that the configuration names, and that was checked to be there.
    pub(crate) fn place(&self, name: &str) -> usize {
        self.schema.place(name).unwrap_or_default()
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn check_split(process: &ProcessSection, schema: &Schema) -> Result<Option<usize>, SettingError> {
    let test = process.split.test;
    if !(test > 0.0 && test < 1.0) {
        return Err(SettingError::new(&["process", "split", "test"], format!("{test} is not between 0 and 1")));
    }
    let share = process.max_quarantined.0;
    if !(0.0..=1.0).contains(&share) {
        return Err(SettingError::new(&["process", "max_quarantined"], format!("{share} is not between 0 and 1")));
    }
    let Some(key) = &process.split.key else { return Ok(None) };
    let place = schema.place(key);
    if place.is_none() || *key == schema.target().name {
        let message = format!("\"{key}\" is not a column that could be a key");
        return Err(SettingError::new(&["process", "split", "key"], message));
    }
    Ok(place)
}
