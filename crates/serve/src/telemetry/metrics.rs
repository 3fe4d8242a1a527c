//! The Prometheus metrics. Labels come from closed sets: endpoints, methods, status classes, fields of the schema.
//!
//! Counters and histograms are kept and begin at 0. Gauges are computed at each scrape; one with an unknown value has no series.

use std::{
    fs,
    sync::{OnceLock, atomic::AtomicU64},
    time::Duration,
};

use axum::http::{Method, StatusCode};
use inference::{
    loaded_model::LoadedModel,
    validation::{FieldError, FieldErrorKind, FieldWarning, FieldWarningKind},
};
use prometheus_client::{
    encoding::{
        EncodeGaugeValue, EncodeLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::{
    http::endpoint::Endpoint,
    models::{deployed::DeployedModels, role::Role},
    telemetry::realised_error::ErrorSummary,
};

/// The prefix of the program's own metrics.
const METRIC_PREFIX: &str = "hpp";
const METHOD_LABELS: [&str; 5] = ["GET", "POST", "HEAD", "OPTIONS", "other"];
const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// Seconds: the buckets of request durations.
const DURATION_BUCKETS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct RequestLabels {
    handler: &'static str,
    method: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct FeatureLabel {
    feature: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct FieldLabels {
    feature: String,
    problem: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct RoleLabel {
    role: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ModelLabels {
    name: String,
    version: String,
    algorithm: String,
    role: &'static str,
}

type RequestSeries = (Counter, Histogram);

/// All metrics.
pub(crate) struct ServerMetrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RequestLabels, Histogram, fn() -> Histogram>,
    /// Counter and histogram of each endpoint, method and status class, looked up once.
    request_series: Vec<OnceLock<RequestSeries>>,
    pub(crate) in_flight: Gauge,
    pub(crate) unfinished: Gauge,
    shed: Family<ReasonLabel, Counter>,
    inference: Histogram,
    pub(crate) prediction_values: Histogram,
    predictions: Family<RoleLabel, Counter>,
    /// The counters of champion, challenger and shadow, looked up once.
    role_counters: [Counter; 3],
    fields: Family<FieldLabels, Counter>,
    reloads: Family<ReasonLabel, Counter>,
    /// Actual values joined to a prediction.
    pub(crate) feedback_joined: Counter,
    pub(crate) shadow_difference: Histogram,
    pub(crate) prediction_log_dropped: Counter,
    started_at_ms: u64,
}

impl ServerMetrics {
    /// `started_at_ms` is when the process start; the model defines the buckets of predictions.
    pub(crate) fn new(model: &LoadedModel, started_at_ms: u64) -> Self {
        let durations: fn() -> Histogram = || Histogram::new(DURATION_BUCKETS);
        let reference = model.reference.as_ref().and_then(|reference| reference.prediction.as_ref());
        let edges: Vec<f64> = match reference {
            Some(reference) => reference.edges.iter().copied().chain([reference.max]).collect(),
            None => exponential_buckets(1.0, 10.0, 9).collect(),
        };
        let width = reference.map_or(1.0, |reference| (reference.max - reference.min).abs().max(f64::MIN_POSITIVE));
        let slots = Endpoint::ALL.len() * METHOD_LABELS.len() * STATUS_CLASSES.len();
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(durations),
            request_series: std::iter::repeat_with(OnceLock::new).take(slots).collect(),
            in_flight: Gauge::default(),
            unfinished: Gauge::default(),
            shed: Family::default(),
            inference: Histogram::new(exponential_buckets(1e-6, 4.0, 11)),
            prediction_values: Histogram::new(edges),
            role_counters: Default::default(),
            predictions: Family::default(),
            fields: Family::default(),
            reloads: Family::default(),
            feedback_joined: Counter::default(),
            shadow_difference: Histogram::new(exponential_buckets(width / 10_000.0, 4.0, 8)),
            prediction_log_dropped: Counter::default(),
            started_at_ms,
        };
        metrics.register();
        // a series without events is 0, not absent
        for reason in ["overload", "batches", "connections", "rate_limit", "unfinished"] {
            metrics.shed.get_or_create(&ReasonLabel { reason }).inc_by(0);
        }
        for reason in ["loaded", "refused"] {
            metrics.reloads.get_or_create(&ReasonLabel { reason }).inc_by(0);
        }
        metrics.role_counters = [Role::Champion, Role::Challenger, Role::Shadow]
            .map(|role| metrics.predictions.get_or_create_owned(&RoleLabel { role: role.name() }));
        metrics
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("http_requests", "Requests served", self.requests.clone());
        r.register(
            "http_request_duration_seconds",
            "Time from the head of a request to the head of its response",
            self.durations.clone(),
        );
        r.register(
            "http_requests_in_flight",
            "Requests with a complete body, until the last byte of their response is sent",
            self.in_flight.clone(),
        );
        r.register("http_requests_unfinished", "Requests with an incomplete body", self.unfinished.clone());
        r.register("http_requests_shed", "Requests rejected because of a limit", self.shed.clone());
        let hpp = r.sub_registry_with_prefix(METRIC_PREFIX);
        hpp.register(
            "inference_duration_seconds",
            "Time from a validated row to its prediction, interval and contributions",
            self.inference.clone(),
        );
        hpp.register("prediction_value", "Predictions in the unit of the target", self.prediction_values.clone());
        hpp.register("predictions", "Rows predicted", self.predictions.clone());
        hpp.register(
            "field_problems",
            "Values that were rejected, or predicted with a warning, by field",
            self.fields.clone(),
        );
        hpp.register(
            "model_reloads",
            "Model reloads: loaded, or refused because the model is invalid",
            self.reloads.clone(),
        );
        hpp.register("feedback", "Actual values joined to their predictions", self.feedback_joined.clone());
        hpp.register(
            "shadow_absolute_difference",
            "Absolute difference between challenger and champion for the same row",
            self.shadow_difference.clone(),
        );
        hpp.register(
            "prediction_log_dropped",
            "Records of the prediction log that were not written to disk",
            self.prediction_log_dropped.clone(),
        );
    }

    /// Counts a request that is served.
    pub(crate) fn record_request(&self, endpoint: Endpoint, method: &Method, status: StatusCode, duration: Duration) {
        let method = match *method {
            Method::GET => 0,
            Method::POST => 1,
            Method::HEAD => 2,
            Method::OPTIONS => 3,
            _ => 4,
        };
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        let slot = (endpoint as usize * METHOD_LABELS.len() + method) * STATUS_CLASSES.len() + class;
        let (requests, durations) = self.request_series[slot].get_or_init(|| {
            let labels =
                RequestLabels { handler: endpoint.path(), method: METHOD_LABELS[method], status: STATUS_CLASSES[class] };
            (self.requests.get_or_create_owned(&labels), self.durations.get_or_create_owned(&labels))
        });
        requests.inc();
        durations.observe(duration.as_secs_f64());
    }

    /// Counts a request that is rejected because of a limit.
    pub(crate) fn record_shed(&self, reason: &'static str) {
        self.shed.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// The counter of requests that are rejected for a reason.
    pub(crate) fn shed_counter(&self, reason: &'static str) -> Counter {
        self.shed.get_or_create_owned(&ReasonLabel { reason })
    }

    /// Counts predicted rows.
    pub(crate) fn record_predictions(&self, role: Role, rows: u64, duration: Duration) {
        self.role_counters[role as usize].inc_by(rows);
        if rows == 1 {
            self.inference.observe(duration.as_secs_f64());
        }
    }

    /// Counts a model reload.
    pub(crate) fn record_reload(&self, loaded: bool) {
        self.reloads.get_or_create(&ReasonLabel { reason: if loaded { "loaded" } else { "refused" } }).inc();
    }

    /// Counts errors about fields of the schema.
    pub(crate) fn record_field_errors(&self, model: &LoadedModel, errors: &[FieldError]) {
        for error in errors.iter().filter(|error| model.row_schema.index_of(&error.field).is_some()) {
            let problem = match error.kind {
                FieldErrorKind::Missing => "missing",
                FieldErrorKind::OutOfRange => "out_of_range",
                FieldErrorKind::UnknownLevel => "unknown_level",
                _ => "wrong_type",
            };
            self.problem(&error.field, problem);
        }
    }

    /// Counts warnings about predicted rows.
    pub(crate) fn record_warnings(&self, warnings: &[FieldWarning]) {
        for warning in warnings {
            let problem = match warning.kind {
                FieldWarningKind::Imputed => "imputed",
                FieldWarningKind::OutsideTraining => "outside_training",
                FieldWarningKind::UnseenLevel => "unseen_level",
            };
            self.problem(&warning.field, problem);
        }
    }

    fn problem(&self, feature: &str, problem: &'static str) {
        self.fields.get_or_create(&FieldLabels { feature: feature.to_owned(), problem }).inc();
    }

    /// Creates the series of a champion's fields, so that a field without problems is 0 and not absent.
    pub(crate) fn expect_fields(&self, champion: &LoadedModel) {
        for field in &champion.row_schema.fields {
            for problem in ["out_of_range", "unknown_level", "outside_training"] {
                self.fields.get_or_create(&FieldLabels { feature: field.name().to_owned(), problem }).inc_by(0);
            }
        }
    }

    /// Renders the text for a scrape.
    pub(crate) fn render(&self, models: &DeployedModels, errors: &ErrorSummary) -> String {
        let mut gauges = Registry::default();
        model_gauges(&mut gauges, models);
        feedback_gauges(&mut gauges, errors);
        process_gauges(&mut gauges, self.started_at_ms);
        let mut text = String::with_capacity(1 << 14);
        // writing to a string does not fail
        let _ = encode_registry(&mut text, &self.registry);
        let _ = encode_registry(&mut text, &gauges);
        let _ = encode_eof(&mut text);
        text
    }
}

/// Adds a gauge with a reference value; a gauge with an unknown value has no series.
fn add_known<N>(registry: &mut Registry, name: &str, help: &str, value: Option<N>)
where
    N: EncodeGaugeValue + std::fmt::Debug + Send + Sync + 'static,
{
    if let Some(value) = value {
        registry.register(name, help, ConstGauge::new(value));
    }
}

/// Gauges of the deployed models, and of the champion's drift.
fn model_gauges(registry: &mut Registry, models: &DeployedModels) {
    let hpp = registry.sub_registry_with_prefix(METRIC_PREFIX);
    let info: Family<ModelLabels, Gauge> = Family::default();
    for (role, model) in models.roles() {
        let file = model.predictor.model().file();
        let labels = ModelLabels {
            name: file.name.clone(),
            version: model.info.version.clone(),
            algorithm: file.algorithm.clone(),
            role,
        };
        info.get_or_create(&labels).set(1);
    }
    hpp.register("model_info", "The deployed models", info);
    let loaded = models.champion.loaded_at_ms as f64 / 1000.0;
    hpp.register("model_loaded_timestamp_seconds", "Time at which the champion was loaded", ConstGauge::new(loaded));
    // without a reference, drift is unknown
    let Some(drift) = models.champion.drift() else { return };
    let columns: Family<FeatureLabel, Gauge<f64, AtomicU64>> = Family::default();
    for (feature, psi) in drift.columns {
        if let Some(psi) = psi {
            columns.get_or_create(&FeatureLabel { feature }).set(psi);
        }
    }
    hpp.register(
        "feature_drift_psi",
        "Population stability index of the last rows, compared with the training rows",
        columns,
    );
    let help = "Population stability index of the last predictions, compared with those for the training rows";
    add_known(hpp, "prediction_drift_psi", help, drift.prediction);
    hpp.register("drift_window_rows", "Rows in the drift window", ConstGauge::new(drift.rows.cast_signed()));
}

/// Gauges of the error against actual values.
fn feedback_gauges(registry: &mut Registry, errors: &ErrorSummary) {
    let hpp = registry.sub_registry_with_prefix(METRIC_PREFIX);
    let rows = ConstGauge::new(errors.rows as i64);
    hpp.register("feedback_rows", "Actual values that the errors are computed on", rows);
    add_known(hpp, "feedback_mae", "Mean absolute error against actual values", errors.mae);
    add_known(hpp, "feedback_bias", "Mean of prediction minus actual value", errors.bias);
    add_known(hpp, "feedback_mape", "Mean absolute error as a share of the actual value", errors.mape);
    add_known(hpp, "feedback_interval_coverage", "Share of actual values inside their prediction interval", errors.coverage);
}

/// Gauges of the process: all of them on Linux, elsewhere only its start.
fn process_gauges(registry: &mut Registry, started_at_ms: u64) {
    const TICKS_PER_SECOND: f64 = 100.0;
    let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let number = |word: Option<&str>| word.and_then(|word| word.parse::<i64>().ok());
    let kib = read("status").lines().find_map(|line| number(line.strip_prefix("VmRSS:")?.split_whitespace().next()));
    add_known(registry, "process_resident_memory_bytes", "Memory in use", kib.map(|kib| kib * 1024));
    let descriptors = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as i64);
    add_known(registry, "process_open_fds", "Open files and connections", descriptors);
    // the name in the second field may contain blanks: fields are counted after its bracket
    let stat = read("stat");
    let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
    if let (Some(user), Some(system)) = (number(fields.next()), number(fields.next())) {
        let seconds = (user + system) as f64 / TICKS_PER_SECOND;
        registry.register("process_cpu_seconds", "Processor time used", ConstCounter::new(seconds));
    }
    let process_start = ConstGauge::new(started_at_ms as f64 / 1000.0);
    registry.register("process_start_time_seconds", "Time at which the process started", process_start);
}

/// Converts OpenMetrics to the older text format: counters have their full names, and nothing marks the end.
pub(crate) fn prometheus_text(text: &str) -> String {
    let counter = |line: &str| line.strip_prefix("# TYPE ")?.strip_suffix(" counter").map(str::to_owned);
    let counters: Vec<String> = text.lines().filter_map(counter).collect();
    let mut metrics = String::with_capacity(text.len() + 16 * counters.len());
    for line in text.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT ")) {
        let described = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "));
        let name = described
            .and_then(|rest| rest.split(' ').next())
            .filter(|name| counters.iter().any(|reference| reference == name));
        match name {
            Some(name) => metrics.push_str(&line.replacen(name, &format!("{name}_total"), 1)),
            None => metrics.push_str(line),
        }
        metrics.push('\n');
    }
    metrics
}

#[cfg(test)]
mod tests {
    #[test]
    fn counters_have_their_whole_name_in_the_older_format() {
        let text = "# HELP a Things.\n# TYPE a counter\n# UNIT a things\na_total{x=\"1\"} 2\n# HELP ab Size.\n# TYPE ab gauge\nab 3\n# EOF\n";
        let expected =
            "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"1\"} 2\n# HELP ab Size.\n# TYPE ab gauge\nab 3\n";
        assert_eq!(super::prometheus_text(text), expected);
    }
}
