//! The server as a whole: models, listeners, signals; up, and down again.

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
    server::{
        listener::{serve, stopped},
        parent_watch::ParentWatch,
    },
    state::{AppState, AppStateParts},
    telemetry::{log::Log, metrics::Metrics, prediction_log::PredictionLog},
};

/// How far the threads of batches step back.
const BATCHES_NICE: i32 = 10;

/// How long probes under way are waited for after the last request.
const PROBES_GRACE: Duration = Duration::from_millis(500);
/// Bytes of the stack of a thread: the parser goes 128 levels deep at most.
const STACK: usize = 1 << 20;
/// Threads for what blocks beside batches and tables: reading long answers, single rows of slow models.
const OTHER_THREADS: usize = 16;

#[derive(Serialize)]
struct Summary {
    status: &'static str,
    /// Whether every request under way was answered.
    drained: bool,
    seconds: f64,
}

/// Serves until a signal ends it.
///
/// # Errors
/// If the model cannot be used, or an address is taken.
pub fn run(config: Config) -> anyhow::Result<Outcome> {
    let clock = Clock::start();
    let parent = if config.stop_with_stdin { Some(ParentWatch::start()?) } else { None };
    clear_temporary_folders();
    let models = config.sources.load(config.access.is_guarded())?;
    let log = Log::new(config.log_requests);
    reload::warn_of_older(&log, &models);
    let config = fit_connections(config, &log);
    let metrics = Metrics::new(&models.champion, clock.started_at_ms);
    metrics.expect_fields(&models.champion);
    let journal =
        config.journal.as_ref().map(|(folder, keep)| PredictionLog::open(folder, *keep, &log, &metrics.journal_lost));
    let journal = journal.transpose()?;
    // batches are worked on by threads that give way to those that answer
    let pool = rayon::ThreadPoolBuilder::new().start_handler(|_| {
        let _ = rustix::process::nice(BATCHES_NICE);
    });
    pool.build_global().context("starting threads")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.workers)
        .max_blocking_threads(blocking_threads(config.limits.batches))
        .thread_stack_size(STACK)
        .enable_all()
        .build()
        .context("starting threads")?;
    let done = runtime.block_on(listen(config, models, journal, metrics, log.clone(), clock, parent));
    // what hangs on a thread is not waited for
    runtime.shutdown_background();
    log.flush();
    let drained = done?;
    let seconds = clock.elapsed().as_secs_f64();
    let outcome = Outcome::done(
        &Summary { status: "stopped", drained, seconds },
        format!(
            "serve     stopped after {seconds:.0} s; {}",
            if drained { "every request was answered" } else { "some requests were cut off" }
        ),
    );
    Ok(if drained { outcome } else { outcome.refused("requests were still under way when --grace was over") })
}

/// Lets there be as many connections as the limit of open files allows.
fn fit_connections(mut config: Config, log: &Log) -> Config {
    let (limit, wanted) = (file_limit::raise(), config.limits.connections);
    // each batch and each table may have a file for its answer
    let fitted = file_limit::fit(wanted, config.limits.batches.saturating_mul(STREAMS_PER_BATCH_SLOT + 1), limit);
    if fitted < wanted {
        let message = "the limit of open files allows fewer connections than --max-connections; raise it (ulimit -n)";
        log.warn(message, json!({"max_connections": wanted, "fitted": fitted, "open_files": limit}));
    }
    config.limits.connections = fitted;
    config
}

/// Threads for what blocks: one for each batch and each table that may be under way, and some for the rest.
fn blocking_threads(batches: usize) -> usize {
    batches.saturating_mul(STREAMS_PER_BATCH_SLOT + 1).saturating_add(OTHER_THREADS)
}

async fn listen(
    config: Config,
    models: crate::models::deployed::DeployedModels,
    journal: Option<PredictionLog>,
    metrics: Metrics,
    log: Log,
    clock: Clock,
    parent: Option<ParentWatch>,
) -> anyhow::Result<bool> {
    let listener = bind(config.listen, "--listen").await?;
    let alone = match config.metrics_listen {
        Some(address) => Some(bind(address, "--metrics-listen").await?),
        None => None,
    };
    let (address, alone_address) = (listener.local_addr()?, alone.as_ref().map(TcpListener::local_addr).transpose()?);
    let app = AppState::start(AppStateParts {
        models,
        traffic_split: config.traffic_split,
        metrics,
        log: log.clone(),
        limits: config.limits,
        rate_limit: config.rate_limit,
        access: config.access,
        proxies: config.proxies,
        prediction_log: journal,
    });
    let (stopping, stop) = watch::channel(false);
    let (ending, end) = watch::channel(false);
    // the signals are heard before it is said that anyone listens
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // a file that must not grow is an error of the write, not the end of the server
    let _file_limit = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
    let watching = tokio::spawn(reload::watch(app, config.sources, config.poll, stop.clone()));
    let api = tokio::spawn(serve(listener, app, Listener::Api, routes::router(Listener::Api, app), stop, config.grace));
    let probes = alone.map(|listener| {
        tokio::spawn(serve(listener, app, Listener::Metrics, routes::router(Listener::Metrics, app), end, config.grace))
    });
    let champion = app.models.load().champion.clone();
    log.info(
        "ready",
        json!({
            "address": format!("http://{address}"),
            "metrics": alone_address.map(|address| format!("http://{address}/metrics")),
            "model": champion.name(),
            "version": champion.info.version,
            "startup_ms": clock.elapsed().as_secs_f64() * 1000.0,
        }),
    );
    let mut parent = parent.map(ParentWatch::server_is_up);
    let parent_is_gone = async {
        match &mut parent {
            Some(gone) => stopped(gone).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = parent_is_gone => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = watching => return Err(ended.map_or_else(|error| anyhow!(error), |ended| ended.err().unwrap_or_else(|| anyhow!("stopped")))),
    }
    log.info("going down", json!({"grace_seconds": config.grace.as_secs_f64()}));
    app.draining.store(true, Ordering::Relaxed);
    let _ = stopping.send(true);
    let drained = api.await.unwrap_or(false);
    if let Some(journal) = &app.prediction_log {
        journal.close();
    }
    // probes are answered as long as requests are
    let _ = ending.send(true);
    if let Some(probes) = probes {
        let _ = timeout(PROBES_GRACE, probes).await;
    }
    Ok(drained)
}

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| anyhow!("{flag} {address}: cannot listen there: {error}"))
}
