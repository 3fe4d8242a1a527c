//! Lets the challenger predict the champion's rows in the background, so that no request waits for it.

use std::{
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Instant,
};

use arc_swap::ArcSwap;
use predictor::Scratch;
use schema::CellValue;

use crate::{
    models::{deployed::DeployedModels, role::Role},
    telemetry::metrics::ServerMetrics,
};

/// The maximum number of rows that wait for the challenger; further rows are not compared.
const MAX_QUEUED_ROWS: usize = 1000;

/// A row that the champion predicted, and the prediction.
struct ShadowRequest {
    cells: Vec<CellValue<'static>>,
    prediction: f64,
}

/// The rows that wait for the challenger.
pub(crate) struct ShadowQueue(SyncSender<ShadowRequest>);

/// The receiving end of a queue.
pub(crate) struct ShadowRows(Receiver<ShadowRequest>);

impl ShadowQueue {
    /// Adds a row, unless the queue is full.
    pub(crate) fn add(&self, cells: &[CellValue], prediction: f64) {
        let _ =
            self.0.try_send(ShadowRequest { cells: cells.iter().cloned().map(CellValue::into_owned).collect(), prediction });
    }
}

/// Creates a queue and its receiving end.
pub(crate) fn queue() -> (ShadowQueue, ShadowRows) {
    let (queue, rows) = sync_channel(MAX_QUEUED_ROWS);
    (ShadowQueue(queue), ShadowRows(rows))
}

impl ShadowRows {
    /// Predicts the rows on a separate thread, for the lifetime of the process.
    pub(crate) fn predict(self, models: &'static ArcSwap<DeployedModels>, metrics: &'static ServerMetrics) {
        thread::spawn(move || predict_rows(models, metrics, &self.0));
    }
}

fn predict_rows(deployed: &ArcSwap<DeployedModels>, metrics: &ServerMetrics, rows: &Receiver<ShadowRequest>) {
    let mut scratch = Scratch::default();
    while let Ok(row) = rows.recv() {
        let models = deployed.load_full();
        let Some(challenger) = &models.challenger else { continue };
        let started = Instant::now();
        if let Ok(prediction) = challenger.predictor.predict_row(&row.cells, challenger.info.coverage, &mut scratch) {
            metrics.record_predictions(Role::Shadow, 1, started.elapsed());
            metrics.shadow_difference.observe((prediction.value - row.prediction).abs());
        }
    }
}
