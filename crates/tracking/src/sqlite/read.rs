//! Reads complete runs, for sending them to a server.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use artifact::FileEntry;
use rusqlite::{Connection, params};

use crate::{
    entities::{
        run::{LoggedModel, Metric, Registration, Run, RunDataset, Status},
        store::{ArtifactContent, ArtifactOwner, RunFile},
    },
    error::TrackingError,
    sqlite::{
        registry::{DELETED_STAGE, VERSIONS_TAG, version_tags},
        store::{SqliteStore, string_pairs, without_scheme},
    },
};

/// A stored run and the folders of its files.
#[derive(Debug)]
pub(crate) struct StoredRun {
    pub(crate) run: Run,
    artifacts: PathBuf,
    models: Vec<(String, PathBuf)>,
}

impl StoredRun {
    /// The files of the run and of its models.
    ///
    /// # Errors
    /// If one cannot be read.
    pub(crate) fn files(&self) -> Result<Vec<RunFile>, TrackingError> {
        let mut files = Vec::new();
        collect_files(&self.artifacts, Path::new(""), &ArtifactOwner::Run, &mut files)?;
        for (model, folder) in &self.models {
            collect_files(folder, Path::new(""), &ArtifactOwner::Model(model.clone()), &mut files)?;
        }
        Ok(files)
    }
}

fn collect_files(root: &Path, below: &Path, owner: &ArtifactOwner, files: &mut Vec<RunFile>) -> Result<(), TrackingError> {
    let folder = root.join(below);
    let Ok(entries) = fs::read_dir(&folder) else { return Ok(()) };
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    for name in names {
        let (artifact_path, path) = (below.join(&name), folder.join(&name));
        if path.is_dir() {
            collect_files(root, &artifact_path, owner, files)?;
        } else {
            let artifact_path = artifact_path.to_string_lossy().replace('\\', "/");
            files.push(RunFile {
                owner: owner.clone(),
                artifact_path,
                content: ArtifactContent::File(FileEntry::from_file(&path)?),
            });
        }
    }
    Ok(())
}

impl SqliteStore {
    /// The ids of runs, the oldest first, without deleted ones; only those of `experiment` if it is given.
    pub(crate) fn run_ids(&self, experiment: Option<&str>) -> Result<Vec<String>, TrackingError> {
        let connection = self.connect_existing()?;
        let read = || -> rusqlite::Result<Vec<String>> {
            let mut statement = connection.prepare(
                "SELECT run_uuid FROM runs JOIN experiments USING (experiment_id) \
                 WHERE runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active' \
                 AND (?1 IS NULL OR experiments.name = ?1) ORDER BY start_time, run_uuid",
            )?;
            statement.query_map(params![experiment], |row| row.get(0))?.collect()
        };
        read().map_err(TrackingError::sqlite(&self.database))
    }

    /// The run with this id.
    pub(crate) fn stored_run(&self, id: &str) -> Result<StoredRun, TrackingError> {
        let connection = self.connect_existing()?;
        read(&connection, id).map_err(TrackingError::sqlite(&self.database))
    }
}

fn read(connection: &Connection, id: &str) -> rusqlite::Result<StoredRun> {
    let mut stored = connection.query_row(
        "SELECT experiments.name, coalesce(runs.name, ''), coalesce(user_id, ''), status, start_time, end_time, artifact_uri \
         FROM runs JOIN experiments USING (experiment_id) WHERE run_uuid = ?1",
        [id],
        |row| {
            let status: Option<String> = row.get(3)?;
            Ok(StoredRun {
                run: Run {
                    experiment: row.get(0)?,
                    run_id: id.to_owned(),
                    run_name: row.get(1)?,
                    user: row.get(2)?,
                    status: status.and_then(|status| Status::parse(&status)).unwrap_or(Status::Running),
                    start_time: row.get::<_, Option<i64>>(4)?.unwrap_or_default(),
                    end_time: row.get(5)?,
                    params: Vec::new(),
                    metrics: Vec::new(),
                    tags: BTreeMap::new(),
                    datasets: Vec::new(),
                    models: Vec::new(),
                    registrations: Vec::new(),
                },
                artifacts: PathBuf::from(without_scheme(&row.get::<_, Option<String>>(6)?.unwrap_or_default())),
                models: Vec::new(),
            })
        },
    )?;
    stored.run.params = string_pairs(connection, "SELECT \"key\", value FROM params WHERE run_uuid = ?1 ORDER BY 1", &[id])?;
    stored.run.tags = string_pairs(connection, "SELECT \"key\", value FROM tags WHERE run_uuid = ?1", &[id])?;
    stored.run.metrics = metrics(connection, id)?;
    stored.run.datasets = datasets(connection, id)?;
    logged_models(connection, id, &mut stored)?;
    stored.run.registrations = registrations(connection, id)?;
    Ok(stored)
}

