//! The state that all requests share.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use arc_swap::ArcSwap;
use schema::CellValue as Cell;

use crate::{
    admission::{
        address::Proxies,
        auth::Access,
        limits::{Limits, RateLimit},
        memory_budget::Memory,
        permits::Permits,
        unfinished_bodies::Arrivals,
        work::{StopOnDrop, Turns, Work},
    },
    models::{
        deployed::{DeployedModels, TrafficSplit},
        shadow::{self, ShadowQueue},
    },
    server::connection::Connections,
    telemetry::{log::Log, metrics::Metrics, prediction_log::PredictionLog, realised_error::RealisedErrors},
};

/// The state of a server. There is one in a process, and it lives as long: reference counting would cost more than a request.
pub(crate) struct AppState {
    pub(crate) models: ArcSwap<DeployedModels>,
    pub(crate) traffic_split: TrafficSplit,
    pub(crate) metrics: Metrics,
    pub(crate) log: Log,
    pub(crate) limits: Limits,
    pub(crate) rate_limit: Option<RateLimit>,
    pub(crate) access: Access,
    pub(crate) proxies: Proxies,
    pub(crate) prediction_log: Option<PredictionLog>,
    pub(crate) realised_errors: RealisedErrors,
    /// Permits and memory for the work of requests.
    pub(crate) permits: Permits,
    /// Bodies that were not received whole, and the memory of those of batches.
    pub(crate) arrivals: Arc<Arrivals>,
    /// Connections of the API.
    pub(crate) connections: Arc<Connections>,
    /// The turns that blocks of rows take.
    turns: Turns,
    /// Requests whose body was received, and whose answer is not sent to its last byte.
    pub(crate) in_flight: AtomicI64,
    /// The server is shutting down: it is not ready, and answers requests of the connections that it has.
    pub(crate) draining: AtomicBool,
    shadow: Option<ShadowQueue>,
}

/// The parts that [`AppState::start`] puts together.
pub(crate) struct AppStateParts {
    pub(crate) models: DeployedModels,
    pub(crate) traffic_split: TrafficSplit,
    pub(crate) metrics: Metrics,
    pub(crate) log: Log,
    pub(crate) limits: Limits,
    pub(crate) rate_limit: Option<RateLimit>,
    pub(crate) access: Access,
    pub(crate) proxies: Proxies,
    pub(crate) prediction_log: Option<PredictionLog>,
}

impl AppState {
    /// Puts the parts together, for as long as the process lives.
    pub(crate) fn start(parts: AppStateParts) -> &'static Self {
        let AppStateParts { models, traffic_split, metrics, log, limits, rate_limit, access, proxies, prediction_log } =
            parts;
        let arrivals = Arc::new(Arrivals::new(limits.unfinished, limits.body, metrics.shed_counter("unfinished")));
        let connections = Arc::<Connections>::default();
        let fields = models.roles().iter().map(|(_, model)| model.row_schema.fields.len()).max().unwrap_or_default();
        let memory = Memory::new(limits.body, limits.rows, fields);
        let refused = metrics.shed_counter("batches");
        let permits = Permits::new(limits.batches, memory, arrivals.clone(), connections.clone(), refused);
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
            arrivals,
            connections,
            turns: Turns::default(),
            in_flight: AtomicI64::new(0),
            draining: AtomicBool::new(false),
            shadow,
        }));
        if let Some(rows) = rows {
            rows.predict(&state.models, &state.metrics);
        }
        state
    }

    /// Lets the challenger predict a row of the champion, too, in the background.
    pub(crate) fn shadow(&self, cells: &[Cell], prediction: f64) {
        if let Some(queue) = &self.shadow {
            queue.add(cells, prediction);
        }
    }

    /// The work for a request, and what stops it.
    pub(crate) fn start_work(&self) -> (Work, StopOnDrop) {
        Work::start(&self.turns)
    }

    /// Whether the server is shutting down.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
