//! Sends a run whole: whatever of it is there already is found, not made again.

use std::collections::BTreeMap;

use serde_json::json;

use crate::{
    entities::{
        mlmodel,
        run::{LoggedModel, MODEL_TAG, RESUMED_TAG, RUN_NAME_TAG, RUN_TAG, Run, UNSETTLED_TAG},
        store::{Owner, Place, RunFile},
    },
    error::TrackingError,
    rest::{
        Begun, RestStore, api,
        artifacts::{self, Holder},
        connection::Request,
        responses::{ModelAnswer, ModelOutput, RemoteRun},
    },
};

/// A logged model on the server.
struct Sent<'a> {
    model: &'a LoggedModel,
    model_id: String,
    artifact_uri: String,
    doubtful: bool,
}

/// Of several runs that are one, that which came farthest.
pub(super) fn best(runs: Vec<RemoteRun>) -> Option<RemoteRun> {
    // the first of the best, the oldest coming first
    runs.into_iter().rev().max_by_key(|run| (run.info.is_over(), run.data.metrics.len()))
}

/// The tags of a run that is there: with our id, without what is for us alone, and without its name: one that was changed in the
/// browser stays, as does that of a run which was there before.
pub(super) fn tags_to_send(run: &Run) -> BTreeMap<String, String> {
    let mut tags = run.tags.clone();
    tags.insert(RUN_TAG.into(), run.run_id.clone());
    [RUN_NAME_TAG, RESUMED_TAG, UNSETTLED_TAG].iter().for_each(|own| drop(tags.remove(*own)));
    tags
}

impl RestStore {
    pub(super) fn place(&self, begun: &Begun) -> Place {
        let (base, experiment, run) = (self.connection.base(), &begun.experiment_id, &begun.run_id);
        Place {
            experiment_id: experiment.clone(),
            run_id: run.clone(),
            // without the last part newer servers show their pages for other kinds of experiment
            page: Some(format!("{base}/#/experiments/{experiment}/runs/{run}?workflowType=machine_learning")),
            ..Place::default()
        }
    }

    /// Sends everything; how far the run got comes last, so that a run that is over is whole.
    pub(super) fn deliver(&self, begun: &Begun, run: &Run, files: &[RunFile]) -> Result<Place, TrackingError> {
        let connection = &self.connection;
        let mut sent = Vec::new();
        for model in &run.models {
            sent.push(self.find_or_create_model(begun, model)?);
        }
        let model_ids: BTreeMap<String, String> =
            sent.iter().map(|sent| (sent.model.model_id.clone(), sent.model_id.clone())).collect();
        api::log_batch(connection, &begun.run_id, &run.params, &tags_to_send(run), &run.metrics, &model_ids)?;
        if !run.datasets.is_empty() {
            api::log_inputs(connection, &begun.run_id, &run.datasets)?;
        }
        let output = |sent: &Sent| ModelOutput { model_id: sent.model_id.clone(), step: sent.model.step };
        if !sent.is_empty() {
            api::log_outputs(connection, &begun.run_id, &sent.iter().map(output).collect::<Vec<_>>())?;
        }
        let of_run: Vec<&RunFile> = files.iter().filter(|file| file.owner == Owner::Run).collect();
        artifacts::upload(connection, Holder::Run(&begun.run_id), &begun.artifact_uri, &of_run)?;
        for model in &sent {
            self.send_model(begun, model, files)?;
        }
        let mut place = self.place(begun);
        for registration in &run.registrations {
            let Some(model) = sent.iter().find(|sent| sent.model.model_id == registration.model_id) else { continue };
            let (version, doubtful) = self.register(begun, &model.model_id, registration, run, files)?;
            place.versions.push((registration.name.clone(), version));
            place.unsettled |= doubtful;
        }
        if run.status.is_over() {
            connection.tell(&api::update_run(&begun.run_id, run.status, run.end_time))?;
        }
        if begun.doubtful || sent.iter().any(|sent| sent.doubtful) {
            self.settle(begun, run)?;
            // what is still on its way is seen to by the next `sync`
            place.unsettled = true;
        }
        Ok(place)
    }

