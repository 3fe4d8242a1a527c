//! Reloads models while requests are served. A new model is loaded and tried beside the old one, then it replaces the old one at once.

use std::{sync::Arc, time::Duration};

use anyhow::ensure;
use model_source::Source;
use serde_json::json;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use crate::{
    api::openapi,
    models::{deployed::DeployedModels, load::DeployedModel},
    server::listener::wait_for_stop,
    state::AppState,
    telemetry::log::Log,
};

/// The sources of the models, and the settings for loading them.
#[derive(Clone, Debug)]
pub(crate) struct ModelSources {
    pub(crate) champion: Source,
    pub(crate) challenger: Option<Source>,
    pub(crate) window: u64,
    pub(crate) coverage: Option<f64>,
}

impl ModelSources {
    fn load_model(&self, source: &Source) -> anyhow::Result<Arc<DeployedModel>> {
        Ok(Arc::new(DeployedModel::load(source, self.window, self.coverage)?))
    }

    /// Loads all models.
    ///
    /// # Errors
    /// If one cannot be loaded, or the two predict different things.
    pub(crate) fn load(&self, guarded: bool) -> anyhow::Result<DeployedModels> {
        let champion = self.load_model(&self.champion)?;
        let challenger = self.challenger.as_ref().map(|source| self.load_model(source)).transpose()?;
        Self::combine(champion, challenger, guarded)
    }

    fn combine(
        champion: Arc<DeployedModel>,
        challenger: Option<Arc<DeployedModel>>,
        guarded: bool,
    ) -> anyhow::Result<DeployedModels> {
        if let Some(challenger) = &challenger {
            let columns = |model: &DeployedModel| {
                model.row_schema.fields.iter().map(|field| field.name().to_owned()).collect::<Vec<_>>()
            };
            ensure!(
                columns(&champion) == columns(challenger) && champion.target() == challenger.target(),
                "{}: has other columns or another target than {}: the two cannot be compared",
                challenger.info.source,
                champion.info.source
            );
        }
        let openapi = openapi::render(&champion, guarded);
        Ok(DeployedModels { champion, challenger, openapi })
    }

    /// Loads the models that changed; none if none did. A model that did not change is kept with its drift window.
    fn load_changes(&self, current: &DeployedModels, guarded: bool) -> anyhow::Result<Option<DeployedModels>> {
        let mut is_changed = false;
        let mut load_if_changed = |source: &Source, model: &Arc<DeployedModel>| {
            if source.fingerprint()? == model.info.fingerprint {
                return Ok::<_, anyhow::Error>(model.clone());
            }
            is_changed = true;
            self.load_model(source)
        };
        let champion = load_if_changed(&self.champion, &current.champion)?;
        let challenger = match (&self.challenger, &current.challenger) {
            (Some(source), Some(model)) => Some(load_if_changed(source, model)?),
            _ => None,
        };
        ensure!(
            champion.target() == current.champion.target(),
            "{}: predicts {}, but this server predicts {}; start another server for it",
            self.champion,
            champion.target(),
            current.champion.target()
        );
        if is_changed { Self::combine(champion, challenger, guarded).map(Some) } else { Ok(None) }
    }
}

/// Warns about bundles whose content id does not cover their manifest.
pub(crate) fn warn_about_old_bundles(log: &Log, models: &DeployedModels) {
    for (role, model) in models.roles() {
        if model.info.is_older_bundle {
            let fields = json!({"role": role, "source": model.info.source, "version": model.info.version});
            log.warn(
                "old_bundle_format",
                "the bundle has an old format: its content id does not cover its name, schema, lineage and gates",
                fields,
            );
        }
    }
}

/// Checks for new models on SIGHUP and after every period.
pub(crate) async fn watch(
    app: &'static AppState,
    sources: ModelSources,
    poll: Option<Duration>,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut ticks = poll.map(|period| {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    });
    // a repeated error is logged once
    let mut last_error = None;
    loop {
        let tick = async {
            match &mut ticks {
                Some(ticks) => {
                    ticks.tick().await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = hangup.recv() => {}
            () = tick => {}
            () = wait_for_stop(&mut stop) => return Ok(()),
        }
        let sources = sources.clone();
        // a registry may be slow, and a model may be large
        let error = tokio::task::spawn_blocking(move || check_for_new_models(app, &sources))
            .await
            .unwrap_or_else(|error| Some(error.to_string()));
        if error != last_error
            && let Some(error) = &error
        {
            app.metrics.record_reload(false);
            app.log.warn(
                "model_reload_failed",
                "model reload failed; still serving the previous version",
                json!({"version": app.models.load().champion.info.version, "error": error}),
            );
        }
        last_error = error;
    }
}

/// Checks once, and replaces the models if there are new ones; returns the error, if there is one.
fn check_for_new_models(app: &'static AppState, sources: &ModelSources) -> Option<String> {
    let current = app.models.load_full();
    match sources.load_changes(&current, app.access.is_guarded()) {
        Ok(None) => None,
        Ok(Some(models)) => {
            let info = &models.champion.info;
            let fields = json!({"from": current.champion.info.version, "to": info.version, "source": info.source});
            app.metrics.expect_fields(&models.champion);
            warn_about_old_bundles(&app.log, &models);
            app.models.store(Arc::new(models));
            app.metrics.record_reload(true);
            app.log.info("model_reloaded", "model reloaded", fields);
            None
        }
        Err(error) => Some(format!("{error:#}")),
    }
}
