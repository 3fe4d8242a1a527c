//! What all requests share.

use std::{
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use features::Cell;
use predictor::Workbench;
use rustc_hash::FxBuildHasher;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    admission::{
        address::{Address, Proxies},
        auth::Access,
        limits::{Limits, RateLimit},
        memory_budget::{self, Memory, Reservation},
        unfinished_bodies::Arrivals,
        work::{StopOnDrop, Turns, Work},
    },
    engine::Engine,
    http::error::Refusal,
    server::connection::Connections,
    telemetry::{log::Log, metrics::Metrics, prediction_log::Journal, realised_error::Feedback},
};

/// Rows that wait for the challenger in the background at most.
const SHADOWED: usize = 1000;
/// Tables that may come as streams, a batch that may be under way.
pub(crate) const STREAMS: usize = 8;
/// How long a batch waits for its turn.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long an Arrow message that has come waits for memory: those before it are worked on.
const MESSAGE_PATIENCE: Duration = Duration::from_secs(5);
/// A client that has taken nothing of its answer for this long gives way to others.
pub(crate) const STALLED: Duration = Duration::from_secs(1);
/// The header by which a caller asks for one of the models.
const CHOICE: &str = "x-model";

/// The models that answer.
#[derive(Debug)]
pub(crate) struct Models {
    pub(crate) champion: Arc<Engine>,
    pub(crate) challenger: Option<Arc<Engine>>,
    /// The description of the API.
    pub(crate) openapi: String,
}

impl Models {
    /// Each with its role.
    pub(crate) fn roles(&self) -> Vec<(&'static str, &Engine)> {
        let challenger = self.challenger.iter().map(|engine| (Role::Challenger.name(), &**engine));
        [(Role::Champion.name(), &*self.champion)].into_iter().chain(challenger).collect()
    }
}

/// How requests are divided between the models.
#[derive(Clone, Debug, Default)]
pub(crate) struct Division {
    /// The challenger's share.
    pub(crate) share: f64,
    /// The header that decides; else the request's id.
    pub(crate) key: Option<String>,
}

/// Which of the models it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    Champion,
    Challenger,
    /// The challenger, in the background.
    Shadow,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Champion => "champion",
            Self::Challenger => "challenger",
            Self::Shadow => "shadow",
        }
    }
}

/// A row that the challenger is to predict, too, and what the champion said.
pub(crate) struct Shadowed {
    cells: Vec<Cell<'static>>,
    value: f64,
}

/// The one [`App`] of a process. Requests on several processors would otherwise spend their time counting who holds it.
pub(crate) type Shared = &'static App;

/// Everything that requests share.
pub(crate) struct App {
    pub(crate) models: ArcSwap<Models>,
    pub(crate) division: Division,
    pub(crate) metrics: Metrics,
    pub(crate) log: Log,
    pub(crate) limits: Limits,
    pub(crate) rate_limit: Option<RateLimit>,
    pub(crate) access: Access,
    pub(crate) proxies: Proxies,
    pub(crate) journal: Option<Journal>,
    pub(crate) feedback: Feedback,
    /// Batches that may begin.
    batches: Arc<Semaphore>,
    /// Tables that may come at a time. They come as slowly as their senders like, so that they do not take turns.
    streams: Arc<Semaphore>,
    /// Bodies that have not come whole, and the memory of those of batches.
    pub(crate) arrivals: Arc<Arrivals>,
    /// Connections of the API.
    pub(crate) connections: Arc<Connections>,
    /// What requests may hold in memory together.
    pub(crate) memory: Memory,
    /// The turns that blocks of rows take.
    turns: Turns,
    /// Requests whose body has come, and whose answer is not sent to its last byte.
    pub(crate) in_flight: AtomicI64,
    /// The server is going down: it is no longer ready, and answers what still comes on the connections that it has.
    pub(crate) draining: AtomicBool,
    shadow: Option<SyncSender<Shadowed>>,
}

