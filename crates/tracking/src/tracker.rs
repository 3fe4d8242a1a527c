//! Records a run in its store, with fallbacks, so that a tracking failure never fails a training. If a server fails, the complete run
//! is recorded in the SQLite file of the working directory, and if that fails, in the spool. Runs begin, and system metrics are
//! sampled, in the background.

pub(crate) mod run_lock;
pub(crate) mod spool;
pub(crate) mod system_metrics;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    entities::{
        location::Location,
        registry::Registry,
        run::{DUPLICATES_TAG, Metric, Run},
        store::{RunFile, RunReference, RunStore},
        variables::VariableLookup,
    },
    error::TrackingError,
    rest::{http_config::HttpConfig, store::RestStore},
    sqlite::store::SqliteStore,
    tracker::{spool::Spool, system_metrics::SystemMetricsSampler},
};

/// The pause between samples of system metrics doubles after this number of samples.
const SAMPLES_PER_PAUSE: u32 = 60;
/// Reports of system metrics to the server during a run at most; the rest is sent at the end.
const MAX_METRIC_REPORTS: u32 = 5;

/// The configuration of tracking.
#[derive(Clone, Debug)]
pub struct Tracking {
    /// The store.
    pub location: Location,
    /// The server of the model registry, if it is another one.
    pub registry: Option<String>,
    /// The configuration of HTTP requests.
    pub settings: HttpConfig,
    /// The folder for runs that no store could record.
    pub spool: PathBuf,
    /// The folder with the locks of runs on a server.
    pub run_locks: PathBuf,
    /// The pause between two samples of system metrics; `None` for no samples.
    pub sampling: Option<Duration>,
}

impl Tracking {
    /// Tracking at `location`, configured by the variables of MLflow's own client; runs wait in `<models>/spool`.
    ///
    /// # Errors
    /// Names the variable whose value cannot be used.
    pub fn new(location: Location, models: &std::path::Path, variables: VariableLookup) -> Result<Self, TrackingError> {
        let registry = match variables("MLFLOW_REGISTRY_URI").filter(|_| matches!(location, Location::Server { .. })) {
            Some(uri) => match Location::parse(&uri)? {
                Location::Server { base } => Some(base),
                Location::Sqlite { .. } => {
                    return Err(TrackingError::InvalidVariable {
                        name: "MLFLOW_REGISTRY_URI".into(),
                        reason: format!("is {uri}; write the address of a server, because runs are recorded on one"),
                    });
                }
            },
            None => None,
        };
        let off = ["false", "0"]
            .contains(&variables("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING").unwrap_or_default().to_lowercase().as_str());
        let seconds = match variables("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL") {
            None => 10.0,
            Some(text) => {
                text.parse::<f64>().ok().filter(|seconds| (0.01..=86_400.0).contains(seconds)).ok_or_else(|| {
                    TrackingError::InvalidVariable {
                        name: "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL".into(),
                        reason: format!("is \"{text}\"; write a number of seconds from 0.01 to 86400"),
                    }
                })?
            }
        };
        Ok(Self {
            location,
            registry,
            settings: HttpConfig::from_variables(variables)?,
            spool: models.join("spool"),
            run_locks: models.join(".running"),
            sampling: (!off).then(|| Duration::from_secs_f64(seconds)),
        })
    }

    /// The model registry.
    ///
    /// # Errors
    /// If the server's address or a setting cannot be used.
    pub fn registry(&self) -> Result<Box<dyn Registry>, TrackingError> {
        Ok(match &self.location {
            Location::Sqlite { database } => Box::new(SqliteStore::new(database)),
            Location::Server { base } => Box::new(self.server_at(base)?),
        })
    }

    /// The server; `None` for a local store.
    ///
    /// # Errors
    /// If its address or a setting cannot be used.
    pub fn server(&self) -> Result<Option<RestStore>, TrackingError> {
        match &self.location {
            Location::Server { base } => self.server_at(base).map(Some),
            Location::Sqlite { .. } => Ok(None),
        }
    }

    fn server_at(&self, base: &str) -> Result<RestStore, TrackingError> {
        Ok(RestStore::new(base, self.registry.as_deref(), &self.settings)?.with_run_locks(&self.run_locks))
    }
}

/// Records runs. Failures are warnings.
#[derive(Debug)]
pub struct Tracker {
    store: Arc<dyn RunStore>,
    /// The local store, for a server that fails.
    fallback: Option<Arc<dyn RunStore>>,
    spool: Spool,
    sampling: Option<Duration>,
}

/// The store that recorded a run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RecordOutcome {
    /// The configured store.
    Primary(RunReference),
    /// The local store with this address, because the server failed.
    Fallback(RunReference, String),
    /// This folder, until a store can be written.
    Spooled(PathBuf),
}

