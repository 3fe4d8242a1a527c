//! Loads a model for a server, and measures whether it is fast enough for the threads of connections.

use std::{
    ops::Deref,
    time::{Duration, Instant},
};

use anyhow::Context;
use inference::loaded_model::LoadedModel;
use model_source::Source;

/// A model that takes longer for a row does not run on the threads of connections.
const INLINE_LATENCY_LIMIT: Duration = Duration::from_micros(500);

/// A model that a server has loaded.
#[derive(Debug)]
pub(crate) struct DeployedModel {
    model: LoadedModel,
    /// Milliseconds since 1970.
    pub(crate) loaded_at_ms: u64,
    /// Whether a row is predicted and explained within [`INLINE_LATENCY_LIMIT`].
    pub(crate) is_quick: bool,
}

impl Deref for DeployedModel {
    type Target = LoadedModel;

    fn deref(&self) -> &LoadedModel {
        &self.model
    }
}

impl DeployedModel {
    /// Loads a model, and predicts a typical row. `window` and `coverage` are those of [`LoadedModel::new`].
    ///
    /// # Errors
    /// If it is absent or invalid, or does not predict the row.
    pub(crate) fn load(source: &Source, window: u64, coverage: Option<f64>) -> anyhow::Result<Self> {
        let model = LoadedModel::new(source.load()?, window, coverage).with_context(|| source.to_string())?;
        // the row was predicted before, so that caches are warm
        let started = Instant::now();
        model.predict_typical_row().with_context(|| source.to_string())?;
        let is_quick = started.elapsed() < INLINE_LATENCY_LIMIT;
        Ok(Self { model, loaded_at_ms: cli::now_ms(), is_quick })
    }
}
