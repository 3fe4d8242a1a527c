//! The files that a training reads and writes, for the check that they are different files.

use std::path::{Path, PathBuf};

use artifact::RunPaths;
use tracking::{EmbeddedStore, Location, Spool, Tracking};

use crate::{args::TrackingArgs, stopped_training::note_path};

/// The files that a training writes into `<models>/trained`.
#[derive(Clone, Debug)]
pub(crate) struct TrainedFiles {
    pub(crate) model: PathBuf,
    pub(crate) metrics: PathBuf,
    pub(crate) predictions: PathBuf,
    pub(crate) page: PathBuf,
    /// What training rows and predictions look like.
    pub(crate) reference: PathBuf,
}

impl TrainedFiles {
    /// Those below the folder of models.
    pub(crate) fn below(models_dir: &Path) -> Self {
        let trained = models_dir.join("trained");
        Self {
            model: trained.join("model.bin"),
            metrics: trained.join("metrics.json"),
            predictions: trained.join("predictions.csv"),
            page: trained.join("report.html"),
            reference: trained.join("reference.json"),
        }
    }

    /// All of them, the model first.
    pub(crate) fn all(&self) -> [&PathBuf; 5] {
        [&self.model, &self.metrics, &self.predictions, &self.page, &self.reference]
    }
}

/// What a training reads and writes, but for its configuration.
pub(crate) fn of_training(data: &Path, models_dir: &Path, tracking: &Tracking, args: &TrackingArgs) -> RunPaths {
    let files = TrainedFiles::below(models_dir);
    let paths = RunPaths::default().stage_input("--data", data);
    let paths = files.all().into_iter().fold(paths, |paths, file| paths.stage_output("--models-dir", file));
    let others = [Spool::lock_path(&tracking.spool), note_path(&models_dir.join("trained"))];
    let paths = others.iter().fold(paths, |paths, file| paths.output("--models-dir", file));
    add_store(paths, tracking, args)
}

/// Adds the file where runs are recorded.
pub(crate) fn add_store(paths: RunPaths, tracking: &Tracking, args: &TrackingArgs) -> RunPaths {
    match &tracking.location {
        Location::Sqlite { database } if args.mlflow_tracking_uri.is_some() => {
            paths.database("--mlflow-tracking-uri", database)
        }
        Location::Sqlite { database } => paths.database("the store of runs", database),
        Location::Server { .. } => paths.database("the store of runs", EmbeddedStore::beside_working_directory().database()),
    }
}
