//! The arguments, checked.

use std::{net::SocketAddr, path::PathBuf, thread::available_parallelism, time::Duration};

use anyhow::{Context, bail, ensure};
use axum::http::HeaderName;
use model_source::Source;

use crate::{
    admission::{
        address::Proxies,
        auth::Access,
        limits::{Limits, RateLimit},
    },
    args::{Args, LogRequests},
    models::deployed::TrafficSplit,
    server::reload::Sources,
    telemetry::prediction_log,
};

/// Everything that the server needs to know.
pub struct Config {
    pub(crate) sources: Sources,
    pub(crate) traffic_split: TrafficSplit,
    pub(crate) poll: Option<Duration>,
    pub(crate) listen: SocketAddr,
    pub(crate) metrics_listen: Option<SocketAddr>,
    pub(crate) grace: Duration,
    pub(crate) stop_with_stdin: bool,
    pub(crate) workers: usize,
    pub(crate) limits: Limits,
    pub(crate) rate_limit: Option<RateLimit>,
    pub(crate) access: Access,
    pub(crate) proxies: Proxies,
    pub(crate) log_requests: LogRequests,
    pub(crate) journal: Option<(PathBuf, usize)>,
}

impl Config {
    /// Reads and checks.
    ///
    /// # Errors
    /// If a flag's value cannot be used, or a file of keys cannot be read.
    pub fn check(args: &Args) -> anyhow::Result<Self> {
        let Some(model) = &args.model else { bail!("--model is required") };
        let uri = args.mlflow_tracking_uri.as_deref();
        let (models, limits, records) = (&args.models, &args.limits, &args.records);
        check_coverage(models.coverage)?;
        let share = models.challenger_share;
        ensure!((0.0..=1.0).contains(&share), "--challenger-share {share}: is not a share from 0 to 1");
        if let Some(key) = &models.challenger_key {
            HeaderName::try_from(key.as_str())
                .with_context(|| format!("--challenger-key {key}: is not the name of a header"))?;
        }
        let metrics_listen = match args.listen.metrics_listen.as_str() {
            "none" => None,
            text => Some(text.parse().with_context(|| format!("--metrics-listen {text}: write HOST:PORT or none"))?),
        };
        let million = 1_000_000;
        for (flag, number, most) in [
            ("--max-body", limits.max_body, usize::MAX),
            ("--max-rows", limits.max_rows, usize::MAX),
            ("--max-in-flight", limits.max_in_flight, million),
            ("--max-unfinished", limits.max_unfinished, million),
            ("--max-connections", limits.max_connections, million),
            ("--max-batches", limits.max_batches.unwrap_or(1), 1000),
            ("--workers", args.listen.workers.unwrap_or(1), 1000),
        ] {
            ensure!(number > 0, "{flag} 0: nothing could be answered");
            ensure!(number <= most, "{flag} {number}: is more than {most}; take less");
        }
        ensure!(limits.max_body <= 1 << 30, "--max-body {}: is more than a GiB; send a stream", limits.max_body);
        ensure!(
            records.drift_window >= 100,
            "--drift-window {}: is too few rows to say anything; take 100 or more",
            records.drift_window
        );
        let rate_limit = match limits.rate_limit {
            Some(rate) if !rate.is_finite() || rate <= 0.0 => bail!("--rate-limit {rate}: is not a number above 0"),
            rate => rate.map(RateLimit::new),
        };
        let champion = Source::parse(model, uri)?;
        let challenger = models.challenger.as_ref().map(|model| Source::parse(model, uri)).transpose()?;
        if let Some(folder) = &records.log_predictions {
            let keys = args.access.api_keys.as_deref();
            let named = [("--model", champion.bundle()), ("--challenger", challenger.as_ref().and_then(Source::bundle))];
            let read = named.into_iter().chain([("--api-keys", keys)]).filter_map(|(flag, path)| Some((flag, path?)));
            prediction_log::check_folder(folder, read)?;
        }
        let processors = available_parallelism().map_or(1, usize::from);
        Ok(Self {
            sources: Sources { champion, challenger, window: records.drift_window, coverage: models.coverage },
            traffic_split: TrafficSplit { share, key: models.challenger_key.as_ref().map(|key| key.to_ascii_lowercase()) },
            poll: models.poll.map(|period| seconds("--poll", period)).transpose()?,
            listen: args.listen.listen,
            metrics_listen,
            grace: seconds("--grace", args.listen.grace)?,
            stop_with_stdin: args.listen.stop_with_stdin,
            workers: args.listen.workers.unwrap_or(processors.saturating_sub(1).max(1)),
            limits: Limits {
                body: limits.max_body,
                stream: limits.max_stream,
                rows: limits.max_rows,
                in_flight: limits.max_in_flight,
                unfinished: limits.max_unfinished,
                connections: limits.max_connections,
                batches: limits.max_batches.unwrap_or(2 * processors),
                time: seconds("--timeout", limits.timeout)?,
            },
            rate_limit,
            access: Access::check(&args.access)?,
            proxies: Proxies::check(&args.access.trusted_proxy)?,
            log_requests: if args.global.quiet { LogRequests::None } else { records.log_requests },
            journal: records.log_predictions.clone().map(|folder| (folder, records.keep_predictions)),
        })
    }
}

/// That a coverage is one.
///
/// # Errors
/// If it is not above 0 and below 1.
pub(crate) fn check_coverage(coverage: Option<f64>) -> anyhow::Result<()> {
    match coverage {
        Some(share) if share.is_nan() || share <= 0.0 || share >= 1.0 => {
            bail!("--coverage {share}: is not a share above 0 and below 1")
        }
        _ => Ok(()),
    }
}

fn seconds(flag: &str, number: f64) -> anyhow::Result<Duration> {
    let found = Duration::try_from_secs_f64(number).ok().filter(|found| !found.is_zero() && number <= 86_400.0);
    found.with_context(|| format!("{flag} {number}: write seconds, more than 0 and a day at most"))
}