    fn find_or_create_model<'a>(&self, begun: &Begun, model: &'a LoggedModel) -> Result<Sent<'a>, TrackingError> {
        let mut find = || {
            let mut found = api::models_with_tag(&self.connection, &begun.experiment_id, MODEL_TAG, &model.model_id)?;
            if found.len() > 1 {
                // the one that was gone on with before
                let linked = api::run(&self.connection, &begun.run_id)?.outputs.model_outputs;
                found.sort_by_key(|model| linked.iter().all(|output| output.model_id != model.info.model_id));
            }
            Ok(found.into_iter().next().map(|model| ModelAnswer { model }))
        };
        let there = if begun.fresh { None } else { find()? };
        let (found, doubtful) = if let Some(found) = there {
            (found, false)
        } else {
            let mut tags = model.tags.clone();
            tags.insert(MODEL_TAG.into(), model.model_id.clone());
            let request = api::create_model(&begun.experiment_id, &begun.run_id, model, &tags);
            self.connection.create(&request, &mut find)?
        };
        let info = found.model.info;
        Ok(Sent { model, model_id: info.model_id, artifact_uri: info.artifact_uri, doubtful })
    }

    fn send_model(&self, begun: &Begun, sent: &Sent, files: &[RunFile]) -> Result<(), TrackingError> {
        let owner = Owner::Model(sent.model.model_id.clone());
        let mut own = Vec::new();
        for file in files.iter().filter(|file| file.owner == owner) {
            own.push(mlmodel::addressed(file, &sent.artifact_uri, &sent.model_id, &begun.run_id)?);
        }
        let own: Vec<&RunFile> = own.iter().collect();
        artifacts::upload(&self.connection, Holder::Model(&sent.model_id), &sent.artifact_uri, &own)?;
        if sent.model.ready {
            self.connection.tell(&api::finish_model(&sent.model_id))?;
        }
        Ok(())
    }

    /// Removes what was made twice because an answer was lost: all runs and models of ours but those that were completed.
    /// Returns how many were removed.
    pub(crate) fn settle_run(&self, run: &Run) -> Result<usize, TrackingError> {
        let experiment = api::experiment(&self.connection, &run.experiment)?;
        let found = api::runs_with_tag(&self.connection, &experiment, RUN_TAG, &run.run_id)?;
        match best(found) {
            Some(kept) => self.settle(&Begun::of(run, kept, false), run),
            None => Ok(0),
        }
    }

    fn settle(&self, kept: &Begun, run: &Run) -> Result<usize, TrackingError> {
        let mut removed = 0;
        for other in api::runs_with_tag(&self.connection, &kept.experiment_id, RUN_TAG, &run.run_id)? {
            if other.info.run_id != kept.run_id {
                let body = json!({"run_id": other.info.run_id});
                self.connection.tell(&Request::post("removing a run that was made twice", "runs/delete", &body))?;
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
                    let what = "removing a logged model that was made twice";
                    let request = Request::json(what, reqwest::Method::DELETE, &path, &json!({ "model_id": id }));
                    match self.connection.tell(&request) {
                        Err(error) if error.code() == Some("RESOURCE_DOES_NOT_EXIST") => {}
                        other => other?,
                    }
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    /// How far our runs in an experiment got there, by our ids; those that are over are whole.
    pub(crate) fn delivered(&self, experiment: &str) -> Result<BTreeMap<String, Vec<String>>, TrackingError> {
        let id = match api::get_experiment(&self.connection, experiment) {
            Ok(found) => found.experiment_id,
            Err(error) if error.code() == Some("RESOURCE_DOES_NOT_EXIST") => return Ok(BTreeMap::new()),
            Err(error) => return Err(error),
        };
        let body = json!({"experiment_ids": [id], "run_view_type": "ACTIVE_ONLY", "max_results": 1000});
        let mut delivered: BTreeMap<String, Vec<String>> = BTreeMap::new();
        api::search(&self.connection, "looking for runs", "runs/search", &body, &mut |page| {
            for run in page.runs {
                if let Some(own) = run.data.tags.into_iter().find(|tag| tag.key == RUN_TAG) {
                    delivered.entry(own.value).or_default().push(run.info.status);
                }
            }
            true
        })?;
        Ok(delivered)
    }

    /// The server's id of the run that we call `run_id`.
    pub(crate) fn remote_id(&self, experiment: &str, run_id: &str) -> Result<Option<String>, TrackingError> {
        let experiment = api::experiment(&self.connection, experiment)?;
        let found = api::runs_with_tag(&self.connection, &experiment, RUN_TAG, run_id)?;
        Ok(best(found).map(|run| run.info.run_id))
    }
}