/// A function that prints a warning.
pub type WarningSink = Arc<dyn Fn(String) + Send + Sync>;

/// A run that is being recorded in the background.
#[derive(Debug)]
pub struct ActiveRun {
    stop: mpsc::Sender<()>,
    background: JoinHandle<BackgroundResult>,
}

/// The result of the background thread.
#[derive(Debug, Default)]
struct BackgroundResult {
    /// Whether the store has the run; otherwise the fallback has it.
    begun: bool,
    system_metrics: Vec<Metric>,
}

impl Tracker {
    /// A tracker for this configuration. It does not access a store yet.
    ///
    /// # Errors
    /// If an address or a setting cannot be used.
    pub fn new(tracking: &Tracking) -> Result<Self, TrackingError> {
        let file = match &tracking.location {
            Location::Sqlite { database } => SqliteStore::new(database),
            Location::Server { .. } => SqliteStore::beside_working_directory(),
        };
        let spool = Spool::new(&tracking.spool, &file.uri());
        let file: Arc<dyn RunStore> = Arc::new(file);
        let (store, fallback) = match tracking.server()? {
            Some(server) => (Arc::new(server) as Arc<dyn RunStore>, Some(file)),
            None => (file, None),
        };
        Ok(Self { store, fallback, spool, sampling: tracking.sampling })
    }

    /// The store's address, as MLflow writes it.
    pub fn uri(&self) -> String {
        self.store.uri()
    }

    /// Begins a run in the background: creates it, [catches up](Self::catch_up), and samples system metrics.
    pub fn begin(&self, run: &Run, warn: &WarningSink) -> ActiveRun {
        self.start(run, warn, true)
    }

    /// The same for a run that a store may hold in part. When it is [recorded](Self::end), an existing run is completed.
    pub fn continue_run(&self, run: &Run, warn: &WarningSink) -> ActiveRun {
        self.start(run, warn, false)
    }

    /// Whether a store has the complete, finished run, or the run waits for one. A store that cannot be read has none.
    pub fn is_recorded(&self, run: &Run) -> bool {
        let stores = [Some(&self.store), self.fallback.as_ref()];
        stores.into_iter().flatten().any(|store| store.is_finished(run).unwrap_or(false)) || self.spool.contains(&run.run_id)
    }

    fn start(&self, run: &Run, warn: &WarningSink, is_new: bool) -> ActiveRun {
        let (stop, stop_signal) = mpsc::channel();
        let (store, fallback, run, sampling) = (self.store.clone(), self.fallback.clone(), run.clone(), self.sampling);
        let (spool, warn) = (self.spool.clone(), warn.clone());
        let background = thread::spawn(move || {
            let begun = match if is_new { store.begin(&run).map(drop) } else { Ok(()) } {
                Ok(()) => {
                    catch_up(&*store, fallback.as_deref(), &spool).into_iter().for_each(|warning| warn(warning));
                    true
                }
                Err(error) => {
                    warn(error.to_string());
                    // shown as running there, and as killed if the program is killed
                    if let Some(fallback) = &fallback {
                        let _ = fallback.begin(&run);
                    }
                    false
                }
            };
            let system_metrics = sampling.map_or_else(
                || {
                    let _ = stop_signal.recv();
                    Vec::new()
                },
                |pause| {
                    sample_system_metrics(&stop_signal, pause, &mut |metrics| {
                        begun && store.log_metrics(&run, metrics).is_ok()
                    })
                },
            );
            BackgroundResult { begun, system_metrics }
        });
        ActiveRun { stop, background }
    }

    /// Begins a parent run at once, and returns its id in the store; its own id if no store can be written. [`end`](Self::end) it
    /// without an [`ActiveRun`].
    pub fn begin_now(&self, run: &Run, warn: &WarningSink) -> String {
        self.apply_now(run, warn, &|store| store.begin(run))
    }

    /// The same for a run that a killed program began: an existing run is resumed.
    pub fn resume_now(&self, run: &Run, warn: &WarningSink) -> String {
        self.apply_now(run, warn, &|store| store.resume(run))
    }

    fn apply_now(
        &self,
        run: &Run,
        warn: &WarningSink,
        apply: &dyn Fn(&dyn RunStore) -> Result<RunReference, TrackingError>,
    ) -> String {
        let reference = apply(&*self.store).or_else(|error| {
            warn(error.to_string());
            self.fallback.as_ref().map_or(Err(error), |fallback| apply(&**fallback))
        });
        reference.map_or_else(|_| run.run_id.clone(), |reference| reference.run_id)
    }

