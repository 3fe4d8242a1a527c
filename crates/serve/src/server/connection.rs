//! The connections of a listener, their requests under way, and the resources that those hold until their responses are sent.

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
    eviction::{EvictionCandidate, EvictionNotice, SearchThrottle, choose},
};

/// Permits and memory that a request holds until its response is sent. They are released when the last copy is dropped.
#[derive(Clone)]
pub(crate) struct RequestResources(#[expect(dead_code, reason = "it is dropped, not read")] Arc<dyn Any + Send + Sync>);

impl RequestResources {
    /// Attaches resources to a response.
    pub(crate) fn attach(answer: &mut Response, held: impl Any + Send + Sync) {
        answer.extensions_mut().insert(Self(Arc::new(held)));
    }
}

/// A connection of a client.
#[derive(Default)]
pub(crate) struct HttpConnection {
    /// Requests that began on it.
    begun: AtomicU64,
    /// Requests whose responses are not completely sent.
    under_way: AtomicU32,
    /// Responses that were passed to the connection completely, and whose last bytes are not sent.
    handed_over: AtomicU32,
    /// The number of those that the server counts as under way.
    counted: AtomicU32,
    /// How often the connection was polled.
    block_permits: AtomicU64,
    /// The poll in which the last request began.
    last: AtomicU64,
    state: Mutex<ConnectionState>,
    /// Sent when the connection must close in favour of another.
    pub(crate) notice: EvictionNotice,
}

#[derive(Default)]
struct ConnectionState {
    /// When a request last began or ended; none on a new connection.
    active: Option<Instant>,
    /// Since when the client does not read the bytes that wait for it.
    stalled: Option<Instant>,
    /// Resources of responses that were passed to the connection.
    held: Vec<RequestResources>,
    /// Whether a request under way holds resources besides its connection.
    holds: bool,
}

impl HttpConnection {
    fn state(&self) -> MutexGuard<'_, ConnectionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no request has begun on it.
    pub(crate) fn is_new(&self) -> bool {
        self.begun.load(Ordering::Relaxed) == 0
    }

    /// Counts the polls of a connection; never ready.
    pub(crate) async fn count_turns(&self) {
        poll_fn(|_| {
            self.block_permits.fetch_add(1, Ordering::Relaxed);
            Poll::<()>::Pending
        })
        .await;
    }

    /// Yields before a second request in one poll, because one client may send many requests at once.
    pub(crate) async fn take_turn(&self) {
        let turn = self.block_permits.load(Ordering::Relaxed);
        if self.last.swap(turn, Ordering::Relaxed) == turn {
            yield_now().await;
            self.last.store(self.block_permits.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Waits until the connection was idle for `time`, or at most twice that: no request began, and no response was unsent.
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

    /// Sets since when the client has not read, or none if it reads.
    pub(crate) fn stall(&self, since: Option<Instant>) {
        self.state().stalled = since;
    }

    /// Releases the resources of all passed responses, because their bytes are sent. True if there were any.
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

/// A request under way, until its response is completely sent or the connection is closed.
pub(crate) struct InFlightGuard {
    in_flight: &'static AtomicI64,
    connection: Arc<HttpConnection>,
    counted: bool,
    held: Option<RequestResources>,
}

impl InFlightGuard {
    /// Begins a request.
    pub(crate) fn begin(in_flight: &'static AtomicI64, connection: Arc<HttpConnection>) -> Self {
        connection.begun.fetch_add(1, Ordering::Relaxed);
        connection.under_way.fetch_add(1, Ordering::Relaxed);
        Self { in_flight, connection, counted: false, held: None }
    }

    /// Counts the request as under way, once its body is complete; returns the number of those requests.
    pub(crate) fn count(&mut self) -> i64 {
        if self.counted {
            return self.in_flight.load(Ordering::Relaxed);
        }
        self.counted = true;
        self.in_flight.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Keeps itself and the resources of the response until the response is sent.
    pub(crate) fn until_sent(mut self, mut answer: Response) -> Response<ResponseBody> {
        self.held = answer.extensions_mut().remove::<RequestResources>();
        if self.held.is_some() {
            self.connection.state().holds = true;
        }
        answer.map(|body| ResponseBody { body, _under_way: self })
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

/// The body of a response. It is dropped when its last part was passed to the connection.
pub(crate) struct ResponseBody {
    body: Body,
    _under_way: InFlightGuard,
}

impl HttpBody for ResponseBody {
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

/// A connection in the list, with its client's address and the time when it opened.
type ConnectionEntry = (Address, Instant, Arc<HttpConnection>);
/// The part (one of this many) of all connections that is closed at a time, so that not every new connection searches the list.
const EVICTION_SHARE: usize = 64;

/// All connections of a listener.
#[derive(Default)]
pub(crate) struct Connections {
    open: Mutex<HashMap<u64, ConnectionEntry, FxBuildHasher>>,
    next: AtomicU64,
    idle: SearchThrottle,
    stalled: SearchThrottle,
}

/// An entry in the list of connections, removed when dropped.
pub(crate) struct ConnectionSlot {
    connections: Arc<Connections>,
    id: u64,
    in_flight: &'static AtomicI64,
    connection: Arc<HttpConnection>,
}

impl Connections {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, ConnectionEntry, FxBuildHasher>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection to the list.
    pub(crate) fn register(
        self: &Arc<Self>,
        in_flight: &'static AtomicI64,
        address: Address,
        connection: Arc<HttpConnection>,
    ) -> ConnectionSlot {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.open().insert(id, (address, Instant::now(), connection.clone()));
        ConnectionSlot { connections: self.clone(), id, in_flight, connection }
    }

    /// Closes some connections without a request under way; false if there are none.
    pub(crate) fn close_idle(&self) -> bool {
        let idle = |connection: &HttpConnection, opened_at| {
            let idle = connection.under_way.load(Ordering::Relaxed) == 0;
            idle.then(|| connection.state().active.unwrap_or(opened_at))
        };
        self.idle.run(|| self.close(idle)) > 0
    }

    /// Closes all connections without a request under way.
    pub(crate) fn close_all_idle(&self) {
        let open = self.open();
        let idle = open.values().filter(|(_, _, connection)| connection.under_way.load(Ordering::Relaxed) == 0);
        idle.for_each(|(_, _, connection)| connection.notice.send());
    }

    /// Closes some connections whose clients have read nothing of a response for `time`; false if there are none. With `holding`, only
    /// connections are closed whose requests hold resources.
    pub(crate) fn close_stalled(&self, time: Duration, holding: bool) -> bool {
        let now = Instant::now();
        let stalled = |connection: &HttpConnection, _| {
            let state = connection.state();
            state.stalled.filter(|since| now.duration_since(*since) >= time && (state.holds || !holding))
        };
        self.stalled.run(|| self.close(stalled)) > 0
    }

    fn close(&self, waits_since: impl Fn(&HttpConnection, Instant) -> Option<Instant>) -> usize {
        let open = self.open();
        let candidates = open.values().filter(|(_, _, connection)| !connection.notice.is_sent());
        let candidates = candidates.filter_map(|(address, opened_at, connection)| {
            let since = waits_since(connection, *opened_at)?;
            Some(EvictionCandidate { address: *address, weight: 1, since, item: connection })
        });
        let chosen = choose(candidates, open.len() / EVICTION_SHARE + 1);
        chosen.iter().for_each(|connection| connection.notice.send());
        chosen.len()
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.connections.open().remove(&self.id);
        // unsent bytes will never be sent
        self.connection.sent(self.in_flight);
    }
}
