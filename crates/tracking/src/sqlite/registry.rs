//! Registered models in the database.

use std::{collections::BTreeMap, path::Path};

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use crate::{
    entities::{
        registry::{AliasChange, ModelVersion, RegisteredModel, Registry, history_key, history_value, logged_model_of},
        run::Registration,
    },
    error::TrackingError,
    sqlite::{
        store::{SqliteStore, string_pairs, without_scheme},
        write,
    },
};

/// MLflow's stage of a deleted version, whose row stays.
pub(super) const DELETED_STAGE: &str = "Deleted_Internal";
/// The tag of a logged model that lists its versions.
pub(super) const VERSIONS_TAG: &str = "mlflow.modelVersions";

/// Registers a logged model, or returns its existing version.
pub(super) fn register(
    connection: &Connection,
    folder: &Path,
    experiment: i64,
    run: &str,
    user: &str,
    registration: &Registration,
) -> rusqlite::Result<String> {
    let Registration { name, model_id, description, tags, aliases, created } = registration;
    let source = format!("models:/{model_id}");
    let query = "SELECT version FROM model_versions WHERE name = ?1 AND source = ?2 AND current_stage <> ?3";
    if let Some(version) =
        connection.query_row(query, params![name, source, DELETED_STAGE], |row| row.get::<_, i64>(0)).optional()?
    {
        return Ok(version.to_string());
    }
    connection.execute(
        "INSERT INTO registered_models (name, creation_time, last_updated_time, description) VALUES (?1, ?2, ?2, '') \
         ON CONFLICT DO NOTHING",
        params![name, created],
    )?;
    let version: i64 =
        connection.query_row("SELECT coalesce(max(version), 0) + 1 FROM model_versions WHERE name = ?1", [name], |row| {
            row.get(0)
        })?;
    connection.execute(
        "INSERT INTO model_versions (name, version, creation_time, last_updated_time, description, user_id, current_stage, \
         source, run_id, status, storage_location) VALUES (?1, ?2, ?3, ?3, ?4, ?5, 'None', ?6, ?7, 'READY', ?8)",
        params![name, version, created, description, user, source, run, folder.to_string_lossy()],
    )?;
    connection.execute("UPDATE registered_models SET last_updated_time = ?2 WHERE name = ?1", params![name, created])?;
    let version = version.to_string();
    for (key, value) in tags {
        tag_version(connection, name, &version, key, value)?;
    }
    for alias in aliases {
        let from = alias_of(connection, name, alias)?;
        let change = AliasChange::registered(*created, &version, from, user);
        tag_registered(connection, name, &history_key(alias, *created), &history_value(&change))?;
        set_alias(connection, name, alias, &version)?;
    }
    tag_with_version(connection, model_id, experiment, name, &version)?;
    Ok(version)
}

/// Tags the logged model with its version, as MLflow does, with the spaces of Python's JSON.
fn tag_with_version(
    connection: &Connection,
    model: &str,
    experiment: i64,
    name: &str,
    version: &str,
) -> rusqlite::Result<()> {
    let known = "SELECT tag_value FROM logged_model_tags WHERE model_id = ?1 AND tag_key = ?2";
    let known: Option<String> = connection.query_row(known, [model, VERSIONS_TAG], |row| row.get(0)).optional()?;
    let known: Vec<Value> = known.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let written = known.iter().map(|entry| format!("{{\"name\": {}, \"version\": {}}}", entry["name"], entry["version"]));
    let new = format!("{{\"name\": {}, \"version\": {version}}}", Value::from(name));
    let all: Vec<String> = written.chain([new]).collect();
    write::tag_model(connection, model, experiment, VERSIONS_TAG, &format!("[{}]", all.join(", ")))
}

fn alias_of(connection: &Connection, name: &str, alias: &str) -> rusqlite::Result<Option<String>> {
    let query = "SELECT version FROM registered_model_aliases WHERE name = ?1 AND alias = ?2";
    let version: Option<i64> = connection.query_row(query, [name, alias], |row| row.get(0)).optional()?;
    Ok(version.map(|version| version.to_string()))
}

fn set_alias(connection: &Connection, name: &str, alias: &str, version: &str) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO registered_model_aliases (name, alias, version) VALUES (?1, ?2, CAST(?3 AS INTEGER)) \
         ON CONFLICT DO UPDATE SET version = excluded.version",
        [name, alias, version],
    )?;
    Ok(())
}

fn tag_registered(connection: &Connection, name: &str, key: &str, value: &str) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO registered_model_tags (\"key\", value, name) VALUES (?1, ?2, ?3) \
         ON CONFLICT DO UPDATE SET value = excluded.value",
        [key, value, name],
    )?;
    Ok(())
}

fn tag_version(connection: &Connection, name: &str, version: &str, key: &str, value: &str) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO model_version_tags (\"key\", value, name, version) VALUES (?1, ?2, ?3, CAST(?4 AS INTEGER)) \
         ON CONFLICT DO UPDATE SET value = excluded.value",
        [key, value, name, version],
    )?;
    Ok(())
}

