//! What is counted, as Prometheus reads it. Labels come from closed sets: endpoints, methods, classes of status, fields of the schema.
//!
//! Counters and histograms are kept and begin at 0. Gauges are worked out at each scrape, and one whose value is not known has no series.

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

/// What the names of our own metrics begin with.
const PREFIX: &str = "hpp";
const METHODS: [&str; 5] = ["GET", "POST", "HEAD", "OPTIONS", "other"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// Seconds: what a request may take.
const DURATIONS: [f64; 14] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

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

type OfRequest = (Counter, Histogram);

/// All that is counted.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RequestLabels, Histogram, fn() -> Histogram>,
    /// The two of each endpoint, method and class, looked up once.
    of_requests: Vec<OnceLock<OfRequest>>,
    pub(crate) in_flight: Gauge,
    pub(crate) unfinished: Gauge,
    shed: Family<ReasonLabel, Counter>,
    inference: Histogram,
    pub(crate) values: Histogram,
    predictions: Family<RoleLabel, Counter>,
    /// Those of champion, challenger and shadow, looked up once.
    of_roles: [Counter; 3],
    fields: Family<FieldLabels, Counter>,
    reloads: Family<ReasonLabel, Counter>,
    /// True values joined to a prediction.
    pub(crate) feedback_joined: Counter,
    pub(crate) shadow_difference: Histogram,
    pub(crate) journal_lost: Counter,
    started_at_ms: u64,
}

impl Metrics {
    /// `started_at_ms` is when the process began; the model gives the buckets of predictions.
    pub(crate) fn new(engine: &LoadedModel, started_at_ms: u64) -> Self {
        let durations: fn() -> Histogram = || Histogram::new(DURATIONS);
        let known = engine.reference.as_ref().and_then(|reference| reference.prediction.as_ref());
        let edges: Vec<f64> = match known {
            Some(known) => known.edges.iter().copied().chain([known.max]).collect(),
            None => exponential_buckets(1.0, 10.0, 9).collect(),
        };
        let width = known.map_or(1.0, |known| (known.max - known.min).abs().max(f64::MIN_POSITIVE));
        let slots = Endpoint::ALL.len() * METHODS.len() * CLASSES.len();
        let mut made = Self {
            registry: Registry::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(durations),
            of_requests: std::iter::repeat_with(OnceLock::new).take(slots).collect(),
            in_flight: Gauge::default(),
            unfinished: Gauge::default(),
            shed: Family::default(),
            inference: Histogram::new(exponential_buckets(1e-6, 4.0, 11)),
            values: Histogram::new(edges),
            of_roles: Default::default(),
            predictions: Family::default(),
            fields: Family::default(),
            reloads: Family::default(),
            feedback_joined: Counter::default(),
            shadow_difference: Histogram::new(exponential_buckets(width / 10_000.0, 4.0, 8)),
            journal_lost: Counter::default(),
            started_at_ms,
        };
        made.register();
        // what never happened is 0, not absent
        for reason in ["overload", "batches", "connections", "rate_limit", "unfinished"] {
            made.shed.get_or_create(&ReasonLabel { reason }).inc_by(0);
        }
        for reason in ["loaded", "refused"] {
            made.reloads.get_or_create(&ReasonLabel { reason }).inc_by(0);
        }
        made.of_roles = [Role::Champion, Role::Challenger, Role::Shadow]
            .map(|role| made.predictions.get_or_create_owned(&RoleLabel { role: role.name() }));
        made
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("http_requests", "Requests answered", self.requests.clone());
        r.register(
            "http_request_duration_seconds",
            "From the head of a request to that of its answer",
            self.durations.clone(),
        );
        r.register(
            "http_requests_in_flight",
            "Requests whose body has come, until the last byte of their answer is sent",
            self.in_flight.clone(),
        );
        r.register("http_requests_unfinished", "Requests whose body has not come whole", self.unfinished.clone());
        r.register("http_requests_shed", "Requests refused to keep up with the others", self.shed.clone());
        let hpp = r.sub_registry_with_prefix(PREFIX);
        hpp.register(
            "inference_duration_seconds",
            "From a checked row to its prediction, interval and parts",
            self.inference.clone(),
        );
        hpp.register("prediction_value", "Predictions, in the unit of the target", self.values.clone());
        hpp.register("predictions", "Rows predicted", self.predictions.clone());
        hpp.register(
            "field_problems",
            "Values that were refused, or predicted with a warning, by field",
            self.fields.clone(),
        );
        hpp.register("model_reloads", "Other models that came: loaded, or refused", self.reloads.clone());
        hpp.register("feedback", "True values joined to their predictions", self.feedback_joined.clone());
        hpp.register(
            "shadow_absolute_difference",
            "Between challenger and champion, for the same row",
            self.shadow_difference.clone(),
        );
        hpp.register("journal_lost", "Records of the prediction log that are not on the disk", self.journal_lost.clone());
    }

