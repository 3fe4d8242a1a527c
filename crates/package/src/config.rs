//! The validated configuration of the stage.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use artifact::RunPaths;
use evaluation::validate_champion_section;
use schema::{ConfigError, GateBound, PipelineConfig, Schema};
use tracking::ModelUri;

use model_source::registered;

use crate::{args::Args, gates::gate_name::GateName};

/// The configuration of the stage.
#[derive(Debug)]
pub struct Config {
    pub(crate) trained: PathBuf,
    pub(crate) output: PathBuf,
    /// The input paths. The output paths are compared with them once they are known.
    pub(crate) paths: RunPaths,
    pub(crate) pipeline: PipelineConfig,
    pub(crate) schema: Schema,
    pub(crate) pipeline_path: PathBuf,
    pub(crate) pipeline_text: String,
    pub(crate) champion: Option<String>,
    pub(crate) tracking_uri: Option<String>,
    /// The `serve` program for the replay.
    pub(crate) serve: PathBuf,
    pub(crate) allow: Vec<GateName>,
    pub(crate) reason: Option<String>,
    pub(crate) force: bool,
}

impl Config {
    /// The run record of `train`.
    pub(crate) fn metrics_path(&self) -> PathBuf {
        self.trained.join("metrics.json")
    }
}

impl Config {
    /// Reads and validates the configuration.
    ///
    /// # Errors
    /// If the configuration is invalid; messages name file, line and key.
    pub fn try_from_args(args: &Args) -> anyhow::Result<Self> {
        let (Some(models_dir), Some(output)) = (&args.models_dir, &args.output) else {
            bail!("--models-dir and --output are required")
        };
        let path = &args.pipeline_config;
        let trained = models_dir.join("trained");
        let paths = RunPaths::default()
            .input("--pipeline-config", path)
            .stage_input("--models-dir", &trained.join("model.bin"))
            .new_files_in("--output", output);
        let paths = match args.gates.champion.as_deref() {
            Some(named) if ModelUri::parse(named).is_some() => {
                registered::location(args.gates.mlflow_tracking_uri.as_deref())?.add_inputs(paths, "--champion")
            }
            Some(named) => paths.input("--champion", Path::new(named)),
            None => paths,
        };
        paths.check()?;
        let text = cli::read_text(path, "--pipeline-config")?;
        let at = |error: ConfigError| anyhow::anyhow!("{}:{error}", path.display());
        let pipeline = PipelineConfig::parse(&text).map_err(at)?;
        let schema = Schema::from_section(&pipeline.table).map_err(|error| at(error.locate(&text)))?;
        for (metric, GateBound { min, max }) in pipeline.package.gate.iter() {
            let invalid_bound = |message: &str| Err(at(ConfigError::at(&text, &["package", "gate", metric], message)));
            match (min, max) {
                (None, None) => return invalid_bound("needs min or max"),
                (Some(min), Some(max)) if min > max => return invalid_bound(&format!("min {min} is above max {max}")),
                _ => {}
            }
        }
        let section = &pipeline.package;
        if let Err((key, message)) = validate_champion_section(&section.champion) {
            return Err(at(ConfigError::at(&text, &["package", "champion", key], message)));
        }
        for (part, key, value) in [
            ("coverage", "max_shortfall", section.coverage.max_shortfall),
            ("leakage", "max_r2_alone", section.leakage.max_r2_alone),
            ("leakage", "max_copied_rows", section.leakage.max_copied_rows),
        ] {
            if !(0.0..=1.0).contains(&value) {
                let message = format!("{value} is not a share from 0 to 1");
                return Err(at(ConfigError::at(&text, &["package", part, key], message)));
            }
        }
        let gates = &args.gates;
        let reason = gates.reason.as_deref().map(str::trim).map(str::to_owned);
        ensure!(reason.as_deref() != Some(""), "--reason: must not be empty; it is stored in the bundle");
        let serve = match &gates.serve {
            Some(serve) => serve.clone(),
            None => cli::program("serve").context(
                "cannot find `serve` beside this program or on the PATH; it must serve the bundle before it is packaged. \
                 Build it, or name one with --serve",
            )?,
        };
        ensure!(serve.is_file(), "--serve {}: no such file", serve.display());
        let paths = paths.input("--serve", &serve);
        Ok(Self {
            trained,
            output: output.clone(),
            paths,
            pipeline,
            schema,
            pipeline_path: path.clone(),
            pipeline_text: text,
            champion: gates.champion.clone(),
            tracking_uri: gates.mlflow_tracking_uri.clone(),
            serve,
            allow: gates.allow.clone(),
            reason,
            force: args.global.force,
        })
    }
}
