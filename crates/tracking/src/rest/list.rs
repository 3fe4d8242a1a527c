//! Lists the runs of a server.

use std::collections::BTreeMap;

use serde_json::json;

use crate::{
    entities::run::ListedRun,
    error::TrackingError,
    rest::{
        api,
        responses::{NamedExperiment, RemoteRun},
        store::RestStore,
    },
};

impl RestStore {
    /// The latest `limit` runs, the newest first, without deleted ones; only those of `experiment` if it is given. `None` if the
    /// experiment does not exist.
    ///
    /// # Errors
    /// If the server cannot be read.
    pub fn runs(&self, experiment: Option<&str>, limit: u32) -> Result<Option<Vec<ListedRun>>, TrackingError> {
        let experiments: Vec<NamedExperiment> =
            self.experiments()?.into_iter().filter(|known| experiment.is_none_or(|name| known.name == name)).collect();
        if experiments.is_empty() && experiment.is_some() {
            return Ok(None);
        }
        let ids: Vec<&str> = experiments.iter().map(|experiment| experiment.experiment_id.as_str()).collect();
        let body = json!({
            "experiment_ids": ids,
            "run_view_type": "ACTIVE_ONLY",
            "max_results": limit.min(1000),
            "order_by": ["attributes.start_time DESC"],
        });
        let mut results = Vec::new();
        api::search(&self.connection, "listing runs", "runs/search", &body, &mut |page| {
            results.extend(page.runs.into_iter().map(|run| listed(run, &experiments)));
            results.len() < limit as usize
        })?;
        results.truncate(limit as usize);
        Ok(Some(results))
    }

    fn experiments(&self) -> Result<Vec<NamedExperiment>, TrackingError> {
        let mut results = Vec::new();
        let body = json!({"max_results": 1000, "view_type": "ACTIVE_ONLY"});
        api::search(&self.connection, "listing experiments", "experiments/search", &body, &mut |page| {
            results.extend(page.experiments);
            true
        })?;
        Ok(results)
    }
}

fn listed(run: RemoteRun, experiments: &[NamedExperiment]) -> ListedRun {
    let name = experiments.iter().find(|known| known.experiment_id == run.info.experiment_id);
    let value = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.parse().ok(),
        other => other.as_f64(),
    };
    let metrics: BTreeMap<String, f64> = run
        .data
        .metrics
        .into_iter()
        .filter_map(|metric| Some((metric.key, value(&metric.value).filter(|value| value.is_finite())?)))
        .collect();
    ListedRun {
        run_id: run.info.run_id,
        run_name: run.info.run_name,
        experiment: name.map_or_else(String::new, |known| known.name.clone()),
        experiment_id: run.info.experiment_id,
        status: run.info.status,
        started_at_ms: run.info.start_time,
        ended_at_ms: run.info.end_time.filter(|end| *end > 0),
        metrics,
    }
}
