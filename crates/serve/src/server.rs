//! Starts the server, waits for a signal, and shuts it down.

pub(crate) mod connection;
pub(crate) mod file_limit;
pub(crate) mod listener;
pub(crate) mod middleware;
pub(crate) mod parent_watch;
pub(crate) mod reload;
pub(crate) mod routes;
pub(crate) mod socket;

use std::{net::SocketAddr, sync::atomic::Ordering, time::Duration};

use anyhow::{Context, anyhow};
use artifact::clear_temporary_folders;
use cli::{Clock, Outcome};
use serde::Serialize;
use serde_json::json;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::timeout,
};

use crate::{
    admission::permits::STREAMS_PER_BATCH_SLOT,
    config::Config,
    http::endpoint::Listener,
    models::deployed::DeployedModels,
    server::{
        listener::{serve, wait_for_stop},
        parent_watch::ParentWatch,
    },
    state::{AppState, AppStateParts},
    telemetry::{log::Log, metrics::ServerMetrics, prediction_log::PredictionLog},
};

/// Niceness of the threads that process batches.
const BATCH_NICENESS: i32 = 10;

/// Time that probes have to finish after the last request.
const PROBE_GRACE: Duration = Duration::from_millis(500);
/// Bytes of a thread's stack. The JSON parser recurses at most 128 levels.
const THREAD_STACK_BYTES: usize = 1 << 20;
/// Blocking threads besides those for batches and tables: they read long responses, and predict single rows of slow models.
const EXTRA_BLOCKING_THREADS: usize = 16;

#[derive(Serialize)]
struct Summary {
    status: &'static str,
    /// Whether every request that was under way got its response.
    drained: bool,
    seconds: f64,
}

/// Serves until a signal or the end of the parent process.
///
/// # Errors
/// If the model cannot be loaded, or an address is in use.
pub fn run(config: Config) -> anyhow::Result<Outcome> {
    let clock = Clock::start();
    let parent = if config.stop_with_stdin { Some(ParentWatch::start()?) } else { None };
    clear_temporary_folders();
    let models = config.sources.load(config.access.is_guarded())?;
    let log = Log::new(config.log_requests);
    reload::warn_about_old_bundles(&log, &models);
    let config = fit_connections(config, &log);
    let metrics = ServerMetrics::new(&models.champion, clock.started_at_ms);
    metrics.expect_fields(&models.champion);
    let prediction_log = config
        .prediction_log
        .as_ref()
        .map(|(folder, keep)| PredictionLog::open(folder, *keep, &log, &metrics.prediction_log_dropped));
    let prediction_log = prediction_log.transpose()?;
    // batch threads have a lower priority than the threads of connections
    let pool = rayon::ThreadPoolBuilder::new().start_handler(|_| {
        let _ = rustix::process::nice(BATCH_NICENESS);
    });
    pool.build_global().context("cannot start threads")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.workers)
        .max_blocking_threads(blocking_threads(config.limits.batches))
        .thread_stack_size(THREAD_STACK_BYTES)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let result = runtime.block_on(serve_until_stopped(config, models, prediction_log, metrics, log.clone(), clock, parent));
    // do not wait for threads that hang
    runtime.shutdown_background();
    log.flush();
    let drained = result?;
    let seconds = clock.elapsed().as_secs_f64();
    let outcome = Outcome::done(
        &Summary { status: "stopped", drained, seconds },
        format!(
            "serve     stopped after {seconds:.0} s; {}",
            if drained { "all requests were completed" } else { "some requests were aborted" }
        ),
    );
    Ok(if drained { outcome } else { outcome.refused("some requests did not complete within --grace") })
}

/// Reduces the number of connections to what the limit of open files allows.
fn fit_connections(mut config: Config, log: &Log) -> Config {
    let (limit, wanted) = (file_limit::raise(), config.limits.connections);
    // each batch and each table may store its response in a file
    let fitted = file_limit::fit(wanted, config.limits.batches.saturating_mul(STREAMS_PER_BATCH_SLOT + 1), limit);
    if fitted < wanted {
        let message = "the limit of open files allows fewer connections than --max-connections; raise it with ulimit -n";
        log.warn(
            "max_connections_reduced",
            message,
            json!({"max_connections": wanted, "fitted": fitted, "open_files": limit}),
        );
    }
    config.limits.connections = fitted;
    config
}

/// Blocking threads: one for each concurrent batch and table, and some for other work.
fn blocking_threads(batches: usize) -> usize {
    batches.saturating_mul(STREAMS_PER_BATCH_SLOT + 1).saturating_add(EXTRA_BLOCKING_THREADS)
}

async fn serve_until_stopped(
    config: Config,
    models: DeployedModels,
    prediction_log: Option<PredictionLog>,
    metrics: ServerMetrics,
    log: Log,
    clock: Clock,
    parent: Option<ParentWatch>,
) -> anyhow::Result<bool> {
    let listener = bind(config.listen, "--listen").await?;
    let metrics_listener = match config.metrics_listen {
        Some(address) => Some(bind(address, "--metrics-listen").await?),
        None => None,
    };
    let (address, metrics_address) =
        (listener.local_addr()?, metrics_listener.as_ref().map(TcpListener::local_addr).transpose()?);
    let app = AppState::start(AppStateParts {
        models,
        traffic_split: config.traffic_split,
        metrics,
        log: log.clone(),
        limits: config.limits,
        rate_limit: config.rate_limit,
        access: config.access,
        proxies: config.proxies,
        prediction_log,
    });
    let (stopping, stop) = watch::channel(false);
    let (ending, end) = watch::channel(false);
    // handle signals before the server reports that it is ready
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // a file size limit is an error of the write, not the end of the server
    let _file_limit = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
    let watching = tokio::spawn(reload::watch(app, config.sources, config.poll, stop.clone()));
    let api = tokio::spawn(serve(listener, app, Listener::Api, routes::router(Listener::Api, app), stop, config.grace));
    let probes = metrics_listener.map(|listener| {
        tokio::spawn(serve(listener, app, Listener::Metrics, routes::router(Listener::Metrics, app), end, config.grace))
    });
    let champion = app.models.load().champion.clone();
    log.info(
        "ready",
        "ready to serve requests",
        json!({
            "address": format!("http://{address}"),
            "metrics": metrics_address.map(|address| format!("http://{address}/metrics")),
            "model": champion.name(),
            "version": champion.info.version,
            "startup_ms": clock.elapsed().as_secs_f64() * 1000.0,
        }),
    );
    let mut parent_end = parent.map(ParentWatch::server_is_up);
    let parent_is_gone = async {
        match &mut parent_end {
            Some(end) => wait_for_stop(end).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = parent_is_gone => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = watching => return Err(ended.map_or_else(|error| anyhow!(error), |ended| ended.err().unwrap_or_else(|| anyhow!("stopped")))),
    }
    log.info("shutting_down", "shutting down", json!({"grace_seconds": config.grace.as_secs_f64()}));
    app.draining.store(true, Ordering::Relaxed);
    let _ = stopping.send(true);
    let drained = api.await.unwrap_or(false);
    if let Some(prediction_log) = &app.prediction_log {
        prediction_log.close();
    }
    // serve probes as long as requests
    let _ = ending.send(true);
    if let Some(probes) = probes {
        let _ = timeout(PROBE_GRACE, probes).await;
    }
    Ok(drained)
}

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| anyhow!("{flag} {address}: cannot listen on this address: {error}"))
}
