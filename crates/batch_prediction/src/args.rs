//! The arguments as typed.

use std::path::PathBuf;

use clap::Args;

/// The arguments of `predict`.
#[derive(Args, Debug)]
pub struct PredictArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,

    /// Find models:/… in this registry: http://HOST:PORT or sqlite:///FILE.db. By default $MLFLOW_TRACKING_URI, or sqlite:///mlflow.db
    #[arg(long, value_name = "URI", conflicts_with = "models_dir")]
    pub(crate) mlflow_tracking_uri: Option<String>,

    /// Read the rows from this file: .csv, .ndjson, .jsonl, .arrow or .arrows (Arrow streams), or .parquet in `train predict`. A target
    /// column is ignored
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,

    /// Write the valid rows, then a column `prediction` and a last one `warnings`, to this file in one of these formats, and invalid rows
    /// to FILE.quarantine.csv
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// Also write `prediction_low` and `prediction_high`: the prediction interval with this coverage (0.9 without a value)
    #[arg(long, visible_alias = "coverage", value_name = "SHARE", num_args = 0..=1, default_missing_value = "0.9")]
    pub(crate) intervals: Option<f64>,

    /// Also write the contributions of raw columns: `base` and a column `contribution_<COLUMN>` each, which add up to the prediction
    #[arg(long)]
    pub(crate) contributions: bool,
}

/// Where the model is: one of the two.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct ModelArgs {
    /// Load this model: the folder or .tar.gz of a bundle, or models:/NAME@ALIAS or models:/NAME/VERSION of a registry
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,

    /// Load the model from this folder of models, or from the folder of a bundle
    #[arg(long, value_name = "DIR")]
    pub(crate) models_dir: Option<PathBuf>,
}
