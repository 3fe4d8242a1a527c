//! The state that all requests share.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use arc_swap::ArcSwap;
use schema::CellValue;

use crate::{
    admission::{
        address::Proxies,
        auth::Access,
        limits::{Limits, RateLimit},
        memory_budget::MemoryBudget,
        permits::Permits,
        unfinished_bodies::UnfinishedBodies,
        work::{BlockPermits, StopOnDrop, Work},
    },
    models::{
        deployed::{DeployedModels, TrafficSplit},
        shadow::{self, ShadowQueue},
    },
    server::connection::Connections,
    telemetry::{log::Log, metrics::ServerMetrics, prediction_log::PredictionLog, realised_error::RealisedErrors},
};

/// The state of a server. A process has one, which is never freed: reference counting would cost more than a request.
pub(crate) struct AppState {
    pub(crate) models: ArcSwap<DeployedModels>,
    pub(crate) traffic_split: TrafficSplit,
    pub(crate) metrics: ServerMetrics,
    pub(crate) log: Log,
    pub(crate) limits: Limits,
    pub(crate) rate_limit: Option<RateLimit>,
    pub(crate) access: Access,
    pub(crate) proxies: Proxies,
    pub(crate) prediction_log: Option<PredictionLog>,
    pub(crate) realised_errors: RealisedErrors,
    /// Permits and memory for the work of requests.
    pub(crate) permits: Permits,
    /// Incomplete request bodies, and the memory of all batch bodies.
    pub(crate) unfinished_bodies: Arc<UnfinishedBodies>,
    /// Connections of the API.
    pub(crate) connections: Arc<Connections>,
    /// Permits for concurrent blocks of rows.
    block_permits: BlockPermits,
    /// Requests whose body is complete and whose response is not completely sent.
    pub(crate) in_flight: AtomicI64,
    /// Whether the server is shutting down: it is not ready, and serves only its open connections.
    pub(crate) draining: AtomicBool,
    shadow: Option<ShadowQueue>,
}

/// The parts from which [`AppState::start`] creates the state.
pub(crate) struct AppStateParts {
    pub(crate) models: DeployedModels,
    pub(crate) traffic_split: TrafficSplit,
    pub(crate) metrics: ServerMetrics,
    pub(crate) log: Log,
    pub(crate) limits: Limits,
    pub(crate) rate_limit: Option<RateLimit>,
    pub(crate) access: Access,
    pub(crate) proxies: Proxies,
    pub(crate) prediction_log: Option<PredictionLog>,
}

impl AppState {
    /// Creates the state for the lifetime of the process.
    pub(crate) fn start(parts: AppStateParts) -> &'static Self {
        let AppStateParts { models, traffic_split, metrics, log, limits, rate_limit, access, proxies, prediction_log } =
            parts;
        let unfinished_bodies =
            Arc::new(UnfinishedBodies::new(limits.unfinished, limits.body, metrics.shed_counter("unfinished")));
        let connections = Arc::<Connections>::default();
        let fields = models.roles().iter().map(|(_, model)| model.row_schema.fields.len()).max().unwrap_or_default();
        let memory = MemoryBudget::new(limits.body, limits.rows, fields);
        let rejections = metrics.shed_counter("batches");
        let permits = Permits::new(limits.batches, memory, unfinished_bodies.clone(), connections.clone(), rejections);
        let has_shadow = models.challenger.is_some() && traffic_split.share <= 0.0;
        let (shadow, rows) = has_shadow.then(shadow::queue).unzip();
        let realised_errors = RealisedErrors::new(metrics.feedback_joined.clone());
        let state: &'static Self = Box::leak(Box::new(Self {
            models: ArcSwap::from_pointee(models),
            traffic_split,
            metrics,
            log,
            limits,
            rate_limit,
            access,
            proxies,
            prediction_log,
            realised_errors,
            permits,
            unfinished_bodies,
            connections,
            block_permits: BlockPermits::default(),
            in_flight: AtomicI64::new(0),
            draining: AtomicBool::new(false),
            shadow,
        }));
        if let Some(rows) = rows {
            rows.predict(&state.models, &state.metrics);
        }
        state
    }

    /// Queues a row of the champion for the challenger, which predicts it in the background.
    pub(crate) fn shadow(&self, cells: &[CellValue], prediction: f64) {
        if let Some(queue) = &self.shadow {
            queue.add(cells, prediction);
        }
    }

    /// Starts the work for a request; returns it with the guard that stops it.
    pub(crate) fn start_work(&self) -> (Work, StopOnDrop) {
        Work::start(&self.block_permits)
    }

    /// Whether the server is shutting down.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
