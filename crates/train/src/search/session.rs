//! A search whose trials are evaluated: selects the best, writes it, and summarises.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context;
use artifact::{FileEntry, write_atomically};
use cli::Outcome;
use model::{SearchSection, format_metric, metric_label};
use serde::Serialize;
use tracking::{ArtifactContent, RunFile};

use crate::{
    args::SearchArgs,
    search::{
        leaderboard,
        objective::{LAST_RUNG, Objective},
        selection::{self, Selection},
        shard::Shard,
        successive_halving::TrialResult,
    },
};

/// The first words of a configuration that a search wrote.
pub(crate) const CONFIG_HEADER: &str = "# Written by `train search`";

#[derive(Serialize)]
struct Summary<'a> {
    stage: &'static str,
    status: &'static str,
    search: &'a str,
    trials: usize,
    measured_on_all_rows: usize,
    taken_from_before: usize,
    metric: &'a str,
    score: Option<f64>,
    blend: bool,
    config: Option<&'a PathBuf>,
    leaderboard: Option<&'a PathBuf>,
}

/// The result of a search.
pub(crate) enum SearchOutcome {
    /// The trials of one shard: other machines run the rest.
    Shard(Vec<TrialResult>),
    /// The selection among all trials.
    Selected(WrittenSelection),
}

/// A selection and the files that describe it.
pub(crate) struct WrittenSelection {
    pub(crate) results: Vec<TrialResult>,
    pub(crate) selection: Selection,
    leaderboard: PathBuf,
    pub(crate) files: Vec<RunFile>,
}

/// A search whose trials are evaluated.
pub(crate) struct SearchSession<'a> {
    pub(crate) args: &'a SearchArgs,
    pub(crate) section: &'a SearchSection,
    pub(crate) objective: Objective,
    pub(crate) target: &'a str,
    pub(crate) id: &'a str,
    /// Evaluations that earlier runs of this search recorded.
    pub(crate) known: usize,
    pub(crate) started: Instant,
}

impl SearchSession<'_> {
    /// Selects the best trials and writes their configuration and the leaderboard.
    ///
    /// # Errors
    /// If no trial was evaluated on all rows, or a file cannot be written.
    pub(crate) fn select(&mut self, results: Vec<TrialResult>) -> anyhow::Result<WrittenSelection> {
        let section = self.section;
        let selection = selection::select(&mut self.objective, &results, section.eliminate, section.blend)?;
        let config = self.config_header(&results, &selection)
            + &selection.render(&section.name, self.target, section.folds, section.seed)?;
        let config_file = write_atomically(&self.args.output, config.as_bytes())?;
        let seconds = self.started.elapsed().as_secs_f64();
        let text = leaderboard::render(section, &self.objective, &results, &selection, self.known, seconds);
        let leaderboard = leaderboard_path(&self.args.models_dir);
        let page_file = write_atomically(&leaderboard, text.as_bytes())?;
        let search_file = FileEntry::from_file(&self.args.config).context("reading the search")?;
        let files = [("leaderboard.html", page_file), ("model_config.yaml", config_file), ("search.yaml", search_file)]
            .map(|(path, file)| RunFile::of_run(path, ArtifactContent::File(file)));
        Ok(WrittenSelection { results, selection, leaderboard, files: files.into() })
    }

    /// The comment above the configuration.
    fn config_header(&self, results: &[TrialResult], selection: &Selection) -> String {
        let metric = &self.section.metric;
        format!(
            "{CONFIG_HEADER} ({}): the best of {} trials by the {} of {} folds of {} training rows, {}.\n",
            self.id,
            results.len(),
            metric_label(metric),
            self.section.folds,
            self.objective.y.len(),
            format_metric(metric, selection.score)
        )
    }

    fn summary(&self, results: &[TrialResult]) -> Summary<'_> {
        Summary {
            stage: "search",
            status: "done",
            search: self.id,
            trials: results.len(),
            measured_on_all_rows: count_on_all_rows(results),
            taken_from_before: self.known,
            metric: &self.section.metric,
            score: results.first().filter(|result| result.rung == LAST_RUNG).map(|result| result.evaluation.score),
            blend: false,
            config: None,
            leaderboard: None,
        }
    }

    /// The outcome of one shard.
    pub(crate) fn shard_outcome(&self, results: &[TrialResult], shard: Shard) -> Outcome {
        let human = format!(
            "search    done: part {shard}, {} trials ({} on all rows); when all parts are done, run the same command without --shard \
             to \
             choose among all trials",
            results.len(),
            count_on_all_rows(results)
        );
        Outcome::done(&self.summary(results), human)
    }

    /// The outcome of a whole search.
    pub(crate) fn outcome(&self, written: &WrittenSelection) -> Outcome {
        let WrittenSelection { results, selection, leaderboard, .. } = written;
        let metric = &self.section.metric;
        let human = format!(
            "search    done: {} trials ({} on all rows) → {}: cross-validated {} {}\n          → {} and {}",
            results.len(),
            count_on_all_rows(results),
            selection.describe(),
            metric_label(metric),
            format_metric(metric, selection.score),
            self.args.output.display(),
            leaderboard.display()
        );
        let summary = Summary {
            score: Some(selection.score),
            blend: selection.parts.len() > 1,
            config: Some(&self.args.output),
            leaderboard: Some(leaderboard),
            ..self.summary(results)
        };
        Outcome::done(&summary, human)
    }
}

/// The page with the leaderboard, below the folder of models.
pub(crate) fn leaderboard_path(models_dir: &Path) -> PathBuf {
    models_dir.join("search/leaderboard.html")
}

fn count_on_all_rows(results: &[TrialResult]) -> usize {
    results.iter().filter(|result| result.rung == LAST_RUNG).count()
}
