//! Registered models on a server.

use std::path::Path;

use reqwest::Method;
use serde_json::json;

use crate::{
    entities::{
        mlmodel,
        registry::{AliasChange, ModelVersion, RegisteredModel, Registry, logged_model_of, move_alias},
        run::{MODEL_TAG, Registration, Run},
        store::{ArtifactOwner, RunFile},
    },
    error::TrackingError,
    rest::{
        artifacts::{self, RemoteOwner},
        connection::{Request, ServerConnection},
        responses::{RegisteredModelResponse, RemoteVersion, SearchPage, VersionResponse, key_values, to_map},
        store::{RestStore, ServerRun},
    },
};

/// The folder of a model's files among those of its run, for a registry on another server: that one can only reference runs.
const REGISTERED_MODEL_FOLDER: &str = "registered_model";
/// The tag with the time when a version was created: the server only knows when it received the version.
const CREATED_TAG: &str = "client.created_at_ms";

impl RestStore {
    fn registry(&self) -> &ServerConnection {
        self.registry.as_ref().unwrap_or(&self.connection)
    }

    /// Registers a logged model, or finds its existing version. Returns the version, and whether a duplicate may exist.
    pub(super) fn register(
        &self,
        server_run: &ServerRun,
        model_id: &str,
        registration: &Registration,
        run: &Run,
        files: &[RunFile],
    ) -> Result<(String, bool), TrackingError> {
        let (registry, name) = (self.registry(), &registration.name);
        let create = Request::post("creating the registered model", "registered-models/create", &json!({ "name": name }));
        match registry.send(&create) {
            Err(error) if error.code() == Some("RESOURCE_ALREADY_EXISTS") => {}
            other => other?,
        }
        let mut body = json!({"name": name, "description": registration.description});
        let source = if self.registry.is_some() {
            self.copy_for_registry(server_run, registration, files)?;
            body["run_id"] = server_run.run_id.as_str().into();
            format!("runs:/{}/{REGISTERED_MODEL_FOLDER}", server_run.run_id)
        } else {
            body["model_id"] = model_id.into();
            format!("models:/{model_id}")
        };
        body["source"] = source.as_str().into();
        let mut tags = registration.tags.clone();
        tags.insert(MODEL_TAG.into(), registration.model_id.clone());
        tags.insert(CREATED_TAG.into(), registration.created.to_string());
        body["tags"] = json!(key_values(&tags));
        let mut find = || {
            let remote = versions(registry, name)?.into_iter().rfind(|version| version.source == source);
            Ok(remote.map(|model_version| VersionResponse { model_version }))
        };
        let existing = if server_run.is_new { None } else { find()? };
        let (remote, may_be_duplicated) = match existing {
            Some(remote) => (remote, false),
            None => registry.create(&Request::post("creating the version", "model-versions/create", &body), &mut find)?,
        };
        let version = remote.model_version.version;
        if may_be_duplicated {
            self.remove_duplicate_versions(name, &source, &version)?;
        }
        for alias in &registration.aliases {
            let change = AliasChange::registered(registration.created, &version, None, &run.user);
            self.move_alias_once(name, alias, &change)?;
        }
        Ok((version, may_be_duplicated))
    }

    /// Applies a change of an alias, if it was not applied before and no later one was.
    pub(crate) fn move_alias_once(&self, name: &str, alias: &str, change: &AliasChange) -> Result<bool, TrackingError> {
        let Some(model) = self.model(name)? else { return Ok(false) };
        let alias_history = crate::entities::registry::alias_history(&model, alias);
        if alias_history.iter().any(|known| known.at == change.at) {
            return Ok(false);
        }
        let from = change.from.clone().or_else(|| model.aliases.get(alias).cloned());
        let change = AliasChange { from: from.filter(|from| *from != change.version), ..change.clone() };
        if alias_history.last().is_some_and(|last| last.at > change.at) {
            self.tag_model(
                name,
                &crate::entities::registry::history_key(alias, change.at),
                &crate::entities::registry::history_value(&change),
            )?;
        } else {
            move_alias(self, name, alias, &change)?;
        }
        Ok(true)
    }

    /// Removes versions of the same model that were created twice because a response was lost.
    fn remove_duplicate_versions(&self, name: &str, source: &str, kept: &str) -> Result<(), TrackingError> {
        for other in versions(self.registry(), name)? {
            if other.source == source && other.version != kept {
                let body = json!({"name": name, "version": other.version});
                let what = "removing a duplicate version";
                self.registry().send(&Request::json(what, Method::DELETE, "model-versions/delete", &body))?;
            }
        }
        Ok(())
    }