    /// Records waiting runs, and marks runs of killed programs. Returns warnings.
    pub fn catch_up(&self) -> Vec<String> {
        catch_up(&*self.store, self.fallback.as_deref(), &self.spool)
    }

    /// Records a run that ended. If no store can be written, the run waits in the spool.
    ///
    /// # Errors
    /// If the run can neither be recorded nor spooled.
    pub fn end(
        &self,
        under_way: Option<ActiveRun>,
        run: &Run,
        files: &[RunFile],
        warn: &WarningSink,
    ) -> Result<RecordOutcome, TrackingError> {
        let BackgroundResult { begun, system_metrics } = match under_way {
            Some(ActiveRun { stop, background }) => {
                let _ = stop.send(());
                background.join().unwrap_or_default()
            }
            None => BackgroundResult { begun: true, system_metrics: Vec::new() },
        };
        let mut run = run.clone();
        run.metrics.extend(system_metrics);
        let Some(fallback) = &self.fallback else {
            return match self.store.end(&run, files) {
                Ok(reference) => Ok(RecordOutcome::Primary(reference)),
                Err(error) => {
                    // otherwise the warning was printed when the run began
                    if begun {
                        warn(error.to_string());
                    }
                    Ok(RecordOutcome::Spooled(self.spool.store_run(&run, files)?))
                }
            };
        };
        if begun {
            match self.store.end(&run, files) {
                Ok(reference) if !reference.may_have_duplicates => return Ok(RecordOutcome::Primary(reference)),
                Ok(reference) => {
                    run.tags.insert(DUPLICATES_TAG.into(), self.store.uri());
                    if let Err(error) = fallback.end(&run, files) {
                        warn(error.to_string());
                    }
                    warn(format!(
                        "{}: a response was lost, so the server may hold duplicates; `train sync` removes them",
                        self.store.uri()
                    ));
                    return Ok(RecordOutcome::Primary(reference));
                }
                Err(error) => warn(error.to_string()),
            }
        }
        match fallback.end(&run, files) {
            Ok(reference) => Ok(RecordOutcome::Fallback(reference, fallback.uri())),
            Err(error) => {
                warn(error.to_string());
                Ok(RecordOutcome::Spooled(self.spool.store_run(&run, files)?))
            }
        }
    }
}

fn catch_up(store: &dyn RunStore, fallback: Option<&dyn RunStore>, spool: &Spool) -> Vec<String> {
    let mut warnings = Vec::new();
    let file = fallback.unwrap_or(store);
    // waiting runs first: their programs are gone, too, but the runs ended
    match spool.deliver(file) {
        Ok(summary) => {
            if summary.runs > 0 {
                warnings.push(format!("{} that waited: recorded in {}", runs(summary.runs), file.uri()));
            }
            for (folder, store) in summary.elsewhere {
                let folder = folder.display();
                warnings.push(format!(
                    "{folder}: a run waits there for {store}; to record it, train with that --mlflow-tracking-uri"
                ));
            }
            warnings.extend(summary.errors);
        }
        Err(error) => warnings.push(error.to_string()),
    }
    for store in [Some(store), fallback].into_iter().flatten() {
        match store.mark_orphaned_runs_killed() {
            Ok(killed) if killed.is_empty() => {}
            Ok(killed) => {
                warnings.push(format!("{} of killed programs: marked KILLED ({})", runs(killed.len()), killed.join(", ")));
            }
            Err(error) => warnings.push(error.to_string()),
        }
    }
    warnings
}

/// Samples system metrics until `stop_signal`, and once more then; returns all samples. `report` receives unreported samples a few
/// times, and returns whether it sent them.
fn sample_system_metrics(
    stop_signal: &mpsc::Receiver<()>,
    mut pause: Duration,
    report: &mut dyn FnMut(&[Metric]) -> bool,
) -> Vec<Metric> {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    let mut sampler = SystemMetricsSampler::new();
    let mut all = sampler.sample(now());
    let (mut count, mut reported, mut reports, mut wait) = (1, 0, 0, pause);
    let mut last = Instant::now();
    while let Err(RecvTimeoutError::Timeout) = stop_signal.recv_timeout(pause) {
        all.extend(sampler.sample(now()));
        count += 1;
        if count % SAMPLES_PER_PAUSE == 0 {
            pause *= 2;
        }
        if reports < MAX_METRIC_REPORTS && last.elapsed() >= wait && report(&all[reported..]) {
            (reported, last) = (all.len(), Instant::now());
            (reports, wait) = (reports + 1, wait * 4);
        }
    }
    all.extend(sampler.sample(now()));
    all
}

fn runs(count: usize) -> String {
    if count == 1 { "1 run".into() } else { format!("{count} runs") }
}
