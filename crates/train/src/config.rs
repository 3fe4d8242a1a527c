//! The arguments and the configuration file, checked.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context, bail, ensure};
use artifact::{Digest, FileEntry};
use frame::Format;
use model::{Algorithm, ModelConfig, ModelSection, Parameters};
use serde::Serialize;
use serde_json::Value;
use tracking::Tracking;

use crate::{Args, tracked};

/// Everything `train` needs to know.
#[derive(Debug)]
pub struct Config {
    pub(crate) data: PathBuf,
    pub(crate) model_file: PathBuf,
    pub(crate) metrics_file: PathBuf,
    pub(crate) predictions_file: PathBuf,
    pub(crate) page_file: PathBuf,
    /// Where the run is recorded, and where it waits if that cannot be done.
    pub(crate) tracking: Tracking,
    /// The run's experiment; the model's name, if nothing else is said.
    pub(crate) experiment: String,
    /// A run that is there already, and is to be gone on with.
    pub(crate) resumed: Option<String>,
    /// The run that this one belongs to.
    pub(crate) parent: Option<String>,
    pub(crate) register: bool,
    pub(crate) section: ModelSection,
    pub(crate) algorithm: Algorithm,
    pub(crate) parameters: Parameters,
    pub(crate) seed: u64,
    pub(crate) warnings: Vec<String>,
    pub(crate) settings: Digest,
    pub(crate) config_file: FileEntry,
    pub(crate) config_path: PathBuf,
    pub(crate) force: bool,
}

/// What bears on the outputs.
#[derive(Serialize)]
struct Settings<'a> {
    algorithm: &'a str,
    parameters: BTreeMap<&'static str, Value>,
    seed: u64,
    section: &'a ModelSection,
}

impl Config {
    /// Reads and checks.
    ///
    /// # Errors
    /// If a file name or a setting cannot be used; settings are named by file, line and key.
    pub fn check(args: &Args) -> anyhow::Result<Self> {
        let (Some(path), Some(data), Some(models_dir)) = (&args.config, &args.data, &args.models_dir) else {
            bail!("--config, --data and --models-dir are required")
        };
        Format::of(data)?;
        let text = cli::read_text(path, "--config")?;
        let section = ModelConfig::parse(&text).map_err(|error| anyhow::anyhow!("{}:{error}", path.display()))?.model;
        let located = |message: String| {
            let key = message.split(':').next().unwrap_or_default();
            let keys: Vec<&str> = key.split('.').collect();
            let line = schema::line_of(&text, &keys).map_or(String::new(), |line| format!("{line}: "));
            anyhow::anyhow!("{}:{line}{message}", path.display())
        };
        let nameable = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
        ensure!(
            !section.name.is_empty() && section.name.chars().all(nameable) && !section.name.starts_with('.'),
            located(format!("model.name: \"{}\" is not made of letters, digits, _, - and .", section.name))
        );
        let algorithm = Algorithm::parse(&section.best_model).map_err(located)?;
        let (parameters, seed, mut warnings) = Parameters::check(algorithm, &section.parameters).map_err(located)?;
        ensure!(
            section.cross_validation.folds != 1,
            located(
                "model.cross_validation.folds: 1 fold leaves nothing to learn from; use 0 for none, or 2 and more".into()
            )
        );
        for result in section.results() {
            warnings.push(format!("model.{result} is a result, not a setting; ignored (results are in metrics.json)"));
        }

        let (tracking, warning) = tracked::tracking(&args.tracking, models_dir)?;
        warnings.extend(warning);
        let (resumed, warning) = tracked::resumed();
        warnings.extend(warning);
        if let Some(parent) = &args.parent_run {
            ensure!(tracked::is_run_id(parent), "--parent-run {parent}: is not the id of a run; `train runs` lists them");
        }
        let settings = Digest::of_json(&Settings {
            algorithm: algorithm.name(),
            parameters: parameters.named().into_iter().collect(),
            seed,
            section: &section,
        });
        let trained = models_dir.join("trained");
        Ok(Self {
            data: data.clone(),
            model_file: trained.join("model.bin"),
            metrics_file: trained.join("metrics.json"),
            predictions_file: trained.join("predictions.csv"),
            page_file: trained.join("report.html"),
            tracking,
            experiment: cli::variable("MLFLOW_EXPERIMENT_NAME").unwrap_or_else(|| section.name.clone()),
            resumed,
            parent: args.parent_run.clone(),
            register: args.register,
            section,
            algorithm,
            parameters,
            seed,
            warnings,
            settings,
            config_file: FileEntry::of(path).context("reading the configuration")?,
            config_path: path.clone(),
            force: args.global.force,
        })
    }
}
