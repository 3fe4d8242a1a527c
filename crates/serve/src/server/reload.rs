//! Takes another model in while requests are answered: loaded and tried beside the old one, then put in its place at once.

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
    server::listener::stopped,
    state::AppState,
    telemetry::log::Log,
};

/// Where models come from, and how they are made ready.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) champion: Source,
    pub(crate) challenger: Option<Source>,
    pub(crate) window: u64,
    pub(crate) coverage: Option<f64>,
}

impl Sources {
    fn engine(&self, source: &Source) -> anyhow::Result<Arc<DeployedModel>> {
        Ok(Arc::new(DeployedModel::load(source, self.window, self.coverage)?))
    }

    /// Loads all models.
    ///
    /// # Errors
    /// If one cannot be used, or the two do not predict the same.
    pub(crate) fn load(&self, guarded: bool) -> anyhow::Result<DeployedModels> {
        let champion = self.engine(&self.champion)?;
        let challenger = self.challenger.as_ref().map(|source| self.engine(source)).transpose()?;
        Self::combine(champion, challenger, guarded)
    }

    fn combine(
        champion: Arc<DeployedModel>,
        challenger: Option<Arc<DeployedModel>>,
        guarded: bool,
    ) -> anyhow::Result<DeployedModels> {
        if let Some(challenger) = &challenger {
            let columns = |engine: &DeployedModel| {
                engine.row_schema.fields.iter().map(|field| field.name().to_owned()).collect::<Vec<_>>()
            };
            ensure!(
                columns(&champion) == columns(challenger) && champion.target() == challenger.target(),
                "{}: takes other columns than {}, or predicts another: the two cannot be compared",
                challenger.info.source,
                champion.info.source
            );
        }
        let openapi = openapi::render(&champion, guarded);
        Ok(DeployedModels { champion, challenger, openapi })
    }

    /// The models as they should be, where that is another than it was; models that did not change are kept, with the rows they saw.
    fn look(&self, now: &DeployedModels, guarded: bool) -> anyhow::Result<Option<DeployedModels>> {
        let changed = |source: &Source, engine: &Arc<DeployedModel>| {
            Ok::<_, anyhow::Error>(source.fingerprint()? != engine.info.fingerprint)
        };
        let mut new = false;
        let mut current = |source: &Source, engine: &Arc<DeployedModel>| {
            if !changed(source, engine)? {
                return Ok::<_, anyhow::Error>(engine.clone());
            }
            new = true;
            self.engine(source)
        };
        let champion = current(&self.champion, &now.champion)?;
        let challenger = match (&self.challenger, &now.challenger) {
            (Some(source), Some(engine)) => Some(current(source, engine)?),
            _ => None,
        };
        ensure!(
            champion.target() == now.champion.target(),
            "{}: predicts {}, and this server {}; start another for it",
            self.champion,
            champion.target(),
            now.champion.target()
        );
        if new { Self::combine(champion, challenger, guarded).map(Some) } else { Ok(None) }
    }
}

/// Warns of bundles whose manifest is not covered by their content id.
pub(crate) fn warn_of_older(log: &Log, models: &DeployedModels) {
    for (role, engine) in models.roles() {
        if engine.info.is_older_bundle {
            let what = json!({"role": role, "source": engine.info.source, "version": engine.info.version});
            log.warn(
                "the bundle is of the older kind: its content id does not stand for its name, schema, lineage and gates",
                what,
            );
        }
    }
}

/// Looks for other models when a signal says so, and every so often.
pub(crate) async fn watch(
    app: &'static AppState,
    sources: Sources,
    poll: Option<Duration>,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut ticks = poll.map(|period| {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    });
    // a registry that is down is spoken of once, not every time
    let mut told = None;
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
            () = stopped(&mut stop) => return Ok(()),
        }
        let sources = sources.clone();
        // a registry may take its time, and so may a large model
        let fault =
            tokio::task::spawn_blocking(move || look(app, &sources)).await.unwrap_or_else(|error| Some(error.to_string()));
        if fault != told
            && let Some(error) = &fault
        {
            app.metrics.reloaded(false);
            app.log.warn("the other model is not taken in; the one before goes on", json!({"error": error}));
        }
        told = fault;
    }
}

/// Looks once, and puts what is new in the place of what was; says what stood in the way.
fn look(app: &'static AppState, sources: &Sources) -> Option<String> {
    let now = app.models.load_full();
    match sources.look(&now, app.access.is_guarded()) {
        Ok(None) => None,
        Ok(Some(models)) => {
            let (from, to) = (now.champion.info.version.clone(), models.champion.info.version.clone());
            app.metrics.expect_fields(&models.champion);
            warn_of_older(&app.log, &models);
            app.models.store(Arc::new(models));
            app.metrics.reloaded(true);
            app.log.info("another model answers", json!({"from": from, "to": to}));
            None
        }
        Err(error) => Some(format!("{error:#}")),
    }
}
