//! Lists runs.

use std::collections::BTreeMap;

use rusqlite::{Row, params};

use crate::{entities::run::ListedRun, error::TrackingError, sqlite::store::SqliteStore};

impl SqliteStore {
    /// The latest `limit` runs, the newest first, without deleted ones; only those of `experiment` if it is given. `None` if the
    /// experiment does not exist.
    ///
    /// # Errors
    /// If there is no database, or it cannot be read.
    pub fn runs(&self, experiment: Option<&str>, limit: u32) -> Result<Option<Vec<ListedRun>>, TrackingError> {
        let connection = self.connect_existing()?;
        let sqlite_error = TrackingError::sqlite(&self.database);
        if let Some(name) = experiment {
            let known = "SELECT EXISTS (SELECT 1 FROM experiments WHERE name = ?1)";
            if !connection.query_row(known, [name], |row| row.get::<_, bool>(0)).map_err(&sqlite_error)? {
                return Ok(None);
            }
        }
        let mut statement = connection
            .prepare(
                "SELECT run_uuid, coalesce(runs.name, ''), experiments.name, experiments.experiment_id, coalesce(status, ''), \
                 start_time, end_time FROM runs JOIN experiments USING (experiment_id) \
                 WHERE runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active' \
                 AND (?1 IS NULL OR experiments.name = ?1) ORDER BY start_time DESC, run_uuid LIMIT ?2",
            )
            .map_err(&sqlite_error)?;
        let rows = statement.query_map(params![experiment, limit], listed).map_err(&sqlite_error)?;
        let mut runs = rows.collect::<Result<Vec<ListedRun>, _>>().map_err(&sqlite_error)?;
        let mut metrics = connection
            .prepare("SELECT \"key\", value FROM latest_metrics WHERE run_uuid = ?1 AND is_nan = 0")
            .map_err(&sqlite_error)?;
        for run in &mut runs {
            let points = metrics.query_map([&run.run_id], |row| Ok((row.get(0)?, row.get(1)?))).map_err(&sqlite_error)?;
            run.metrics = points.collect::<Result<_, _>>().map_err(&sqlite_error)?;
        }
        Ok(Some(runs))
    }
}

fn listed(row: &Row) -> rusqlite::Result<ListedRun> {
    Ok(ListedRun {
        run_id: row.get(0)?,
        run_name: row.get(1)?,
        experiment: row.get(2)?,
        experiment_id: row.get::<_, i64>(3)?.to_string(),
        status: row.get(4)?,
        started_at_ms: row.get(5)?,
        ended_at_ms: row.get(6)?,
        metrics: BTreeMap::new(),
    })
}
