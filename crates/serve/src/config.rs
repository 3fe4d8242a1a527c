//! The validated configuration of the server.

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
    server::reload::ModelSources,
    telemetry::prediction_log,
};

/// The configuration of the server.
pub struct Config {
    pub(crate) sources: ModelSources,
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
    pub(crate) prediction_log: Option<(PathBuf, usize)>,
}

impl Config {
    /// Validates the arguments, and reads the file of API keys.
    ///
    /// # Errors
    /// If the value of a flag is invalid, or the file of API keys cannot be read.
    pub fn try_from_args(args: &Args) -> anyhow::Result<Self> {
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
        for (flag, number, max) in [
            ("--max-body", limits.max_body, usize::MAX),
            ("--max-rows", limits.max_rows, usize::MAX),
            ("--max-in-flight", limits.max_in_flight, million),
            ("--max-unfinished", limits.max_unfinished, million),
            ("--max-connections", limits.max_connections, million),
            ("--max-batches", limits.max_batches.unwrap_or(1), 1000),
            ("--workers", args.listen.workers.unwrap_or(1), 1000),
        ] {
            ensure!(number > 0, "{flag} 0: must be at least 1");
            ensure!(number <= max, "{flag} {number}: must be at most {max}");
        }
        ensure!(limits.max_body <= 1 << 30, "--max-body {}: must be at most 1 GiB; stream larger bodies", limits.max_body);
        ensure!(records.drift_window >= 100, "--drift-window {}: must be at least 100 rows", records.drift_window);
        let rate_limit = match limits.rate_limit {
            Some(rate) if !rate.is_finite() || rate <= 0.0 => bail!("--rate-limit {rate}: is not a number above 0"),
            rate => rate.map(RateLimit::new),
        };
        let champion = Source::parse(model, uri)?;
        let challenger = models.challenger.as_ref().map(|model| Source::parse(model, uri)).transpose()?;
        if let Some(folder) = &records.log_predictions {
            let keys = args.access.api_keys.as_deref();
            let sources = [("--model", champion.bundle()), ("--challenger", challenger.as_ref().and_then(Source::bundle))];
            let inputs = sources.into_iter().chain([("--api-keys", keys)]).filter_map(|(flag, path)| Some((flag, path?)));
            prediction_log::check_folder(folder, inputs)?;
        }
        let processors = available_parallelism().map_or(1, usize::from);
        Ok(Self {
            sources: ModelSources { champion, challenger, window: records.drift_window, coverage: models.coverage },
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
            access: Access::try_from_args(&args.access)?,
            proxies: Proxies::parse(&args.access.trusted_proxy)?,
            log_requests: if args.global.quiet { LogRequests::None } else { records.log_requests },
            prediction_log: records.log_predictions.clone().map(|folder| (folder, records.keep_predictions)),
        })
    }
}

/// Checks a coverage.
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
    let duration = Duration::try_from_secs_f64(number).ok().filter(|duration| !duration.is_zero() && number <= 86_400.0);
    duration.with_context(|| format!("{flag} {number}: must be a number of seconds above 0 and at most 86400"))
}
