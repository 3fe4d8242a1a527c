//! Writes the rows of a run and of its models.

use std::{collections::BTreeMap, path::Path};

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    entities::run::{LoggedModel, Metric, RUN_NAME_TAG, Run, RunDataset, new_run_id},
    error::TrackingError,
    sqlite::{schema_check, store::SqliteStore},
};

/// The status of a logged model in MLflow's tables.
const PENDING_STATUS: i64 = 1;
pub(super) const READY_STATUS: i64 = 2;

/// The id of the run's experiment: its current one, or the one of its name, which is created if it does not exist.
pub(super) fn experiment(connection: &Connection, store: &SqliteStore, run: &Run) -> Result<i64, TrackingError> {
    let sqlite_error = TrackingError::sqlite(&store.database);
    let of_run = "SELECT experiment_id FROM runs WHERE run_uuid = ?1 AND experiment_id IS NOT NULL";
    if let Some(id) = connection.query_row(of_run, [&run.run_id], |row| row.get(0)).optional().map_err(&sqlite_error)? {
        return Ok(id);
    }
    let workspace =
        if schema_check::has_workspaces(connection).map_err(&sqlite_error)? { " AND workspace = 'default'" } else { "" };
    let existing: Option<(i64, String)> = connection
        .query_row(
            &format!("SELECT experiment_id, lifecycle_stage FROM experiments WHERE name = ?1{workspace}"),
            [&run.experiment],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
        .map_err(&sqlite_error)?;
    match existing {
        Some((id, stage)) if stage == "deleted" => Err(TrackingError::DeletedExperiment {
            store: store.database.display().to_string(),
            name: run.experiment.clone(),
            id: id.to_string(),
        }),
        Some((id, _)) => Ok(id),
        None => create_experiment(connection, store, run).map_err(sqlite_error),
    }
}

fn create_experiment(connection: &Connection, store: &SqliteStore, run: &Run) -> rusqlite::Result<i64> {
    connection.execute(
        "INSERT INTO experiments (name, lifecycle_stage, creation_time, last_update_time) VALUES (?1, 'active', ?2, ?2)",
        params![run.experiment, run.start_time],
    )?;
    let id = connection.last_insert_rowid();
    connection.execute(
        "UPDATE experiments SET artifact_location = ?1 WHERE experiment_id = ?2",
        params![store.artifacts().join(id.to_string()).to_string_lossy(), id],
    )?;
    Ok(id)
}

/// Writes the run, and replaces what an earlier call wrote.
pub(super) fn run(connection: &Connection, store: &SqliteStore, experiment: i64, run: &Run) -> rusqlite::Result<()> {
    let id = run.run_id.as_str();
    connection.execute(
        "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, end_time, \
         source_version, lifecycle_stage, artifact_uri, experiment_id) \
         VALUES (?1, ?2, 'UNKNOWN', '', '', ?3, ?4, ?5, ?6, '', 'active', ?7, ?8) \
         ON CONFLICT (run_uuid) DO UPDATE SET status = excluded.status, end_time = excluded.end_time",
        params![
            id,
            run.run_name,
            run.user,
            run.status.name(),
            run.start_time,
            run.end_time,
            store.run_folder(experiment, id).to_string_lossy(),
            experiment
        ],
    )?;
    tags(connection, run)?;
    let mut parameter = connection.prepare(
        "INSERT INTO params (\"key\", value, run_uuid) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = excluded.value",
    )?;
    for (name, value) in &run.params {
        parameter.execute([name, value, id])?;
    }
    let mut datasets = BTreeMap::new();
    for input in &run.datasets {
        let uuid = dataset(connection, experiment, id, input)?;
        datasets.insert((input.name.clone(), input.digest.clone()), uuid);
    }
    for model in &run.models {
        logged_model(connection, &store.model_folder(experiment, &model.model_id), experiment, id, model)?;
    }
    metrics(connection, experiment, id, &run.metrics, &datasets)
}

/// Sets a tag of a run.
pub(super) fn tag(connection: &Connection, run: &str, key: &str, value: &str) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO tags (\"key\", value, run_uuid) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = excluded.value",
        [key, value, run],
    )?;
    Ok(())
}

