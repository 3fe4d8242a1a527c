//! A connection: the requests under way on it, what they hold until their answers are sent, and the list of all connections.

use std::{
    any::Any,
    collections::HashMap,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    response::Response,
};
use hyper::body::{Frame, SizeHint};
use rustc_hash::FxBuildHasher;
use tokio::{task::yield_now, time::sleep};

use crate::admission::{
    address::Address,
    eviction::{Candidate, Notice, Searches, choose},
};

/// What a request holds until its answer is sent: permits and memory. It is given back when the last copy is dropped.
#[derive(Clone)]
pub(crate) struct Held(#[expect(dead_code, reason = "it is dropped, not read")] Arc<dyn Any + Send + Sync>);

impl Held {
    /// Ties what is held to an answer.
    pub(crate) fn attach(answer: &mut Response, held: impl Any + Send + Sync) {
        answer.extensions_mut().insert(Self(Arc::new(held)));
    }
}

/// A connection of a client.
#[derive(Default)]
pub(crate) struct Connection {
    /// Requests that began on it.
    begun: AtomicU64,
    /// Requests whose answers are not sent to the last byte.
    under_way: AtomicU32,
    /// Answers that were handed over whole, and wait for the bytes before them to be sent.
    handed_over: AtomicU32,
    /// Of those, the ones that are counted as under way by the whole server.
    counted: AtomicU32,
    /// Turns that the connection had among all that are served.
    turns: AtomicU64,
    /// The turn in which the last request began.
    last: AtomicU64,
    state: Mutex<State>,
    /// Given when another connection needs its place.
    pub(crate) notice: Notice,
}

#[derive(Default)]
struct State {
    /// When a request last began or ended; none on a new connection.
    active: Option<Instant>,
    /// Since when the client takes no byte of what waits for it.
    stalled: Option<Instant>,
    /// What answers hold that were handed over.
    held: Vec<Held>,
    /// What a request under way holds, if it is more than its place.
    holds: bool,
}

impl Connection {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no request ever came.
    pub(crate) fn is_new(&self) -> bool {
        self.begun.load(Ordering::Relaxed) == 0
    }

    /// Counts the turns of a connection; never ready.
    pub(crate) async fn count_turns(&self) {
        poll_fn(|_| {
            self.turns.fetch_add(1, Ordering::Relaxed);
            Poll::<()>::Pending
        })
        .await;
    }

    /// Lets others have their turn before a second request of the same turn: one client may send many at once.
    pub(crate) async fn take_turn(&self) {
        let turn = self.turns.load(Ordering::Relaxed);
        if self.last.swap(turn, Ordering::Relaxed) == turn {
            yield_now().await;
            self.last.store(self.turns.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Waits until nothing was asked for, and no answer waited to be sent, for as long as this, or twice that.
    pub(crate) async fn idle(&self, time: Duration) {
        let mut seen = self.begun.load(Ordering::Relaxed);
        loop {
            sleep(time).await;
            let begun = self.begun.load(Ordering::Relaxed);
            if begun == seen && self.under_way.load(Ordering::Relaxed) == 0 {
                return;
            }
            seen = begun;
        }
    }

    /// Notes that the client takes nothing, or that it does again.
    pub(crate) fn stall(&self, since: Option<Instant>) {
        self.state().stalled = since;
    }

    /// Everything that was handed over is sent: gives back what was held for it. True if that ends an answer.
    pub(crate) fn sent(&self, in_flight: &'static AtomicI64) -> bool {
        if self.handed_over.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let ended = self.handed_over.swap(0, Ordering::Relaxed);
        in_flight.fetch_sub(i64::from(self.counted.swap(0, Ordering::Relaxed)), Ordering::Relaxed);
        self.under_way.fetch_sub(ended, Ordering::Relaxed);
        let held = {
            let mut state = self.state();
            state.active = Some(Instant::now());
            state.stalled = None;
            state.holds = false;
            std::mem::take(&mut state.held)
        };
        drop(held);
        true
    }
}

/// A request under way: until the last byte of its answer is sent, or the connection is gone.
pub(crate) struct InFlightGuard {
    in_flight: &'static AtomicI64,
    connection: Arc<Connection>,
    counted: bool,
    held: Option<Held>,
}

impl InFlightGuard {
    /// Begins a request.
    pub(crate) fn begin(in_flight: &'static AtomicI64, connection: Arc<Connection>) -> Self {
        connection.begun.fetch_add(1, Ordering::Relaxed);
        connection.under_way.fetch_add(1, Ordering::Relaxed);
        Self { in_flight, connection, counted: false, held: None }
    }

    /// Counts it among the requests that are worked on, once its body has come; returns how many there are.
    pub(crate) fn count(&mut self) -> i64 {
        if self.counted {
            return self.in_flight.load(Ordering::Relaxed);
        }
        self.counted = true;
        self.in_flight.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Keeps itself and what the answer holds until the answer is sent.
    pub(crate) fn until_sent(mut self, mut answer: Response) -> Response<Answer> {
        self.held = answer.extensions_mut().remove::<Held>();
        if self.held.is_some() {
            self.connection.state().holds = true;
        }
        answer.map(|body| Answer { body, _under_way: self })
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            self.connection.state().held.push(held);
        }
        self.connection.counted.fetch_add(u32::from(self.counted), Ordering::Relaxed);
        self.connection.handed_over.fetch_add(1, Ordering::Relaxed);
    }
}

/// The body of an answer. It is dropped when its last part was handed over.
pub(crate) struct Answer {
    body: Body,
    _under_way: InFlightGuard,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection in the list of all, with its client and when it came.
type Entry = (Address, Instant, Arc<Connection>);
/// One of so many connections is closed at a time, so that the list is not searched for every new connection.
const CLOSED_SHARE: usize = 64;

/// All connections of a listener.
#[derive(Default)]
pub(crate) struct Connections {
    open: Mutex<HashMap<u64, Entry, FxBuildHasher>>,
    next: AtomicU64,
    idle: Searches,
    stalled: Searches,
}

/// A place among the connections, until it is dropped.
pub(crate) struct Place {
    connections: Arc<Connections>,
    id: u64,
    in_flight: &'static AtomicI64,
    connection: Arc<Connection>,
}

impl Connections {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, Entry, FxBuildHasher>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a connection.
    pub(crate) fn enter(
        self: &Arc<Self>,
        in_flight: &'static AtomicI64,
        address: Address,
        connection: Arc<Connection>,
    ) -> Place {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.open().insert(id, (address, Instant::now(), connection.clone()));
        Place { connections: self.clone(), id, in_flight, connection }
    }

    /// Closes connections on which nothing is under way; false if there are none.
    pub(crate) fn close_idle(&self) -> bool {
        let idle = |connection: &Connection, came| {
            let idle = connection.under_way.load(Ordering::Relaxed) == 0;
            idle.then(|| connection.state().active.unwrap_or(came))
        };
        self.idle.run(|| self.close(idle)) > 0
    }

    /// Closes all connections on which nothing is under way.
    pub(crate) fn close_all_idle(&self) {
        let open = self.open();
        let idle = open.values().filter(|(_, _, connection)| connection.under_way.load(Ordering::Relaxed) == 0);
        idle.for_each(|(_, _, connection)| connection.notice.give());
    }

    /// Closes connections whose clients have taken nothing of an answer for this long; with `holding`, of those that hold more than
    /// their place. False if there are none.
    pub(crate) fn close_stalled(&self, time: Duration, holding: bool) -> bool {
        let now = Instant::now();
        let stalled = |connection: &Connection, _| {
            let state = connection.state();
            state.stalled.filter(|since| now.duration_since(*since) >= time && (state.holds || !holding))
        };
        self.stalled.run(|| self.close(stalled)) > 0
    }

    fn close(&self, waits_since: impl Fn(&Connection, Instant) -> Option<Instant>) -> usize {
        let open = self.open();
        let candidates = open.values().filter(|(_, _, connection)| !connection.notice.is_given());
        let candidates = candidates.filter_map(|(address, came, connection)| {
            let since = waits_since(connection, *came)?;
            Some(Candidate { address: *address, weight: 1, since, item: connection })
        });
        let chosen = choose(candidates, open.len() / CLOSED_SHARE + 1);
        chosen.iter().for_each(|connection| connection.notice.give());
        chosen.len()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open().remove(&self.id);
        // whatever was not sent never will be
        self.connection.sent(self.in_flight);
    }
}