    /// A request is answered.
    pub(crate) fn answered(&self, endpoint: Endpoint, method: &Method, status: StatusCode, took: Duration) {
        let method = match *method {
            Method::GET => 0,
            Method::POST => 1,
            Method::HEAD => 2,
            Method::OPTIONS => 3,
            _ => 4,
        };
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        let slot = (endpoint as usize * METHODS.len() + method) * CLASSES.len() + class;
        let (requests, durations) = self.of_requests[slot].get_or_init(|| {
            let labels = RequestLabels { handler: endpoint.path(), method: METHODS[method], status: CLASSES[class] };
            (self.requests.get_or_create_owned(&labels), self.durations.get_or_create_owned(&labels))
        });
        requests.inc();
        durations.observe(took.as_secs_f64());
    }

    /// A request is refused to keep up with the others.
    pub(crate) fn shed(&self, reason: &'static str) {
        self.shed.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// The counter of requests that are refused for a reason.
    pub(crate) fn shed_counter(&self, reason: &'static str) -> Counter {
        self.shed.get_or_create_owned(&ReasonLabel { reason })
    }

    /// Rows are predicted.
    pub(crate) fn predicted(&self, role: Role, rows: u64, took: Duration) {
        self.of_roles[role as usize].inc_by(rows);
        if rows == 1 {
            self.inference.observe(took.as_secs_f64());
        }
    }

    /// Another model came.
    pub(crate) fn reloaded(&self, loaded: bool) {
        self.reloads.get_or_create(&ReasonLabel { reason: if loaded { "loaded" } else { "refused" } }).inc();
    }

    /// What is wrong with rows, where it is a field of the schema.
    pub(crate) fn faults(&self, engine: &LoadedModel, faults: &[FieldError]) {
        for fault in faults.iter().filter(|fault| engine.row_schema.place(&fault.field).is_some()) {
            let problem = match fault.kind {
                FieldErrorKind::Missing => "missing",
                FieldErrorKind::OutOfRange => "out_of_range",
                FieldErrorKind::UnknownLevel => "unknown_level",
                _ => "wrong_type",
            };
            self.problem(&fault.field, problem);
        }
    }

    /// What is odd about rows that were predicted.
    pub(crate) fn warnings(&self, warnings: &[FieldWarning]) {
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

    /// A champion takes its place: what never happened to its fields is 0, not absent.
    pub(crate) fn expect_fields(&self, champion: &LoadedModel) {
        for field in &champion.row_schema.fields {
            for problem in ["out_of_range", "unknown_level", "outside_training"] {
                self.fields.get_or_create(&FieldLabels { feature: field.name().to_owned(), problem }).inc_by(0);
            }
        }
    }

    /// The text that is scraped.
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

/// Adds a gauge whose value is known; there is no series of another.
fn add_known<N>(registry: &mut Registry, name: &str, help: &str, value: Option<N>)
where
    N: EncodeGaugeValue + std::fmt::Debug + Send + Sync + 'static,
{
    if let Some(value) = value {
        registry.register(name, help, ConstGauge::new(value));
    }
}

/// Which models answer, and how far the champion's last rows are from those of training.
fn model_gauges(registry: &mut Registry, models: &DeployedModels) {
    let hpp = registry.sub_registry_with_prefix(PREFIX);
    let info: Family<ModelLabels, Gauge> = Family::default();
    for (role, engine) in models.roles() {
        let file = engine.predictor.model().file();
        let labels = ModelLabels {
            name: file.name.clone(),
            version: engine.info.version.clone(),
            algorithm: file.algorithm.clone(),
            role,
        };
        info.get_or_create(&labels).set(1);
    }
    hpp.register("model_info", "The models that answer", info);
    let loaded = models.champion.loaded_at_ms as f64 / 1000.0;
    hpp.register("model_loaded_timestamp_seconds", "When the champion was loaded", ConstGauge::new(loaded));
    // without a reference nothing is known of drift
    let Some(drift) = models.champion.drift() else { return };
    let columns: Family<FeatureLabel, Gauge<f64, AtomicU64>> = Family::default();
    for (feature, psi) in drift.columns {
        if let Some(psi) = psi {
            columns.get_or_create(&FeatureLabel { feature }).set(psi);
        }
    }
    hpp.register("feature_drift_psi", "Population stability index of the last rows against training rows", columns);
    let help = "Population stability index of the last predictions against those for training rows";
    add_known(hpp, "prediction_drift_psi", help, drift.prediction);
    hpp.register("drift_window_rows", "Rows that drift is measured on", ConstGauge::new(drift.rows.cast_signed()));
}

/// The error against true values.
fn feedback_gauges(registry: &mut Registry, errors: &ErrorSummary) {
    let hpp = registry.sub_registry_with_prefix(PREFIX);
    let rows = ConstGauge::new(errors.rows as i64);
    hpp.register("feedback_rows", "True values that the errors are measured on", rows);
    add_known(hpp, "feedback_mae", "Mean absolute error against true values", errors.mae);
    add_known(hpp, "feedback_bias", "Mean of prediction minus true value", errors.bias);
    add_known(hpp, "feedback_mape", "Mean absolute error as a share of the true value", errors.mape);
    add_known(hpp, "feedback_interval_coverage", "Share of true values inside of their interval", errors.coverage);
}

/// What Linux says of this process; elsewhere only its start is known.
fn process_gauges(registry: &mut Registry, started_at_ms: u64) {
    const TICKS: f64 = 100.0;
    let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let number = |word: Option<&str>| word.and_then(|word| word.parse::<i64>().ok());
    let kib = read("status").lines().find_map(|line| number(line.strip_prefix("VmRSS:")?.split_whitespace().next()));
    add_known(registry, "process_resident_memory_bytes", "Memory in use", kib.map(|kib| kib * 1024));
    let descriptors = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as i64);
    add_known(registry, "process_open_fds", "Open files and connections", descriptors);
    // the name in the second field may hold blanks: counted from behind its bracket
    let stat = read("stat");
    let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
    if let (Some(user), Some(system)) = (number(fields.next()), number(fields.next())) {
        let seconds = (user + system) as f64 / TICKS;
        registry.register("process_cpu_seconds", "Time of the processors used", ConstCounter::new(seconds));
    }
    let began = ConstGauge::new(started_at_ms as f64 / 1000.0);
    registry.register("process_start_time_seconds", "When the process began", began);
}

/// OpenMetrics in the older text format: there a counter is called by its whole name, and nothing marks the end.
pub(crate) fn plain(text: &str) -> String {
    let counter = |line: &str| line.strip_prefix("# TYPE ")?.strip_suffix(" counter").map(str::to_owned);
    let counters: Vec<String> = text.lines().filter_map(counter).collect();
    let mut made = String::with_capacity(text.len() + 16 * counters.len());
    for line in text.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT ")) {
        let described = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "));
        let name =
            described.and_then(|rest| rest.split(' ').next()).filter(|name| counters.iter().any(|known| known == name));
        match name {
            Some(name) => made.push_str(&line.replacen(name, &format!("{name}_total"), 1)),
            None => made.push_str(line),
        }
        made.push('\n');
    }
    made
}

#[cfg(test)]
mod tests {
    #[test]
    fn counters_have_their_whole_name_in_the_older_format() {
        let text = "# HELP a Things.\n# TYPE a counter\n# UNIT a things\na_total{x=\"1\"} 2\n# HELP ab Size.\n# TYPE ab gauge\nab 3\n# EOF\n";
        let expected =
            "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"1\"} 2\n# HELP ab Size.\n# TYPE ab gauge\nab 3\n";
        assert_eq!(super::plain(text), expected);
    }
}
