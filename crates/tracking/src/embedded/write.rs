//! The rows of a run.

use std::path::Path;

use artifact::{DatasetInput, MetricPoint, RunRecord, RunStatus};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};

use super::{EmbeddedStore, guard};
use crate::{TrackingError, new_run_id};

/// Longer values are cut, as MLflow does.
const LONGEST_PARAMETER: usize = 6_000;
const LONGEST_TAG: usize = 8_000;
/// A longer schema is left out: half of one cannot be read.
const LONGEST_SCHEMA: usize = 1_048_575;
/// Digits of a file's digest that stand for it; the manifests have all.
const DIGEST_DIGITS: usize = 16;

/// The id of the record's experiment, which is made if there is none of that name.
pub(super) fn experiment(connection: &Connection, store: &EmbeddedStore, record: &RunRecord) -> Result<i64, TrackingError> {
    let fault = TrackingError::sqlite(&store.database);
    let workspace = if guard::has_workspaces(connection).map_err(&fault)? { " AND workspace = 'default'" } else { "" };
    let found: Option<(i64, String)> = connection
        .query_row(
            &format!("SELECT experiment_id, lifecycle_stage FROM experiments WHERE name = ?1{workspace}"),
            [&record.name],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
        .map_err(&fault)?;
    match found {
        Some((id, stage)) if stage == "deleted" => {
            Err(TrackingError::DeletedExperiment { database: store.database.clone(), name: record.name.clone(), id })
        }
        Some((id, _)) => Ok(id),
        None => create_experiment(connection, store, record).map_err(fault),
    }
}

fn create_experiment(connection: &Connection, store: &EmbeddedStore, record: &RunRecord) -> rusqlite::Result<i64> {
    connection.execute(
        "INSERT INTO experiments (name, lifecycle_stage, creation_time, last_update_time) VALUES (?1, 'active', ?2, ?2)",
        params![record.name, record.times.started_at_ms.cast_signed()],
    )?;
    let id = connection.last_insert_rowid();
    connection.execute(
        "UPDATE experiments SET artifact_location = ?1 WHERE experiment_id = ?2",
        params![store.artifacts().join(id.to_string()).to_string_lossy(), id],
    )?;
    Ok(id)
}

/// Writes the run, over what an earlier call wrote of it.
pub(super) fn run(connection: &Connection, artifacts: &Path, experiment: i64, record: &RunRecord) -> rusqlite::Result<()> {
    let identity = &record.identity;
    let id = identity.run_id.as_str();
    let (status, ended) = match record.status {
        RunStatus::Running => ("RUNNING", None),
        RunStatus::Finished => ("FINISHED", Some(record.times.ended_at_ms.cast_signed())),
        RunStatus::Failed => ("FAILED", Some(record.times.ended_at_ms.cast_signed())),
    };
    connection.execute(
        "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, end_time, \
         source_version, lifecycle_stage, artifact_uri, experiment_id) \
         VALUES (?1, ?2, 'UNKNOWN', '', '', ?3, ?4, ?5, ?6, '', 'active', ?7, ?8) \
         ON CONFLICT (run_uuid) DO UPDATE SET status = excluded.status, end_time = excluded.end_time",
        params![
            id,
            identity.run_name,
            identity.user.as_deref().unwrap_or_default(),
            status,
            record.times.started_at_ms.cast_signed(),
            ended,
            artifacts.to_string_lossy(),
            experiment
        ],
    )?;
    tags(connection, record)?;
    let mut parameter = connection.prepare(
        "INSERT INTO params (\"key\", value, run_uuid) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = excluded.value",
    )?;
    for (name, value) in &record.parameters {
        parameter.execute(params![name, cut(&plain(value), LONGEST_PARAMETER), id])?;
    }
    metrics(connection, record)?;
    record.datasets.iter().try_for_each(|input| dataset(connection, experiment, id, input))
}

fn tags(connection: &Connection, record: &RunRecord) -> rusqlite::Result<()> {
    let identity = &record.identity;
    // a name that was changed in the browser while the run was under way stays
    connection.execute(
        "INSERT INTO tags (\"key\", value, run_uuid) VALUES ('mlflow.runName', ?1, ?2) ON CONFLICT DO NOTHING",
        [&identity.run_name, &identity.run_id],
    )?;
    let of_mlflow = [
        ("mlflow.user", identity.user.as_deref()),
        ("mlflow.source.name", Some(identity.source.as_str())),
        ("mlflow.source.type", Some("LOCAL")),
        ("mlflow.source.git.commit", identity.commit.as_deref()),
        ("mlflow.source.git.branch", identity.branch.as_deref()),
        ("mlflow.note.content", Some(record.note.as_str()).filter(|note| !note.is_empty())),
    ];
    let own = record.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let mut tag = connection.prepare(
        "INSERT INTO tags (\"key\", value, run_uuid) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = excluded.value",
    )?;
    for (key, value) in of_mlflow.into_iter().filter_map(|(key, value)| Some((key, value?))).chain(own) {
        tag.execute([key, cut(value, LONGEST_TAG), &identity.run_id])?;
    }
    Ok(())
}

/// The history of every metric, and its latest point: that of the highest step.
fn metrics(connection: &Connection, record: &RunRecord) -> rusqlite::Result<()> {
    let (id, timestamp) = (&record.identity.run_id, record.times.ended_at_ms.cast_signed());
    let mut point = connection.prepare(
        "INSERT INTO metrics (\"key\", value, timestamp, run_uuid, step, is_nan) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT DO NOTHING",
    )?;
    let mut latest = connection.prepare(
        "INSERT INTO latest_metrics (\"key\", value, timestamp, run_uuid, step, is_nan) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT DO UPDATE SET value = excluded.value, timestamp = excluded.timestamp, step = excluded.step, \
         is_nan = excluded.is_nan WHERE excluded.step >= latest_metrics.step",
    )?;
    for MetricPoint { key, value, step } in &record.metrics {
        // MLflow's columns hold neither NaN nor infinity
        let stored = if value.is_nan() { 0.0 } else { value.clamp(f64::MIN, f64::MAX) };
        let row = params![key, stored, timestamp, id, step, value.is_nan()];
        point.execute(row)?;
        latest.execute(row)?;
    }
    Ok(())
}

fn dataset(connection: &Connection, experiment: i64, run: &str, input: &DatasetInput) -> rusqlite::Result<()> {
    let path = &input.source.path;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = format!("{stem}:{}", input.context);
    let hex = input.source.digest.hex();
    let digest = &hex[..DIGEST_DIGITS.min(hex.len())];
    let columns: Vec<Value> =
        input.columns.iter().map(|name| json!({"type": "double", "name": name, "required": true})).collect();
    let schema = Some(json!({ "mlflow_colspec": columns }).to_string()).filter(|text| text.len() <= LONGEST_SCHEMA);
    let profile = json!({"num_rows": input.rows, "num_elements": input.rows * input.columns.len() as u64});
    connection.execute(
        "INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source, dataset_schema, \
         dataset_profile) VALUES (?1, ?2, ?3, ?4, 'local', ?5, ?6, ?7) ON CONFLICT DO NOTHING",
        params![
            new_run_id(),
            experiment,
            name,
            digest,
            json!({"uri": path.to_string_lossy()}).to_string(),
            schema,
            profile.to_string()
        ],
    )?;
    let dataset: String = connection.query_row(
        "SELECT dataset_uuid FROM datasets WHERE experiment_id = ?1 AND name = ?2 AND digest = ?3",
        params![experiment, name, digest],
        |row| row.get(0),
    )?;
    connection.execute(
        "INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id, step) \
         VALUES (?1, 'DATASET', ?2, 'RUN', ?3, 0) ON CONFLICT DO NOTHING",
        [&new_run_id(), &dataset, run],
    )?;
    connection.execute(
        "INSERT INTO input_tags (input_uuid, name, value) \
         SELECT input_uuid, 'mlflow.data.context', ?1 FROM inputs \
         WHERE source_type = 'DATASET' AND source_id = ?2 AND destination_type = 'RUN' AND destination_id = ?3 \
         ON CONFLICT DO NOTHING",
        [if input.context == "train" { "training" } else { "testing" }, &dataset, run],
    )?;
    Ok(())
}

/// A parameter's value as MLflow's client would write it: text without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "None".into(),
        other => other.to_string(),
    }
}

/// The first `longest` characters.
fn cut(text: &str, longest: usize) -> &str {
    text.char_indices().nth(longest).map_or(text, |(end, _)| &text[..end])
}