    /// The version of the model with our id `model_id`. Duplicates are removed.
    pub(crate) fn keep_one_version(&self, name: &str, model_id: &str) -> Result<Option<String>, TrackingError> {
        let ours = |version: &RemoteVersion| version.tags.iter().any(|tag| tag.key == MODEL_TAG && tag.value == model_id);
        // the newest come first; the oldest is the one that was reported
        let Some(kept) = versions(self.registry(), name)?.into_iter().rfind(ours) else { return Ok(None) };
        self.remove_duplicate_versions(name, &kept.source, &kept.version)?;
        Ok(Some(kept.version))
    }

    fn copy_for_registry(
        &self,
        server_run: &ServerRun,
        registration: &Registration,
        files: &[RunFile],
    ) -> Result<(), TrackingError> {
        let owner = ArtifactOwner::Model(registration.model_id.clone());
        let mut copies = Vec::new();
        for file in files.iter().filter(|file| file.owner == owner) {
            let file = mlmodel::with_addresses(file, REGISTERED_MODEL_FOLDER, &registration.model_id, &server_run.run_id)?;
            copies.push(RunFile::of_run(format!("{REGISTERED_MODEL_FOLDER}/{}", file.artifact_path), file.content));
        }
        let copies: Vec<&RunFile> = copies.iter().collect();
        artifacts::upload(&self.connection, RemoteOwner::Run(&server_run.run_id), &server_run.artifact_uri, &copies)
    }

    fn tag(&self, path: &str, body: &serde_json::Value) -> Result<(), TrackingError> {
        self.registry().send(&Request::post("setting a tag", path, body))
    }
}

/// All versions, the newest first.
fn versions(connection: &ServerConnection, name: &str) -> Result<Vec<RemoteVersion>, TrackingError> {
    let filter = format!("name='{}'", name.replace('\'', "''"));
    let mut remote = Vec::new();
    let mut token = String::new();
    loop {
        let mut query = vec![("filter", filter.clone()), ("max_results", "1000".to_owned())];
        if !token.is_empty() {
            query.push(("page_token", token));
        }
        let page: SearchPage = connection.call(&Request::get("finding versions", "model-versions/search", query))?;
        remote.extend(page.model_versions);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    remote.sort_by_key(|version| std::cmp::Reverse(version.version.parse::<u64>().unwrap_or_default()));
    Ok(remote)
}

impl Registry for RestStore {
    fn model(&self, name: &str) -> Result<Option<RegisteredModel>, TrackingError> {
        let get = Request::get("reading the registered model", "registered-models/get", vec![("name", name.to_owned())]);
        match self.registry().call::<RegisteredModelResponse>(&get) {
            Ok(remote) => {
                let remote = remote.registered_model;
                let aliases = remote.aliases.into_iter().map(|alias| (alias.alias, alias.version)).collect();
                Ok(Some(RegisteredModel { name: name.to_owned(), tags: to_map(remote.tags), aliases }))
            }
            Err(error) if error.code() == Some("RESOURCE_DOES_NOT_EXIST") => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn versions(&self, name: &str) -> Result<Vec<ModelVersion>, TrackingError> {
        let version = |remote: RemoteVersion| ModelVersion {
            name: name.to_owned(),
            version: remote.version,
            created: remote.creation_timestamp,
            run_id: Some(remote.run_id).filter(|id| !id.is_empty()),
            model_id: logged_model_of(&remote.source),
            source: remote.source,
            description: remote.description,
            tags: to_map(remote.tags),
        };
        Ok(versions(self.registry(), name)?.into_iter().map(version).collect())
    }

    fn set_alias(&self, name: &str, alias: &str, version: &str) -> Result<(), TrackingError> {
        let body = json!({"name": name, "alias": alias, "version": version});
        self.registry().send(&Request::post("setting the alias", "registered-models/alias", &body))
    }

    fn tag_model(&self, name: &str, key: &str, value: &str) -> Result<(), TrackingError> {
        self.tag("registered-models/set-tag", &json!({"name": name, "key": key, "value": value}))
    }

    fn tag_version(&self, name: &str, version: &str, key: &str, value: &str) -> Result<(), TrackingError> {
        self.tag("model-versions/set-tag", &json!({"name": name, "version": version, "key": key, "value": value}))
    }

    fn fetch(&self, version: &ModelVersion, file: &str, to: &Path) -> Result<(), TrackingError> {
        if let Some(model) = &version.model_id {
            return artifacts::download(&self.connection, RemoteOwner::Model(model), file, to);
        }
        let of_run = version.source.strip_prefix("runs:/").and_then(|rest| rest.split_once('/'));
        match of_run {
            Some((run, folder)) => {
                artifacts::download(&self.connection, RemoteOwner::Run(run), &format!("{folder}/{file}"), to)
            }
            None => Err(TrackingError::UnfetchableVersion {
                version: version.version.clone(),
                source_uri: version.source.clone(),
            }),
        }
    }

    fn model_page(&self, name: &str) -> Option<String> {
        Some(format!("{}/#/models/{name}", self.registry().base()))
    }
}
