//! Checks the tables of a database before anything is written to it.

use std::path::Path;

use rusqlite::Connection;

use crate::error::TrackingError;

/// The tables and columns that are written.
const REQUIRED_COLUMNS: [(&str, &[&str]); 18] = [
    ("experiments", &["experiment_id", "name", "artifact_location", "lifecycle_stage", "creation_time", "last_update_time"]),
    (
        "runs",
        &[
            "run_uuid",
            "name",
            "source_type",
            "source_name",
            "entry_point_name",
            "user_id",
            "status",
            "start_time",
            "end_time",
            "source_version",
            "lifecycle_stage",
            "artifact_uri",
            "experiment_id",
        ],
    ),
    ("params", &["key", "value", "run_uuid"]),
    ("tags", &["key", "value", "run_uuid"]),
    ("metrics", &["key", "value", "timestamp", "run_uuid", "step", "is_nan"]),
    ("latest_metrics", &["key", "value", "timestamp", "run_uuid", "step", "is_nan"]),
    (
        "datasets",
        &[
            "dataset_uuid",
            "experiment_id",
            "name",
            "digest",
            "dataset_source_type",
            "dataset_source",
            "dataset_schema",
            "dataset_profile",
        ],
    ),
    ("inputs", &["input_uuid", "source_type", "source_id", "destination_type", "destination_id", "step"]),
    ("input_tags", &["input_uuid", "name", "value"]),
    (
        "logged_models",
        &[
            "model_id",
            "experiment_id",
            "name",
            "artifact_location",
            "creation_timestamp_ms",
            "last_updated_timestamp_ms",
            "status",
            "lifecycle_stage",
            "model_type",
            "source_run_id",
        ],
    ),
    ("logged_model_params", &["model_id", "experiment_id", "param_key", "param_value"]),
    ("logged_model_tags", &["model_id", "experiment_id", "tag_key", "tag_value"]),
    (
        "logged_model_metrics",
        &[
            "model_id",
            "metric_name",
            "metric_timestamp_ms",
            "metric_step",
            "metric_value",
            "experiment_id",
            "run_id",
            "dataset_uuid",
            "dataset_name",
            "dataset_digest",
        ],
    ),
    ("registered_models", &["name", "creation_time", "last_updated_time", "description"]),
    (
        "model_versions",
        &[
            "name",
            "version",
            "creation_time",
            "last_updated_time",
            "description",
            "user_id",
            "current_stage",
            "source",
            "run_id",
            "status",
            "storage_location",
        ],
    ),
    ("registered_model_aliases", &["name", "alias", "version"]),
    ("registered_model_tags", &["key", "value", "name"]),
    ("model_version_tags", &["key", "value", "name", "version"]),
];

/// A column of a table.
struct SqliteColumn {
    name: String,
    is_required: bool,
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<SqliteColumn>> {
    let mut statement = connection.prepare("SELECT name, \"notnull\" AND dflt_value IS NULL FROM pragma_table_info(?1)")?;
    statement.query_map([table], |row| Ok(SqliteColumn { name: row.get(0)?, is_required: row.get(1)? }))?.collect()
}

/// Whether the database has no table at all.
pub(super) fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_master)", [], |row| row.get(0))
}

/// Whether experiments have workspaces, as since MLflow 3.10.
pub(super) fn has_workspaces(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(columns(connection, "experiments")?.iter().any(|column| column.name == "workspace"))
}

/// Checks that every written column exists, and that no other column is required.
pub(super) fn check(connection: &Connection, database: &Path) -> Result<(), TrackingError> {
    let sqlite_error = TrackingError::sqlite(database);
    if columns(connection, "alembic_version").map_err(&sqlite_error)?.is_empty() {
        return Err(TrackingError::NotMlflow { database: database.to_owned() });
    }
    for (table, written) in REQUIRED_COLUMNS {
        let existing = columns(connection, table).map_err(&sqlite_error)?;
        if existing.is_empty() {
            return Err(TrackingError::TooOld { database: database.to_owned(), what: format!("table \"{table}\"") });
        }
        if let Some(absent) = written.iter().find(|name| existing.iter().all(|column| column.name != **name)) {
            let what = format!("column \"{table}.{absent}\"");
            return Err(TrackingError::TooOld { database: database.to_owned(), what });
        }
        if let Some(unknown) = existing.iter().find(|column| column.is_required && !written.contains(&column.name.as_str()))
        {
            let column = format!("\"{table}.{}\"", unknown.name);
            return Err(TrackingError::TooNew { database: database.to_owned(), column });
        }
    }
    Ok(())
}
