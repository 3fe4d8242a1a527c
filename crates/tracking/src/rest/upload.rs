//! Uploads a complete run. What exists already is found, not created again.

use std::collections::BTreeMap;

use serde_json::json;

use crate::{
    entities::{
        mlmodel,
        run::{LoggedModel, MODEL_TAG, RUN_TAG, Run},
        store::{ArtifactOwner, RunFile, RunReference},
    },
    error::TrackingError,
    rest::{
        api,
        artifacts::{self, RemoteOwner},
        connection::Request,
        responses::{ModelOutput, ModelResponse},
        store::{RestStore, ServerRun, most_complete, tags_to_send},
    },
};

/// A logged model on the server.
struct RemoteLoggedModel<'a> {
    model: &'a LoggedModel,
    model_id: String,
    artifact_uri: String,
    may_be_duplicated: bool,
}

impl RestStore {
    /// Sends everything. The status comes last, so that an ended run is complete.
    pub(super) fn upload(
        &self,
        server_run: &ServerRun,
        run: &Run,
        files: &[RunFile],
    ) -> Result<RunReference, TrackingError> {
        let connection = &self.connection;
        let mut remote_models = Vec::new();
        for model in &run.models {
            remote_models.push(self.find_or_create_model(server_run, model)?);
        }
        let model_ids: BTreeMap<String, String> = remote_models
            .iter()
            .map(|remote_models| (remote_models.model.model_id.clone(), remote_models.model_id.clone()))
            .collect();
        api::log_batch(connection, &server_run.run_id, &run.params, &tags_to_send(run), &run.metrics, &model_ids)?;
        if !run.datasets.is_empty() {
            api::log_inputs(connection, &server_run.run_id, &run.datasets)?;
        }
        let output = |remote_models: &RemoteLoggedModel| ModelOutput {
            model_id: remote_models.model_id.clone(),
            step: remote_models.model.step,
        };
        if !remote_models.is_empty() {
            api::log_outputs(connection, &server_run.run_id, &remote_models.iter().map(output).collect::<Vec<_>>())?;
        }
        let of_run: Vec<&RunFile> = files.iter().filter(|file| file.owner == ArtifactOwner::Run).collect();
        artifacts::upload(connection, RemoteOwner::Run(&server_run.run_id), &server_run.artifact_uri, &of_run)?;
        for model in &remote_models {
            self.send_model(server_run, model, files)?;
        }
        let mut reference = self.reference(server_run);
        for registration in &run.registrations {
            let Some(model) =
                remote_models.iter().find(|remote_models| remote_models.model.model_id == registration.model_id)
            else {
                continue;
            };
            let (version, may_be_duplicated) = self.register(server_run, &model.model_id, registration, run, files)?;
            reference.versions.push((registration.name.clone(), version));
            reference.may_have_duplicates |= may_be_duplicated;
        }
        if run.status.is_over() {
            connection.send(&api::update_run(&server_run.run_id, run.status, run.end_time))?;
        }
        if server_run.may_be_duplicated || remote_models.iter().any(|remote_models| remote_models.may_be_duplicated) {
            self.remove_duplicates(server_run, run)?;
            // requests may still arrive; the next `sync` removes their duplicates
            reference.may_have_duplicates = true;
        }
        Ok(reference)
    }

