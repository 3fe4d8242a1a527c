//! Takes connections, and lets those that are there end in peace.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};

use crate::{
    admission::{address::Address, permits::STALLED},
    http::{
        endpoint::Listener,
        head::{HeadBytes, LONGEST_HEAD},
    },
    server::{
        connection::{Connection, Connections},
        file_limit::PROBES,
        middleware::{self, Client},
        socket::{Socket, turn_away},
    },
    state::AppState,
};

/// How long a connection may take to say what it wants; an idle one is closed after that, or twice that.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// After a failure to take a connection (no file descriptors, say).
const PAUSE: Duration = Duration::from_millis(20);
/// How long a new connection waits for the place of one that is being closed.
const CLOSING: Duration = Duration::from_millis(100);
/// When the server goes down: how long heads may take that have begun, and bodies of which nothing comes.
const LAST_HEAD: Duration = Duration::from_secs(1);
const LAST_BODY: Duration = Duration::from_secs(5);

/// Serves until `stop` says so; then waits for requests under way, `grace` at most. Returns whether all of them were answered.
pub(crate) async fn serve(
    listener: TcpListener,
    app: &'static AppState,
    door: Listener,
    router: Router,
    mut stop: watch::Receiver<bool>,
    grace: Duration,
) -> bool {
    let (connections, limit) = match door {
        Listener::Api => (app.connections.clone(), app.limits.connections),
        // probes do not compete with the API for connections
        Listener::Metrics => (Arc::default(), PROBES),
    };
    let places = Arc::new(Semaphore::new(limit));
    let graceful = GracefulShutdown::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => {
                let Ok(accepted) = accepted else {
                    sleep(PAUSE).await;
                    continue;
                };
                accepted
            }
            () = stopped(&mut stop) => break,
        };
        if let Some(place) = place(app, door, &connections, &places).await {
            open(app, door, &connections, router.clone(), &graceful, (stream, peer), place);
        } else {
            app.metrics.shed("connections");
            turn_away(stream);
        }
    }
    drop(listener);
    let ended = async {
        tokio::select! {
            () = graceful.shutdown() => {}
            () = close_waiting(app, &connections) => {}
        }
    };
    timeout(grace, ended).await.is_ok()
}

/// While the server goes down: closes connections without a request, and lets bodies give way of which nothing comes. Never ends.
async fn close_waiting(app: &'static AppState, connections: &Connections) {
    sleep(LAST_HEAD).await;
    loop {
        connections.close_all_idle();
        app.arrivals.close_waiting(LAST_BODY);
        sleep(CLOSING).await;
    }
}

/// A place for a new connection: a free one, or that of a connection that waits for its client.
async fn place(
    app: &'static AppState,
    door: Listener,
    connections: &Connections,
    places: &Arc<Semaphore>,
) -> Option<OwnedSemaphorePermit> {
    if let Ok(place) = places.clone().try_acquire_owned() {
        return Some(place);
    }
    let closed = connections.close_idle()
        || (door == Listener::Api && app.arrivals.close_oldest())
        || connections.close_stalled(STALLED, false);
    if !closed {
        return None;
    }
    timeout(CLOSING, places.clone().acquire_owned()).await.ok()?.ok()
}

/// Serves a connection.
fn open(
    app: &'static AppState,
    door: Listener,
    connections: &Arc<Connections>,
    router: Router,
    graceful: &GracefulShutdown,
    (stream, peer): (TcpStream, SocketAddr),
    place: OwnedSemaphorePermit,
) {
    // answers are small: they must not wait for more
    let _ = stream.set_nodelay(true);
    let (connection, head) = (Arc::new(Connection::default()), Arc::new(HeadBytes::default()));
    let entry = connections.enter(&app.in_flight, Address::of(peer.ip()), connection.clone());
    let socket = Socket::new(stream, app, connection.clone(), head.clone());
    let client = Arc::new(Client { door, peer, connection: connection.clone(), head });
    let service = service_fn(move |request| middleware::answer(app, client.clone(), router.clone(), request));
    let mut builder = http1::Builder::new();
    builder.max_buf_size(LONGEST_HEAD);
    let served = graceful.watch(builder.serve_connection(TokioIo::new(socket), service));
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = connection.count_turns() => {}
            // a client that goes away is not a fault of ours
            _ = served => {}
            () = connection.idle(HEAD_TIME) => {}
            () = connection.notice.wait() => app.metrics.shed("connections"),
        }
        drop(entry);
        drop(place);
    });
}

/// Waits until it is time to stop.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // whoever would say so may be gone
    let _ = stop.wait_for(|stop| *stop).await;
}
