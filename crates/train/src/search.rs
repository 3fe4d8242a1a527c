//! `train search`: evaluates many models on training rows, writes the configuration of the best one, and trains it. Test rows are
//! scored once, at the end.

pub(crate) mod inputs;
pub(crate) mod leaderboard;
pub(crate) mod objective;
pub(crate) mod parent_run;
pub(crate) mod selection;
pub(crate) mod session;
pub(crate) mod shard;
pub(crate) mod stopped_search;
pub(crate) mod successive_halving;
pub(crate) mod trial_store;

use std::{
    path::PathBuf,
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::ensure;
use artifact::{Digest, Mark, OutputKind, RunPaths};
use cli::{Clock, Outcome, Progress};
use model::{MAX_MINUTES, SearchConfig, SearchSection};
use serde_json::json;
use tracking::{Tracker, Tracking};

use crate::{
    args::{Args, SearchArgs},
    config::Config,
    run_paths,
    search::{
        inputs::{SearchInputs, read_inputs},
        parent_run::{ParentRun, parent_record},
        session::{CONFIG_HEADER, SearchOutcome, SearchSession, leaderboard_path},
        shard::Shard,
        stopped_search::{SearchNote, note_path},
        successive_halving::{SuccessiveHalving, TrialResult},
        trial_store::TrialRecorder,
    },
    stage,
    tracking::location::tracking_from_args,
};

/// The share of the time budget in which new trials are evaluated.
const DRAW_TIME_SHARE: f64 = 0.7;
/// The share of the time budget after which no further selection of features or blend is evaluated.
const SELECTION_TIME_SHARE: f64 = 0.95;
/// Trials that cannot be fitted and are named in warnings; the rest is counted.
const MAX_FAILURES_LISTED: usize = 3;
/// Digits of the digest that identifies a search.
const SEARCH_ID_DIGITS: usize = 8;
const CONFIG_FILE: OutputKind =
    OutputKind { name: "a configuration that `train search` wrote", mark: Mark::Text(CONFIG_HEADER, "") };

/// Searches for a model, and trains the best one.
///
/// # Errors
/// If the inputs are not what `engineer` wrote, the search is invalid, no trial can be fitted, or a file cannot be written.
pub(crate) fn search(args: &SearchArgs, progress: &Progress) -> anyhow::Result<Outcome> {
    let (clock, started) = (Clock::start(), Instant::now());
    let (tracking, warning) = tracking_from_args(&args.tracking, &args.models_dir)?;
    check_paths(args, &tracking)?;
    let section = read_section(args)?;
    warning.into_iter().for_each(|warning| progress.warn(warning));
    let budget = Duration::from_secs_f64(section.minutes * 60.0);
    let draw_deadline = started + budget.mul_f64(DRAW_TIME_SHARE);
    let SearchInputs { mut objective, data, target } = read_inputs(args, &section, draw_deadline, progress)?;
    let positive = objective.y.iter().all(|y| *y > 0.0);
    let candidates = section.candidates(objective.y.len(), positive);
    // a search with another budget is the same one: a larger budget continues it
    let identity = json!({"candidates": &candidates, "metric": &section.metric, "folds": section.folds, "seed": section.seed,
        "halving": section.halving, "data": data.digest.hex()});
    let id: String = Digest::of_json(&identity).hex().chars().take(SEARCH_ID_DIGITS).collect();
    let experiment = cli::variable("MLFLOW_EXPERIMENT_NAME").unwrap_or_else(|| section.name.clone());
    let known = trial_store::known_trials(&tracking, &experiment, &id, progress);

    let shard = args.shard.unwrap_or(Shard::WHOLE);
    let record = parent_record(&section, &experiment, &id, shard, &clock);
    let note = SearchNote::hold(checked_note_path(args, &id, shard)?);
    let parent = ParentRun::begin(record, note, Tracker::new(&tracking)?, *progress)?;
    let recorder = TrialRecorder::start(&tracking, &experiment, &id, &section.metric, &parent.id, progress)?;
    let halving = SuccessiveHalving {
        search: &section,
        candidates: &candidates,
        objective: &objective,
        known: &known,
        recorder: &recorder,
        shard,
        progress,
        failures: Mutex::new(Vec::new()),
    };
    let results = halving.run();
    warn_of_failures(&halving.failures.into_inner().unwrap_or_default(), progress);
    let count = recorder.finish();
    progress.detail(format!("{count} evaluations recorded, {} known from earlier runs", known.len()));
    objective.deadline = started + budget.mul_f64(SELECTION_TIME_SHARE);
    let session =
        SearchSession { args, section: &section, objective, target: &target, id: &id, known: known.len(), started };
    end(session, parent, results, shard)
}

/// Ends a search: selects and trains a model, or summarises the trials of a shard.
fn end(
    mut session: SearchSession,
    parent: ParentRun,
    results: anyhow::Result<Vec<TrialResult>>,
    shard: Shard,
) -> anyhow::Result<Outcome> {
    let outcome = results.and_then(|results| {
        ensure!(!results.is_empty(), "no trial was evaluated: allow more minutes, or other candidates");
        if shard == Shard::WHOLE {
            session.select(results).map(SearchOutcome::Selected)
        } else {
            Ok(SearchOutcome::Shard(results))
        }
    });
    match outcome {
        Err(error) => {
            parent.fail(&error);
            Err(error)
        }
        Ok(SearchOutcome::Shard(results)) => {
            parent.end_shard();
            parent.finish();
            Ok(session.shard_outcome(&results, shard))
        }
        Ok(SearchOutcome::Selected(written)) => {
            parent.end_selected(session.section, &written.results, &written.selection, &written.files);
            let trained = train(session.args, &parent.id, parent.is_repeated, &parent.progress)?;
            parent.finish();
            Ok(session.outcome(&written).followed_by(trained))
        }
    }
}

/// Checks that no output replaces an input or a file of another kind.
fn check_paths(args: &SearchArgs, tracking: &Tracking) -> anyhow::Result<()> {
    Ok(run_paths::training_paths(&args.data, &args.models_dir, tracking, &args.tracking)
        .input("--config", &args.config)
        .output_of_kind("--output", &args.output, CONFIG_FILE)
        .output_of_kind("--models-dir", &leaderboard_path(&args.models_dir), OutputKind::PAGE)
        .check()?)
}

/// The path of the note, which is neither the table nor the configuration.
fn checked_note_path(args: &SearchArgs, id: &str, shard: Shard) -> anyhow::Result<PathBuf> {
    let note = note_path(&args.models_dir, id, shard);
    let paths = RunPaths::default().stage_input("--data", &args.data).input("--config", &args.config);
    paths.output_of_kind("--models-dir", &note, OutputKind::REPORT).check()?;
    Ok(note)
}

/// The configuration of the search, with the budget of the flags.
fn read_section(args: &SearchArgs) -> anyhow::Result<SearchSection> {
    let text = cli::read_text(&args.config, "--config")?;
    let mut section =
        SearchConfig::parse(&text).map_err(|error| anyhow::anyhow!("{}:{error}", args.config.display()))?.search;
    section.minutes = args.minutes.unwrap_or(section.minutes);
    section.trials = args.trials.unwrap_or(section.trials);
    ensure!(
        section.minutes > 0.0 && section.minutes <= MAX_MINUTES && section.trials > 0,
        "--minutes and --trials must be above 0, and minutes at most {MAX_MINUTES}"
    );
    Ok(section)
}

fn warn_of_failures(failures: &[String], progress: &Progress) {
    failures.iter().take(MAX_FAILURES_LISTED).for_each(|failure| progress.warn(failure));
    if failures.len() > MAX_FAILURES_LISTED {
        progress.warn(format!("and {} more trials that cannot be fitted", failures.len() - MAX_FAILURES_LISTED));
    }
}

/// Trains the selected model as any other: the only time that test rows are scored. If the search `is_repeated`, it may be trained
/// already.
fn train(args: &SearchArgs, parent: &str, is_repeated: bool, progress: &Progress) -> anyhow::Result<Outcome> {
    let args = Args {
        command: None,
        config: Some(args.output.clone()),
        data: Some(args.data.clone()),
        models_dir: Some(args.models_dir.clone()),
        import: None,
        register: args.register,
        parent_run: Some(parent.to_owned()),
        tracking: args.tracking.clone(),
        global: cli::GlobalArgs { force: !is_repeated, ..cli::GlobalArgs::default() },
    };
    stage::run(&Config::try_from_args(&args)?, progress)
}
