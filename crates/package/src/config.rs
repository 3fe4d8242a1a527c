//! The arguments and the configuration file, checked.

use std::path::PathBuf;

use anyhow::bail;
use schema::{ConfigError, GateBound, PipelineConfig, Schema};

use crate::Args;

/// Everything `package` needs to know.
#[derive(Debug)]
pub struct Config {
    pub(crate) trained: PathBuf,
    pub(crate) output: PathBuf,
    pub(crate) pipeline: PipelineConfig,
    pub(crate) schema: Schema,
    pub(crate) pipeline_path: PathBuf,
    pub(crate) pipeline_text: String,
}

impl Config {
    /// Reads and checks.
    ///
    /// # Errors
    /// If the configuration cannot be used; settings are named by file, line and key.
    pub fn check(args: &Args) -> anyhow::Result<Self> {
        let (Some(models_dir), Some(output)) = (&args.models_dir, &args.output) else {
            bail!("--models-dir and --output are required")
        };
        let path = &args.pipeline_config;
        let text = cli::read_text(path, "--pipeline-config")?;
        let at = |error: ConfigError| anyhow::anyhow!("{}:{error}", path.display());
        let pipeline = PipelineConfig::parse(&text).map_err(at)?;
        let schema = Schema::check(&pipeline.table).map_err(|error| at(error.locate(&text)))?;
        for (metric, GateBound { min, max }) in pipeline.package.gate.iter() {
            let fault = |message: &str| Err(at(ConfigError::at(&text, &["package", "gate", metric], message)));
            match (min, max) {
                (None, None) => return fault("needs min or max"),
                (Some(min), Some(max)) if min > max => return fault(&format!("min {min} is above max {max}")),
                _ => {}
            }
        }
        Ok(Self {
            trained: models_dir.join("trained"),
            output: output.clone(),
            pipeline,
            schema,
            pipeline_path: path.clone(),
            pipeline_text: text,
        })
    }
}
