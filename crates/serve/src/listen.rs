//! Takes connections, and lets those that are there end in peace.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, HttpBody},
    response::Response,
};
use futures_util::{StreamExt, stream::unfold};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};

use crate::{
    app::Shared,
    edge::{self, Door},
};

/// How long a connection may take to say what it wants; an idle one is closed after that, or twice that.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// Bytes of an answer that is sent at once.
const SHORT: u64 = 64 << 10;
/// After a failure to take a connection (no file descriptors, say).
const PAUSE: Duration = Duration::from_millis(20);
/// What is said to a connection too many.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-type: application/json\r\n\
    content-length: 53\r\n\r\n{\"error\":\"too many connections are open\",\"detail\":[]}";

/// Serves until `stop` says so; then waits for requests under way, `grace` at most. Returns whether all of them were answered.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Shared,
    door: Door,
    router: Router,
    mut stop: watch::Receiver<bool>,
    grace: Duration,
) -> bool {
    let room = Arc::new(Semaphore::new(app.limits.connections));
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
        let Ok(place) = room.clone().try_acquire_owned() else {
            app.metrics.shed("connections");
            tokio::spawn(turn_away(stream));
            continue;
        };
        // answers are small: they must not wait for more
        let _ = stream.set_nodelay(true);
        let activity = Arc::new(Activity::default());
        let service = {
            let (router, activity) = (router.clone(), activity.clone());
            service_fn(move |request| {
                let busy = Busy::begin(activity.clone());
                let answer = edge::answer(app, door, router.clone(), peer, request);
                async move { answer.await.map(|answer| busy.until_sent(answer)) }
            })
        };
        let mut builder = http1::Builder::new();
        builder.max_buf_size(64 << 10);
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            tokio::select! {
                // a client that goes away is not a fault of ours
                _ = connection => {}
                () = activity.none_for(HEAD_TIME) => {}
            }
            drop(place);
        });
    }
    drop(listener);
    timeout(grace, graceful.shutdown()).await.is_ok()
}

/// What happens on a connection. A timer of its own for every request would cost more than a request's other work.
#[derive(Debug, Default)]
struct Activity {
    begun: AtomicU64,
    under_way: AtomicU64,
}

impl Activity {
    /// Waits until nothing was asked for, and nothing answered, for as long as this, or twice that.
    async fn none_for(&self, time: Duration) {
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
}

/// A request on a connection, until it is answered or given up.
struct Busy(Arc<Activity>);

impl Busy {
    fn begin(activity: Arc<Activity>) -> Self {
        activity.begun.fetch_add(1, Ordering::Relaxed);
        activity.under_way.fetch_add(1, Ordering::Relaxed);
        Self(activity)
    }
}

impl Busy {
    /// A long answer is not given before it is sent.
    fn until_sent(self, answer: Response) -> Response {
        if answer.body().size_hint().exact().is_some_and(|bytes| bytes <= SHORT) {
            return answer;
        }
        answer.map(|body| {
            let chunks = body.into_data_stream();
            Body::from_stream(unfold((chunks, self), |(mut chunks, busy)| async move {
                chunks.next().await.map(|chunk| (chunk, (chunks, busy)))
            }))
        })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits until it is time to stop.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // whoever would say so may be gone
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn turn_away(mut stream: TcpStream) {
    let _ = timeout(Duration::from_secs(1), async {
        stream.write_all(FULL).await?;
        stream.shutdown().await
    })
    .await;
}