    fn find_or_create_model<'a>(
        &self,
        server_run: &ServerRun,
        model: &'a LoggedModel,
    ) -> Result<RemoteLoggedModel<'a>, TrackingError> {
        let mut find = || {
            let mut matches = api::models_with_tag(&self.connection, &server_run.experiment_id, MODEL_TAG, &model.model_id)?;
            if matches.len() > 1 {
                // the model that is linked with the run comes first
                let linked = api::run(&self.connection, &server_run.run_id)?.outputs.model_outputs;
                matches.sort_by_key(|model| linked.iter().all(|output| output.model_id != model.info.model_id));
            }
            Ok(matches.into_iter().next().map(|model| ModelResponse { model }))
        };
        let existing = if server_run.is_new { None } else { find()? };
        let (matches, may_be_duplicated) = if let Some(matches) = existing {
            (matches, false)
        } else {
            let mut tags = model.tags.clone();
            tags.insert(MODEL_TAG.into(), model.model_id.clone());
            let request = api::create_model(&server_run.experiment_id, &server_run.run_id, model, &tags);
            self.connection.create(&request, &mut find)?
        };
        let info = matches.model.info;
        Ok(RemoteLoggedModel { model, model_id: info.model_id, artifact_uri: info.artifact_uri, may_be_duplicated })
    }

    fn send_model(
        &self,
        server_run: &ServerRun,
        remote_models: &RemoteLoggedModel,
        files: &[RunFile],
    ) -> Result<(), TrackingError> {
        let owner = ArtifactOwner::Model(remote_models.model.model_id.clone());
        let mut own = Vec::new();
        for file in files.iter().filter(|file| file.owner == owner) {
            own.push(mlmodel::with_addresses(
                file,
                &remote_models.artifact_uri,
                &remote_models.model_id,
                &server_run.run_id,
            )?);
        }
        let own: Vec<&RunFile> = own.iter().collect();
        artifacts::upload(&self.connection, RemoteOwner::Model(&remote_models.model_id), &remote_models.artifact_uri, &own)?;
        if remote_models.model.ready {
            self.connection.send(&api::finish_model(&remote_models.model_id))?;
        }
        Ok(())
    }

    /// Removes duplicates that were created because a response was lost: all our runs and models of this id except the completed ones.
    /// Returns their number.
    pub(crate) fn remove_duplicates_of_run(&self, run: &Run) -> Result<usize, TrackingError> {
        let experiment = api::experiment(&self.connection, &run.experiment)?;
        let matches = api::runs_with_tag(&self.connection, &experiment, RUN_TAG, &run.run_id)?;
        match most_complete(matches) {
            Some(kept) => self.remove_duplicates(&ServerRun::of(run, kept, false), run),
            None => Ok(0),
        }
    }

    fn remove_duplicates(&self, kept: &ServerRun, run: &Run) -> Result<usize, TrackingError> {
        let mut removed = 0;
        for other in api::runs_with_tag(&self.connection, &kept.experiment_id, RUN_TAG, &run.run_id)? {
            if other.info.run_id != kept.run_id {
                let body = json!({"run_id": other.info.run_id});
                self.connection.send(&Request::post("removing a duplicate run", "runs/delete", &body))?;
                removed += 1;
            }
        }
        if run.models.is_empty() {
            return Ok(removed);
        }
        let linked = api::run(&self.connection, &kept.run_id)?.outputs.model_outputs;
        for model in &run.models {
            for other in api::models_with_tag(&self.connection, &kept.experiment_id, MODEL_TAG, &model.model_id)? {
                let id = &other.info.model_id;
                if linked.iter().all(|output| output.model_id != *id) {
                    let path = format!("logged-models/{id}");
                    let what = "removing a duplicate logged model";
                    let request = Request::json(what, reqwest::Method::DELETE, &path, &json!({ "model_id": id }));
                    match self.connection.send(&request) {
                        Err(error) if error.code() == Some("RESOURCE_DOES_NOT_EXIST") => {}
                        other => other?,
                    }
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    /// The statuses on the server of our runs of an experiment, by our ids. Ended runs are complete.
    pub(crate) fn run_statuses(&self, experiment: &str) -> Result<BTreeMap<String, Vec<String>>, TrackingError> {
        let id = match api::get_experiment(&self.connection, experiment) {
            Ok(matches) => matches.experiment_id,
            Err(error) if error.code() == Some("RESOURCE_DOES_NOT_EXIST") => return Ok(BTreeMap::new()),
            Err(error) => return Err(error),
        };
        let body = json!({"experiment_ids": [id], "run_view_type": "ACTIVE_ONLY", "max_results": 1000});
        let mut run_statuses: BTreeMap<String, Vec<String>> = BTreeMap::new();
        api::search(&self.connection, "finding runs", "runs/search", &body, &mut |page| {
            for run in page.runs {
                if let Some(own) = run.data.tags.into_iter().find(|tag| tag.key == RUN_TAG) {
                    run_statuses.entry(own.value).or_default().push(run.info.status);
                }
            }
            true
        })?;
        Ok(run_statuses)
    }

    /// The server's id of the run with our id `run_id`.
    pub(crate) fn remote_id(&self, experiment: &str, run_id: &str) -> Result<Option<String>, TrackingError> {
        let experiment = api::experiment(&self.connection, experiment)?;
        let matches = api::runs_with_tag(&self.connection, &experiment, RUN_TAG, run_id)?;
        Ok(most_complete(matches).map(|run| run.info.run_id))
    }
}
