//! Accepts connections, and lets them finish at shutdown.

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
    admission::{address::Address, permits::STALL_TIMEOUT},
    http::{
        endpoint::Listener,
        head::{HeadBytes, MAX_HEAD_BYTES},
    },
    server::{
        connection::{Connections, HttpConnection},
        file_limit::MAX_PROBE_CONNECTIONS,
        middleware::{self, Client},
        socket::{Socket, reject_connection},
    },
    state::AppState,
};

/// Time for a head to arrive. An idle connection is closed after this time, or at most twice this time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Delay after a connection could not be accepted, for example for lack of file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(20);
/// Time that a new connection waits for another to close.
const SLOT_TIMEOUT: Duration = Duration::from_millis(100);
/// At shutdown: the time for heads that have begun, and for bodies of which nothing arrives.
const SHUTDOWN_HEAD_TIMEOUT: Duration = Duration::from_secs(1);
const SHUTDOWN_BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves until `stop`, then waits at most `grace` for requests under way. Returns whether all of them were completed.
pub(crate) async fn serve(
    listener: TcpListener,
    app: &'static AppState,
    kind: Listener,
    router: Router,
    mut stop: watch::Receiver<bool>,
    grace: Duration,
) -> bool {
    let (connections, limit) = match kind {
        Listener::Api => (app.connections.clone(), app.limits.connections),
        // probes do not compete with the API for connections
        Listener::Metrics => (Arc::default(), MAX_PROBE_CONNECTIONS),
    };
    let slots = Arc::new(Semaphore::new(limit));
    let graceful = GracefulShutdown::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => {
                let Ok(accepted) = accepted else {
                    sleep(ACCEPT_RETRY_DELAY).await;
                    continue;
                };
                accepted
            }
            () = wait_for_stop(&mut stop) => break,
        };
        if let Some(slot) = acquire_slot(app, kind, &connections, &slots).await {
            serve_connection(app, kind, &connections, router.clone(), &graceful, (stream, peer), slot);
        } else {
            app.metrics.record_shed("connections");
            reject_connection(stream);
        }
    }
    drop(listener);
    let completion = async {
        tokio::select! {
            () = graceful.shutdown() => {}
            () = close_waiting(app, &connections) => {}
        }
    };
    timeout(grace, completion).await.is_ok()
}

/// At shutdown: closes connections without a request, and bodies of which nothing arrives. Never ends.
async fn close_waiting(app: &'static AppState, connections: &Connections) {
    sleep(SHUTDOWN_HEAD_TIMEOUT).await;
    loop {
        connections.close_all_idle();
        app.unfinished_bodies.close_waiting(SHUTDOWN_BODY_TIMEOUT);
        sleep(SLOT_TIMEOUT).await;
    }
}

/// Acquires a slot for a new connection: a free one, or that of a connection that waits for its client.
async fn acquire_slot(
    app: &'static AppState,
    kind: Listener,
    connections: &Connections,
    slots: &Arc<Semaphore>,
) -> Option<OwnedSemaphorePermit> {
    if let Ok(slot) = slots.clone().try_acquire_owned() {
        return Some(slot);
    }
    let is_closed = connections.close_idle()
        || (kind == Listener::Api && app.unfinished_bodies.close_oldest())
        || connections.close_stalled(STALL_TIMEOUT, false);
    if !is_closed {
        return None;
    }
    timeout(SLOT_TIMEOUT, slots.clone().acquire_owned()).await.ok()?.ok()
}

/// Serves a connection.
fn serve_connection(
    app: &'static AppState,
    kind: Listener,
    connections: &Arc<Connections>,
    router: Router,
    graceful: &GracefulShutdown,
    (stream, peer): (TcpStream, SocketAddr),
    slot: OwnedSemaphorePermit,
) {
    // responses are small, and must not wait for more data
    let _ = stream.set_nodelay(true);
    let (connection, head) = (Arc::new(HttpConnection::default()), Arc::new(HeadBytes::default()));
    let entry = connections.register(&app.in_flight, Address::from_ip(peer.ip()), connection.clone());
    let socket = Socket::new(stream, app, connection.clone(), head.clone());
    let client = Arc::new(Client { listener: kind, peer, connection: connection.clone(), head });
    let service = service_fn(move |request| middleware::serve(app, client.clone(), router.clone(), request));
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD_BYTES);
    let exchange = graceful.watch(builder.serve_connection(TokioIo::new(socket), service));
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = connection.count_turns() => {}
            // a client that disconnects is not an error of the server
            _ = exchange => {}
            () = connection.idle(HEAD_TIMEOUT) => {}
            () = connection.notice.wait() => app.metrics.record_shed("connections"),
        }
        drop(entry);
        drop(slot);
    });
}

/// Waits for the signal to stop.
pub(crate) async fn wait_for_stop(stop: &mut watch::Receiver<bool>) {
    // the sender may be gone, which is a signal to stop, too
    let _ = stop.wait_for(|stop| *stop).await;
}
