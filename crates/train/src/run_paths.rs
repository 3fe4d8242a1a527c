//! The paths that a training reads and writes, for the check that they are different files.

use std::path::{Path, PathBuf};

use artifact::{Mark, OutputKind, RunPaths, manifest_path};
use model::MODEL;
use tracking::{Location, Spool, SqliteStore, Tracking};

use crate::args::TrackingArgs;

/// The files that a training writes into `<models>/trained`.
#[derive(Clone, Debug)]
pub(crate) struct TrainedFiles {
    pub(crate) model: PathBuf,
    pub(crate) metrics: PathBuf,
    pub(crate) predictions: PathBuf,
    pub(crate) page: PathBuf,
    /// The distributions of training rows and predictions, for drift.
    pub(crate) reference: PathBuf,
}

impl TrainedFiles {
    /// The files below the folder of models.
    pub(crate) fn in_models_dir(models_dir: &Path) -> Self {
        let trained = models_dir.join("trained");
        Self {
            model: trained.join("model.bin"),
            metrics: trained.join("metrics.json"),
            predictions: trained.join("predictions.csv"),
            page: trained.join("report.html"),
            reference: trained.join("reference.json"),
        }
    }

    /// The files with their kinds, the model first.
    fn with_kinds(&self) -> [(&Path, OutputKind); 5] {
        let model = OutputKind { name: "a model of `train`", mark: Mark::Envelope(MODEL.0) };
        let predictions = OutputKind { name: "predictions of `train`", mark: Mark::Text("y_true,y_pred", "") };
        [
            (&self.model, model),
            (&self.metrics, OutputKind::REPORT),
            (&self.predictions, predictions),
            (&self.page, OutputKind::PAGE),
            (&self.reference, OutputKind::REPORT),
        ]
    }
}

/// The name beside the model whose manifest is the note of a training that is being recorded.
const NOTE_NAME: &str = ".recording";

/// The file beside the model whose manifest is the note of a training that is being recorded.
pub(crate) fn note_file(trained: &Path) -> PathBuf {
    trained.join(NOTE_NAME)
}

/// The paths that a training reads and writes, except for its configuration.
pub(crate) fn training_paths(data: &Path, models_dir: &Path, tracking: &Tracking, args: &TrackingArgs) -> RunPaths {
    let files = TrainedFiles::in_models_dir(models_dir);
    let paths = RunPaths::default().stage_input("--data", data);
    let add = |paths: RunPaths, (file, kind)| paths.stage_output("--models-dir", file, kind);
    let paths = files.with_kinds().into_iter().fold(paths, add);
    let note = manifest_path(&note_file(&models_dir.join("trained")));
    let paths = paths.output("--models-dir", &Spool::lock_path(&tracking.spool));
    add_store(paths.output_of_kind("--models-dir", &note, OutputKind::REPORT), tracking, args)
}

/// Adds the database of the store of runs and its artifact folders, in which no other output may be written.
pub(crate) fn add_store(paths: RunPaths, tracking: &Tracking, args: &TrackingArgs) -> RunPaths {
    let beside = SqliteStore::beside_working_directory();
    let label = "the artifacts of the store of runs";
    let paths = match &tracking.location {
        Location::Sqlite { database } => SqliteStore::new(database).add_artifacts(paths, label),
        Location::Server { .. } => beside.add_artifacts(paths, label),
    };
    match &tracking.location {
        Location::Sqlite { database } if args.mlflow_tracking_uri.is_some() => {
            paths.database("--mlflow-tracking-uri", database)
        }
        Location::Sqlite { database } => paths.database("the store of runs", database),
        Location::Server { .. } => paths.database("the store of runs", beside.database()),
    }
}