impl App {
    /// The model that answers a request.
    ///
    /// # Errors
    /// If the request asks for one that there is not.
    pub(crate) fn choose<'a>(
        &self,
        models: &'a Models,
        headers: &HeaderMap,
        request_id: &str,
    ) -> Result<(Role, &'a Arc<Engine>), Refusal> {
        let champion = || Ok((Role::Champion, &models.champion));
        let asked = headers.get(CHOICE).map(|value| value.to_str().unwrap_or_default());
        let Some(challenger) = &models.challenger else {
            return match asked {
                None | Some("champion") => champion(),
                Some("challenger") => Err(Refusal::bad_request("there is no challenger here")),
                Some(other) => Err(unknown_choice(other)),
            };
        };
        match asked {
            Some("champion") => return champion(),
            Some("challenger") => return Ok((Role::Challenger, challenger)),
            Some(other) => return Err(unknown_choice(other)),
            None => {}
        }
        if self.division.share <= 0.0 {
            return champion();
        }
        let key = self.division.key.as_ref().and_then(|key| headers.get(key)).map(HeaderValue::as_bytes);
        let hash = FxBuildHasher.hash_one(key.unwrap_or(request_id.as_bytes()));
        // the highest bits are those that are well mixed
        let place = (hash >> 11) as f64 / (1_u64 << 53) as f64;
        if place < self.division.share { Ok((Role::Challenger, challenger)) } else { champion() }
    }

    /// Lets the challenger predict a row, too, in the background.
    pub(crate) fn shadow(&self, cells: &[Cell], value: f64) {
        let Some(queue) = &self.shadow else { return };
        // rows that find no room are not compared
        let _ = queue.try_send(Shadowed { cells: cells.iter().map(owned).collect(), value });
    }

    /// Predicts rows in the background by the challenger.
    fn compare(&self, rows: &Receiver<Shadowed>) {
        let mut bench = Workbench::default();
        while let Ok(row) = rows.recv() {
            let models = self.models.load_full();
            let Some(challenger) = &models.challenger else { continue };
            let started = Instant::now();
            if let Ok(found) = challenger.predictor.predict_row(&row.cells, challenger.about.coverage, &mut bench) {
                self.metrics.predicted(Role::Shadow, 1, started.elapsed());
                self.metrics.shadow_difference.observe((found.value - row.value).abs());
            }
        }
    }

    /// The right to begin a batch, of which there are as many as the machine has use for: waited for a moment. It is to be held until the
    /// answer is sent; a client that does not take its own gives way.
    ///
    /// # Errors
    /// If all are taken.
    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        self.permit(&self.batches, || self.connections.close_stalled(STALLED, true)).await
    }

    /// A place for a table of `address` that comes as a stream, to be held until the answer is sent. One that does not go on gives way.
    ///
    /// # Errors
    /// If all are taken.
    pub(crate) async fn stream(&self, address: Address) -> Result<OwnedSemaphorePermit, Refusal> {
        let give_way = || self.arrivals.close_stream(address) || self.connections.close_stalled(STALLED, true);
        self.permit(&self.streams, give_way).await
    }

    async fn permit(&self, of: &Arc<Semaphore>, give_way: impl FnOnce() -> bool) -> Result<OwnedSemaphorePermit, Refusal> {
        if let Ok(permit) = of.clone().try_acquire_owned() {
            return Ok(permit);
        }
        give_way();
        match timeout(PATIENCE, of.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(self.too_many_batches()),
        }
    }

    /// Memory for a request of `address`. Where others hold it, a stream or an answer that waits for its client gives way.
    ///
    /// # Errors
    /// If it does not come back within a moment.
    pub(crate) async fn reserve(&self, bytes: u64, address: Address) -> Result<Reservation, Refusal> {
        self.reserve_within(PATIENCE, bytes, address).await
    }

    /// Memory for what is made of an Arrow message.
    ///
    /// # Errors
    /// If it does not come back within a few seconds.
    pub(crate) async fn reserve_message(&self, bytes: u64, address: Address) -> Result<Reservation, Refusal> {
        self.reserve_within(MESSAGE_PATIENCE, bytes, address).await
    }

    /// Memory for the body of a single row, of so many bytes, where it is large enough to count.
    ///
    /// # Errors
    /// If other requests hold it.
    pub(crate) fn reserve_row(&self, body: usize) -> Result<Option<Reservation>, Refusal> {
        let reserve = |cost| self.memory.reserve(cost).ok_or_else(|| self.too_many_batches());
        memory_budget::row_cost(body as u64).map(reserve).transpose()
    }

    async fn reserve_within(&self, time: Duration, bytes: u64, address: Address) -> Result<Reservation, Refusal> {
        if let Some(held) = self.memory.reserve(bytes) {
            return Ok(held);
        }
        let _ = self.arrivals.close_stream(address) || self.connections.close_stalled(STALLED, true);
        match timeout(time, self.memory.wait(bytes)).await {
            Ok(Some(held)) => Ok(held),
            _ => Err(self.too_many_batches()),
        }
    }

    /// The work for a request, and what stops it.
    pub(crate) fn start_work(&self) -> (Work, StopOnDrop) {
        Work::start(&self.turns)
    }

    /// The refusal where others have all that there is.
    pub(crate) fn too_many_batches(&self) -> Refusal {
        self.metrics.shed("batches");
        Refusal::busy(StatusCode::SERVICE_UNAVAILABLE, "as many batches as can be are under way", 1)
    }

    /// Whether the server is going down.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// What [`App::start`] puts together.
