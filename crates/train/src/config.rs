//! The validated configuration of a training: arguments and configuration file.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use artifact::{Digest, FileEntry};
use model::{Algorithm, ImportedModel, ModelConfig, ModelSection, Parameters};
use serde::Serialize;
use serde_json::Value;
use table_io::Format;
use tracking::Tracking;

use crate::{
    args::Args,
    run_paths::{self, TrainedFiles},
    tracking::location::{is_run_id, resumed_run, tracking_from_args},
};

/// The configuration of a training.
#[derive(Debug)]
pub struct Config {
    pub(crate) data: PathBuf,
    pub(crate) model_file: PathBuf,
    pub(crate) metrics_file: PathBuf,
    pub(crate) predictions_file: PathBuf,
    pub(crate) page_file: PathBuf,
    /// The distributions of training rows and predictions, for drift.
    pub(crate) reference_file: PathBuf,
    /// The store of the run, and the folder where the run waits if no store can be written.
    pub(crate) tracking: Tracking,
    /// The experiment of the run: by default the name of the model.
    pub(crate) experiment: String,
    /// The id of an existing run to resume.
    pub(crate) resumed: Option<String>,
    /// The id of the parent run.
    pub(crate) parent: Option<String>,
    pub(crate) register: bool,
    /// The file of an imported model, which is not fitted.
    pub(crate) import: Option<FileEntry>,
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

/// The settings that change the outputs.
#[derive(Serialize)]
struct Settings<'a> {
    algorithm: &'a str,
    parameters: BTreeMap<String, Value>,
    seed: u64,
    section: &'a ModelSection,
    import: Option<&'a str>,
}

impl Config {
    /// Reads the configuration file and checks it together with the arguments.
    ///
    /// # Errors
    /// If a file name or a setting cannot be used; settings are named by file, line and key.
    pub fn try_from_args(args: &Args) -> anyhow::Result<Self> {
        let (Some(path), Some(data), Some(models_dir)) = (&args.config, &args.data, &args.models_dir) else {
            bail!("--config, --data and --models-dir are required")
        };
        Format::from_path(data)?;
        let (tracking, tracking_warning) = tracking_from_args(&args.tracking, models_dir)?;
        let paths = run_paths::training_paths(data, models_dir, &tracking, &args.tracking).input("--config", path);
        args.import.iter().fold(paths, |paths, file| paths.input("--import", file)).check()?;
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
            located(format!("model.name: \"{}\" may only contain letters, digits, _, - and .", section.name))
        );
        schema::check_file_name(&section.name).map_err(|message| located(format!("model.name: {message}")))?;
        let (mut algorithm, mut parameters, seed, mut warnings) = section.resolve_parameters().map_err(located)?;
        let mut import = None;
        if let Some(file) = &args.import {
            let text = cli::read_text(file, "--import")?;
            let imported = ImportedModel::parse(&text).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
            (algorithm, parameters) = (Algorithm::Imported, Parameters::Imported(Box::new(imported)));
            import = Some(FileEntry::from_file(file).context("reading the model")?);
        }
        let coverage = section.intervals.coverage;
        ensure!(
            coverage > 0.0 && coverage < 1.0,
            located(format!("model.intervals.coverage: {coverage} is not a share above 0 and below 1"))
        );
        ensure!(
            section.cross_validation.folds != 1,
            located(
                "model.cross_validation.folds: 1 fold leaves no rows to fit on; use 0 for no cross-validation, or at least 2".into()
            )
        );
        ensure!(
            section.sample_weight.is_none() || parameters.accepts_weights(),
            located(format!(
                "model.sample_weight: {} does not support weights; use an algorithm of boosting",
                algorithm.name()
            ))
        );
        for result in section.results() {
            warnings
                .push(format!("model.{result} is a result, not a setting, and is ignored (results are in metrics.json)"));
        }

        warnings.extend(tracking_warning);
        let (resumed, warning) = resumed_run();
        warnings.extend(warning);
        if let Some(parent) = &args.parent_run {
            ensure!(is_run_id(parent), "--parent-run {parent}: is not the id of a run; `train runs` lists them");
        }
        let settings = Digest::of_json(&Settings {
            algorithm: algorithm.name(),
            parameters: parameters.named(None).into_iter().collect(),
            seed,
            section: &section,
            import: import.as_ref().map(|file| file.digest.hex()),
        });
        let files = TrainedFiles::in_models_dir(models_dir);
        Ok(Self {
            data: data.clone(),
            model_file: files.model,
            metrics_file: files.metrics,
            predictions_file: files.predictions,
            page_file: files.page,
            reference_file: files.reference,
            tracking,
            experiment: cli::variable("MLFLOW_EXPERIMENT_NAME").unwrap_or_else(|| section.name.clone()),
            resumed,
            parent: args.parent_run.clone(),
            register: args.register,
            import,
            section,
            algorithm,
            parameters,
            seed,
            warnings,
            settings,
            config_file: FileEntry::from_file(path).context("reading the configuration")?,
            config_path: path.clone(),
            force: args.global.force,
        })
    }

    /// The folder that all files of the training are written into.
    pub(crate) fn trained_folder(&self) -> &Path {
        self.model_file.parent().unwrap_or(Path::new(""))
    }

    /// The configuration file, and the imported model if there is one.
    pub(crate) fn config_files(&self) -> Vec<FileEntry> {
        [&self.config_file].into_iter().chain(&self.import).cloned().collect()
    }
}