/// The metrics of a run, with the logged model and the dataset that were measured.
fn metrics(connection: &Connection, id: &str) -> rusqlite::Result<Vec<Metric>> {
    let mut statement = connection.prepare(
        "SELECT m.\"key\", m.value, m.is_nan, m.timestamp, m.step, l.model_id, l.dataset_name, l.dataset_digest \
         FROM metrics m LEFT JOIN logged_model_metrics l ON l.run_id = m.run_uuid AND l.metric_name = m.\"key\" \
         AND l.metric_timestamp_ms = m.timestamp AND l.metric_step = m.step \
         WHERE m.run_uuid = ?1 ORDER BY m.\"key\", m.step, m.timestamp",
    )?;
    let metric = |row: &rusqlite::Row| {
        let (name, digest): (Option<String>, Option<String>) = (row.get(6)?, row.get(7)?);
        Ok(Metric {
            key: row.get(0)?,
            value: if row.get(2)? { f64::NAN } else { row.get(1)? },
            timestamp: row.get(3)?,
            step: row.get(4)?,
            model_id: row.get(5)?,
            dataset: name.zip(digest),
        })
    };
    statement.query_map([id], metric)?.collect()
}

fn datasets(connection: &Connection, id: &str) -> rusqlite::Result<Vec<RunDataset>> {
    let mut statement = connection.prepare(
        "SELECT datasets.name, digest, dataset_source_type, dataset_source, dataset_schema, dataset_profile, input_uuid \
         FROM inputs JOIN datasets ON dataset_uuid = source_id \
         WHERE source_type = 'DATASET' AND destination_type = 'RUN' AND destination_id = ?1 ORDER BY datasets.name",
    )?;
    let dataset = |row: &rusqlite::Row| {
        let dataset = RunDataset {
            name: row.get(0)?,
            digest: row.get(1)?,
            source_type: row.get(2)?,
            source: row.get(3)?,
            schema: row.get(4)?,
            profile: row.get(5)?,
            tags: BTreeMap::new(),
        };
        Ok((dataset, row.get::<_, String>(6)?))
    };
    let records = statement.query_map([id], dataset)?.collect::<Result<Vec<_>, _>>()?;
    let tagged = |(mut dataset, input): (RunDataset, String)| {
        dataset.tags = string_pairs(connection, "SELECT name, value FROM input_tags WHERE input_uuid = ?1", &[&input])?;
        Ok(dataset)
    };
    records.into_iter().map(tagged).collect()
}

fn logged_models(connection: &Connection, id: &str, stored: &mut StoredRun) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(
        "SELECT model_id, name, coalesce(model_type, ''), creation_timestamp_ms, status, artifact_location, \
         coalesce((SELECT step FROM inputs WHERE source_type = 'RUN_OUTPUT' AND source_id = ?1 \
         AND destination_id = model_id), 0) \
         FROM logged_models WHERE source_run_id = ?1 AND lifecycle_stage = 'active' ORDER BY creation_timestamp_ms, model_id",
    )?;
    let model = |row: &rusqlite::Row| {
        let model = LoggedModel {
            model_id: row.get(0)?,
            name: row.get(1)?,
            model_type: row.get(2)?,
            created: row.get(3)?,
            ready: row.get::<_, i64>(4)? == crate::sqlite::write::READY_STATUS,
            step: row.get(6)?,
            params: Vec::new(),
            tags: BTreeMap::new(),
        };
        Ok((model, PathBuf::from(without_scheme(&row.get::<_, String>(5)?))))
    };
    for records in statement.query_map([id], model)?.collect::<Result<Vec<_>, _>>()? {
        let (mut model, folder) = records;
        let own = "SELECT param_key, param_value FROM logged_model_params WHERE model_id = ?1 ORDER BY 1";
        model.params = string_pairs(connection, own, &[&model.model_id])?;
        let own = "SELECT tag_key, tag_value FROM logged_model_tags WHERE model_id = ?1 AND tag_key <> ?2";
        model.tags = string_pairs(connection, own, &[&model.model_id, VERSIONS_TAG])?;
        stored.models.push((model.model_id.clone(), folder));
        stored.run.models.push(model);
    }
    Ok(())
}

/// The registered versions of the run's models. Aliases are in their history.
fn registrations(connection: &Connection, id: &str) -> rusqlite::Result<Vec<Registration>> {
    let mut statement = connection.prepare(
        "SELECT name, substr(source, 9), coalesce(description, ''), creation_time, CAST(version AS TEXT) FROM model_versions \
         WHERE run_id = ?1 AND source LIKE 'models:/m-%' AND coalesce(current_stage, '') <> ?2 \
         ORDER BY name, version",
    )?;
    let registration = |row: &rusqlite::Row| {
        let registration = Registration {
            name: row.get(0)?,
            model_id: row.get(1)?,
            description: row.get(2)?,
            tags: BTreeMap::new(),
            aliases: Vec::new(),
            created: row.get::<_, Option<i64>>(3)?.unwrap_or_default(),
        };
        Ok((registration, row.get::<_, String>(4)?))
    };
    let records = statement.query_map([id, DELETED_STAGE], registration)?.collect::<Result<Vec<_>, _>>()?;
    let tagged = |(mut registration, version): (Registration, String)| {
        registration.tags = version_tags(connection, &registration.name, &version)?;
        Ok(registration)
    };
    records.into_iter().map(tagged).collect()
}