pub(crate) struct Parts {
    pub(crate) models: Models,
    pub(crate) division: Division,
    pub(crate) metrics: Metrics,
    pub(crate) log: Log,
    pub(crate) limits: Limits,
    pub(crate) rate_limit: Option<RateLimit>,
    pub(crate) access: Access,
    pub(crate) proxies: Proxies,
    pub(crate) journal: Option<Journal>,
}

impl App {
    /// Puts the parts together, for as long as the process lives.
    pub(crate) fn start(parts: Parts) -> Shared {
        let Parts { models, division, metrics, log, limits, rate_limit, access, proxies, journal } = parts;
        let batches = Arc::new(Semaphore::new(limits.batches));
        let streams = Arc::new(Semaphore::new(STREAMS * limits.batches));
        let arrivals = Arc::new(Arrivals::new(limits.unfinished, limits.body, metrics.shed_counter("unfinished")));
        let fields = models.roles().iter().map(|(_, engine)| engine.fields.fields.len()).max().unwrap_or_default();
        let memory = Memory::new(limits.body, limits.rows, fields);
        let (queue, rows) = sync_channel::<Shadowed>(SHADOWED);
        let shadow = (models.challenger.is_some() && division.share <= 0.0).then_some(queue);
        let feedback = Feedback::new(metrics.feedback_joined.clone());
        let app: Shared = Box::leak(Box::new(Self {
            models: ArcSwap::from_pointee(models),
            division,
            metrics,
            log,
            limits,
            rate_limit,
            access,
            proxies,
            journal,
            feedback,
            batches,
            arrivals,
            connections: Arc::default(),
            memory,
            turns: Turns::default(),
            streams,
            in_flight: AtomicI64::new(0),
            draining: AtomicBool::new(false),
            shadow,
        }));
        if app.shadow.is_some() {
            thread::spawn(move || app.compare(&rows));
        }
        app
    }
}

fn unknown_choice(other: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, format!("{CHOICE}: \"{other}\" is neither champion nor challenger"))
}

fn owned(cell: &Cell) -> Cell<'static> {
    match cell {
        Cell::Missing => Cell::Missing,
        Cell::Number(value) => Cell::Number(*value),
        Cell::Level(level) => Cell::Level(level.clone().into_owned().into()),
    }
}
