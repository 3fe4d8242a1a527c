//! The validated configuration of the stage.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use artifact::{Digest, FileEntry, OutputKind, RunPaths};
use schema::{PipelineConfig, ProcessSection, Schema, SettingError};
use table_io::Format;

use crate::{args::Args, outliers::OutlierBounds};

/// Suffix of the quarantine file of a rejected table.
const FAILED_QUARANTINE: &str = ".failed.quarantine.csv";

/// Validated arguments and settings of `process`.
#[derive(Debug)]
pub struct Config {
    pub(crate) input: PathBuf,
    pub(crate) output: PathBuf,
    pub(crate) quarantine: PathBuf,
    /// Quarantine file if there are too many invalid rows; outputs of an earlier run are then kept.
    pub(crate) failed_quarantine: PathBuf,
    pub(crate) report: PathBuf,
    pub(crate) page: PathBuf,
    pub(crate) schema: Schema,
    pub(crate) process: ProcessSection,
    pub(crate) bounds: Option<OutlierBounds>,
    /// Index of the key column in the schema.
    pub(crate) key: Option<usize>,
    pub(crate) settings: Digest,
    pub(crate) config_file: FileEntry,
    pub(crate) force: bool,
}

impl Config {
    /// Reads and validates arguments and settings.
    ///
    /// # Errors
    /// If a file name or setting is invalid; settings are named by file, line and key.
    pub fn try_from_args(args: &Args) -> anyhow::Result<Self> {
        let (Some(input), Some(output)) = (args.input.clone(), args.output.clone()) else {
            bail!("--input and --output are required")
        };
        Format::from_path(&output)?;
        Format::from_path(&input)?;
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
        let bounds = OutlierBounds::from_section(&process.trim, &schema).map_err(located)?;

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
            bounds,
            key,
            settings,
            config_file,
            force: args.global.force,
        })
    }
}

impl Config {
    /// Index of a column of the configuration, which is known to exist.
    pub(crate) fn index_of(&self, name: &str) -> usize {
        self.schema.index_of(name).unwrap_or_default()
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
    let place = schema.index_of(key);
    if place.is_none() || *key == schema.target().name {
        let message = format!("\"{key}\" is not a column that can be a key");
        return Err(SettingError::new(&["process", "split", "key"], message));
    }
    Ok(place)
}