/// The tags of a version.
pub(super) fn version_tags(
    connection: &Connection,
    name: &str,
    version: &str,
) -> rusqlite::Result<BTreeMap<String, String>> {
    let tags = "SELECT \"key\", value FROM model_version_tags WHERE name = ?1 AND version = CAST(?2 AS INTEGER)";
    string_pairs(connection, tags, &[name, version])
}

impl SqliteStore {
    /// The names of all registered models.
    pub(crate) fn registered_models(&self) -> Result<Vec<String>, TrackingError> {
        let connection = self.connect_existing()?;
        let names: Result<BTreeMap<_, _>, _> = string_pairs(&connection, "SELECT name, name FROM registered_models", &[]);
        Ok(names.map_err(TrackingError::sqlite(&self.database))?.into_keys().collect())
    }
}

impl Registry for SqliteStore {
    fn model(&self, name: &str) -> Result<Option<RegisteredModel>, TrackingError> {
        let connection = self.connect_existing()?;
        let sqlite_error = TrackingError::sqlite(&self.database);
        let query = "SELECT EXISTS (SELECT 1 FROM registered_models WHERE name = ?1)";
        if !connection.query_row(query, [name], |row| row.get::<_, bool>(0)).map_err(&sqlite_error)? {
            return Ok(None);
        }
        let tags = "SELECT \"key\", value FROM registered_model_tags WHERE name = ?1";
        let aliases = "SELECT alias, CAST(version AS TEXT) FROM registered_model_aliases WHERE name = ?1";
        Ok(Some(RegisteredModel {
            name: name.to_owned(),
            tags: string_pairs(&connection, tags, &[name]).map_err(&sqlite_error)?,
            aliases: string_pairs(&connection, aliases, &[name]).map_err(&sqlite_error)?,
        }))
    }

    fn versions(&self, name: &str) -> Result<Vec<ModelVersion>, TrackingError> {
        let connection = self.connect_existing()?;
        let read = || -> rusqlite::Result<Vec<ModelVersion>> {
            let mut statement = connection.prepare(
                "SELECT CAST(version AS TEXT), creation_time, run_id, source, description FROM model_versions \
                 WHERE name = ?1 AND coalesce(current_stage, '') <> ?2 ORDER BY model_versions.version DESC",
            )?;
            let version = |row: &rusqlite::Row| {
                let source: String = row.get::<_, Option<String>>(3)?.unwrap_or_default();
                Ok(ModelVersion {
                    name: name.to_owned(),
                    version: row.get(0)?,
                    created: row.get::<_, Option<i64>>(1)?.unwrap_or_default(),
                    run_id: row.get(2)?,
                    model_id: logged_model_of(&source),
                    source,
                    description: row.get::<_, Option<String>>(4)?.unwrap_or_default(),
                    tags: BTreeMap::new(),
                })
            };
            let mut versions = statement.query_map([name, DELETED_STAGE], version)?.collect::<Result<Vec<_>, _>>()?;
            for version in &mut versions {
                version.tags = version_tags(&connection, name, &version.version)?;
            }
            Ok(versions)
        };
        read().map_err(TrackingError::sqlite(&self.database))
    }

    fn set_alias(&self, name: &str, alias: &str, version: &str) -> Result<(), TrackingError> {
        let mut connection = self.connect_existing()?;
        let sqlite_error = TrackingError::sqlite(&self.database);
        self.transact(&mut connection, |transaction| set_alias(transaction, name, alias, version).map_err(&sqlite_error))
    }

    fn tag_model(&self, name: &str, key: &str, value: &str) -> Result<(), TrackingError> {
        let mut connection = self.connect_existing()?;
        let sqlite_error = TrackingError::sqlite(&self.database);
        self.transact(&mut connection, |transaction| tag_registered(transaction, name, key, value).map_err(&sqlite_error))
    }

    fn tag_version(&self, name: &str, version: &str, key: &str, value: &str) -> Result<(), TrackingError> {
        let mut connection = self.connect_existing()?;
        let sqlite_error = TrackingError::sqlite(&self.database);
        self.transact(&mut connection, |transaction| {
            tag_version(transaction, name, version, key, value).map_err(&sqlite_error)
        })
    }

    fn fetch(&self, version: &ModelVersion, file: &str, to: &Path) -> Result<(), TrackingError> {
        let connection = self.connect_existing()?;
        let location = "SELECT storage_location FROM model_versions WHERE name = ?1 AND version = CAST(?2 AS INTEGER)";
        let folder: Option<String> = connection
            .query_row(location, [&version.name, &version.version], |row| row.get(0))
            .map_err(TrackingError::sqlite(&self.database))?;
        let folder = folder.unwrap_or_default();
        let path = Path::new(without_scheme(&folder)).join(file);
        Ok(artifact::copy_file_bounded(&path, to, crate::entities::store::max_file_bytes(file))?)
    }

    fn model_page(&self, _: &str) -> Option<String> {
        None
    }
}
