//! What a training holds: its store while that can be written, the spool when not. Tracking never costs a model.

use std::path::{Path, PathBuf};

use artifact::RunRecord;

use crate::{EmbeddedStore, Location, RunFile, RunStore, Spool, TrackingError};

/// Records one run. What goes wrong comes back as warnings, for the caller to show.
#[derive(Debug)]
pub struct Tracker {
    store: Box<dyn RunStore>,
    spool: Spool,
}

/// Where a run was recorded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Recorded {
    /// In the store, under the experiment of this id.
    Experiment(String),
    /// In this folder, until the store can be written.
    Waiting(PathBuf),
}

impl Tracker {
    /// For the store at `location`; runs wait in `spool` when it cannot be written. Touches nothing yet.
    pub fn new(location: &Location, spool: &Path) -> Self {
        let store = Box::new(EmbeddedStore::at(&location.database));
        let spool = Spool::at(spool, &store.uri());
        Self { store, spool }
    }

    /// The store's address, as MLflow writes it.
    pub fn uri(&self) -> String {
        self.store.uri()
    }

    /// Notes that a run is under way, and [catches up](Self::catch_up).
    pub fn begin(&self, record: &RunRecord) -> Vec<String> {
        match self.store.begin(record) {
            Ok(_) => self.catch_up(),
            Err(error) => vec![error.to_string()],
        }
    }

    /// Delivers the runs that wait, and notes of those that were under way which are not any more because their program was
    /// killed.
    pub fn catch_up(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        // first what waits: its program is gone as well, but it ended
        match self.spool.deliver(self.store.as_ref()) {
            Ok(delivered) => {
                if delivered.runs > 0 {
                    warnings.push(format!("{} that waited: now in {}", runs(delivered.runs), self.uri()));
                }
                for (folder, store) in delivered.elsewhere {
                    let folder = folder.display();
                    warnings.push(format!(
                        "{folder}: a run waits there for {store}; a training with that --mlflow-tracking-uri records it"
                    ));
                }
                warnings.extend(delivered.faults);
            }
            Err(error) => warnings.push(error.to_string()),
        }
        match self.store.reap() {
            Ok(killed) if killed.is_empty() => {}
            Ok(killed) => {
                warnings.push(format!("{} of killed programs: marked KILLED ({})", runs(killed.len()), killed.join(", ")));
            }
            Err(error) => warnings.push(error.to_string()),
        }
        warnings
    }

    /// Records a run that came to its end; where that cannot be done, leaves it to wait.
    ///
    /// # Errors
    /// If the run can neither be recorded nor left to wait.
    pub fn end(&self, record: &RunRecord, files: &[RunFile]) -> Result<(Recorded, Vec<String>), TrackingError> {
        match self.store.end(record, files) {
            Ok(experiment) => Ok((Recorded::Experiment(experiment), Vec::new())),
            Err(error) => Ok((Recorded::Waiting(self.spool.keep(record, files)?), vec![error.to_string()])),
        }
    }
}

fn runs(count: usize) -> String {
    if count == 1 { "1 run".into() } else { format!("{count} runs") }
}