fn tags(connection: &Connection, run: &Run) -> rusqlite::Result<()> {
    // a name that a user changed in MLflow during the run stays
    let mut once =
        connection.prepare("INSERT INTO tags (\"key\", value, run_uuid) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?;
    for (key, value) in &run.tags {
        if key == RUN_NAME_TAG {
            once.execute([key, value, &run.run_id])?;
        } else {
            tag(connection, &run.run_id, key, value)?;
        }
    }
    Ok(())
}

/// Writes the history of every metric, and its latest value: that of the highest step.
pub(super) fn metrics(
    connection: &Connection,
    experiment: i64,
    run: &str,
    metrics: &[Metric],
    datasets: &BTreeMap<(String, String), String>,
) -> rusqlite::Result<()> {
    let mut point = connection.prepare(
        "INSERT INTO metrics (\"key\", value, timestamp, run_uuid, step, is_nan) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT DO NOTHING",
    )?;
    let mut latest = connection.prepare(
        "INSERT INTO latest_metrics (\"key\", value, timestamp, run_uuid, step, is_nan) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT DO UPDATE SET value = excluded.value, timestamp = excluded.timestamp, step = excluded.step, \
         is_nan = excluded.is_nan WHERE excluded.step >= latest_metrics.step",
    )?;
    let mut of_model = connection.prepare(
        "INSERT INTO logged_model_metrics (model_id, metric_name, metric_timestamp_ms, metric_step, metric_value, \
         experiment_id, run_id, dataset_uuid, dataset_name, dataset_digest) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
    )?;
    for metric in metrics {
        let Metric { key, value, timestamp, step, model_id, dataset } = metric;
        // the column cannot hold NaN
        let stored = if value.is_nan() { 0.0 } else { *value };
        let row = params![key, stored, timestamp, run, step, value.is_nan()];
        point.execute(row)?;
        latest.execute(row)?;
        if let Some(model) = model_id {
            let (name, digest) = dataset.clone().unzip();
            let uuid = dataset.as_ref().and_then(|dataset| datasets.get(dataset));
            of_model.execute(params![model, key, timestamp, step, stored, experiment, run, uuid, name, digest])?;
        }
    }
    Ok(())
}

/// Adds a dataset to the inputs of the run; returns its id.
fn dataset(connection: &Connection, experiment: i64, run: &str, input: &RunDataset) -> rusqlite::Result<String> {
    connection.execute(
        "INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source, dataset_schema, \
         dataset_profile) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
        params![
            new_run_id(),
            experiment,
            input.name,
            input.digest,
            input.source_type,
            input.source,
            input.schema,
            input.profile
        ],
    )?;
    let dataset: String = connection.query_row(
        "SELECT dataset_uuid FROM datasets WHERE experiment_id = ?1 AND name = ?2 AND digest = ?3",
        params![experiment, input.name, input.digest],
        |row| row.get(0),
    )?;
    connection.execute(
        "INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id, step) \
         VALUES (?1, 'DATASET', ?2, 'RUN', ?3, 0) ON CONFLICT DO NOTHING",
        [&new_run_id(), &dataset, run],
    )?;
    for (name, value) in &input.tags {
        connection.execute(
            "INSERT INTO input_tags (input_uuid, name, value) \
             SELECT input_uuid, ?1, ?2 FROM inputs \
             WHERE source_type = 'DATASET' AND source_id = ?3 AND destination_type = 'RUN' AND destination_id = ?4 \
             ON CONFLICT DO NOTHING",
            [name, value, &dataset, run],
        )?;
    }
    Ok(dataset)
}

fn logged_model(
    connection: &Connection,
    folder: &Path,
    experiment: i64,
    run: &str,
    model: &LoggedModel,
) -> rusqlite::Result<()> {
    let id = model.model_id.as_str();
    connection.execute(
        "INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms, \
         last_updated_timestamp_ms, status, lifecycle_stage, model_type, source_run_id) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, 'active', ?7, ?8) ON CONFLICT (model_id) DO UPDATE SET status = excluded.status",
        params![
            id,
            experiment,
            model.name,
            folder.to_string_lossy(),
            model.created,
            if model.ready { READY_STATUS } else { PENDING_STATUS },
            model.model_type,
            run
        ],
    )?;
    for (key, value) in &model.params {
        connection.execute(
            "INSERT INTO logged_model_params (model_id, experiment_id, param_key, param_value) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT DO NOTHING",
            params![id, experiment, key, value],
        )?;
    }
    for (key, value) in &model.tags {
        tag_model(connection, id, experiment, key, value)?;
    }
    connection.execute(
        "INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id, step) \
         VALUES (?1, 'RUN_OUTPUT', ?2, 'MODEL_OUTPUT', ?3, ?4) ON CONFLICT DO NOTHING",
        params![new_run_id(), run, id, model.step],
    )?;
    Ok(())
}

/// Sets a tag of a logged model.
pub(super) fn tag_model(
    connection: &Connection,
    model: &str,
    experiment: i64,
    key: &str,
    value: &str,
) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO logged_model_tags (model_id, experiment_id, tag_key, tag_value) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT DO UPDATE SET tag_value = excluded.tag_value",
        params![model, experiment, key, value],
    )?;
    Ok(())
}
