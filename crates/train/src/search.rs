//! `train search`: tries many models on training rows, writes the configuration of the best, and trains that; the test rows are scored
//! once, at the end.

mod course;
mod leaderboard;
mod ledger;
mod rounds;
mod winner;

use std::{
    fmt,
    path::PathBuf,
    str::FromStr,
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use artifact::{Digest, FileEntry, MetricPoint, RUN_RECORD_VERSION, RunIdentity, RunRecord, RunStatus, RunTimes};
use artifact::{check_input, read_envelope, write_atomically};
use cli::{Clock, Outcome, Progress};
use features::{PREPROCESSOR, Preprocessor, PreprocessorFile};
use model::{SearchConfig, SearchSection};
use serde::Serialize;
use serde_json::{Value, json};
use tracking::{Content, Run, RunFile, Tracker};

use self::{
    course::{Course, TOP},
    ledger::Recorder,
    rounds::{Entry, Rounds},
    winner::Winner,
};
use crate::{
    Args, Config,
    args::SearchArgs,
    data::{Wanted, read_wanted},
    figure::{figure, label},
    stage,
    tracked::{speaker, tracking},
};

/// The share of the time in which trials are drawn; the rest is for fewer features and the blend.
const DRAWING: f64 = 0.7;
const CHOOSING: f64 = 0.95;
/// Trials that cannot be fitted that are named.
const FAULTS: usize = 3;
/// Digits of a digest that stand for a search.
const DIGITS: usize = 8;

/// Which part of the trials is this machine's: part `index` of `count`, from 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    const WHOLE: Self = Self { index: 1, count: 1 };

    /// Whether a trial is its.
    fn has(self, number: usize) -> bool {
        number % self.count == self.index - 1
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (index, count) = text.split_once('/')?;
            Some(Self { index: index.parse().ok()?, count: count.parse().ok()? })
        };
        parse()
            .filter(|shard| shard.index >= 1 && shard.index <= shard.count)
            .ok_or_else(|| format!("\"{text}\" is not a part of a whole: write 1/3, 2/3 and 3/3 for three machines"))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

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

/// The table, as the search sees it: its training rows.
struct Ground {
    course: Course,
    data: FileEntry,
    target: String,
}

/// Searches.
///
/// # Errors
/// If the inputs are not what `engineer` wrote, the search cannot be read or fits nothing, or nothing can be written.
pub(crate) fn search(args: &SearchArgs, progress: &Progress) -> anyhow::Result<Outcome> {
    let clock = Clock::start();
    let begun = Instant::now();
    let text = cli::read_text(&args.config, "--config")?;
    let mut section =
        SearchConfig::parse(&text).map_err(|error| anyhow::anyhow!("{}:{error}", args.config.display()))?.search;
    section.minutes = args.minutes.unwrap_or(section.minutes);
    section.trials = args.trials.unwrap_or(section.trials);
    ensure!(section.minutes > 0.0 && section.trials > 0, "--minutes and --trials must be above 0");
    let (tracking, warning) = tracking(&args.tracking, &args.models_dir)?;
    warning.into_iter().for_each(|warning| progress.warn(warning));
    let budget = Duration::from_secs_f64(section.minutes * 60.0);
    let Ground { mut course, data, target } = ground(args, &section, begun + budget.mul_f64(DRAWING), progress)?;
    let positive = course.y.iter().all(|y| *y > 0.0);
    let candidates = section.candidates(course.y.len(), positive);
    // budgets are not part of what makes it this search: more of them goes on with it
    let what = json!({"candidates": &candidates, "metric": &section.metric, "folds": section.folds, "seed": section.seed,
        "halving": section.halving, "data": data.digest.hex()});
    let id: String = Digest::of_json(&what).hex().chars().take(DIGITS).collect();
    let experiment = cli::variable("MLFLOW_EXPERIMENT_NAME").unwrap_or_else(|| section.name.clone());
    let known = ledger::known(&tracking, &experiment, &id, progress);

    let shard = args.shard.unwrap_or(Shard::WHOLE);
    let parent = parent_record(&section, &experiment, &id, shard, &clock);
    let tracker = Tracker::new(&tracking)?;
    let warn = speaker(progress);
    let parent_id = tracker.begin_now(&Run::of(&parent), &warn);
    let recorder = Recorder::start(&tracking, &experiment, &id, &section.metric, &parent_id, progress)?;
    let rounds = Rounds {
        search: &section,
        candidates: &candidates,
        course: &course,
        known: &known,
        recorder: &recorder,
        shard,
        progress,
        faults: Mutex::new(Vec::new()),
    };
    let board = rounds.run()?;
    warn_of(&rounds.faults.into_inner().unwrap_or_default(), progress);
    let written = recorder.finish();
    progress.detail(format!("{written} measurements recorded, {} known from before", known.len()));
    ensure!(!board.is_empty(), "no trial was measured: give it more minutes, or other candidates");

    let end = |mut record: RunRecord, files: &[RunFile]| {
        record.status = RunStatus::Finished;
        record.times.ended_at_ms = cli::now_ms();
        if let Err(error) = tracker.end(None, &Run::of(&record), files, &warn) {
            progress.warn(format!("the search is not recorded: {error}"));
        }
    };
    let whole = board.iter().filter(|entry| entry.rung == TOP).count();
    let mut summary = Summary {
        stage: "search",
        status: "done",
        search: &id,
        trials: board.len(),
        measured_on_all_rows: whole,
        taken_from_before: known.len(),
        metric: &section.metric,
        score: board.first().filter(|entry| entry.rung == TOP).map(|entry| entry.measured.score),
        blend: false,
        config: None,
        leaderboard: None,
    };
    if shard != Shard::WHOLE {
        end(parent, &[]);
        let human = format!(
            "search    done: part {shard}, {} trials ({whole} on all rows); when all parts are done, the same command without --shard \
             chooses among all of them",
            board.len()
        );
        return Ok(Outcome::done(&summary, human));
    }

    course.deadline = begun + budget.mul_f64(CHOOSING);
    let winner = winner::choose(&mut course, &board, section.eliminate, section.blend)?;
    let config = header(&section, &course, &board, &winner, &id)
        + &winner.render(&section.name, &target, section.folds, section.seed)?;
    let config_file = write_atomically(&args.output, config.as_bytes())?;
    let page = leaderboard::render(&section, &course, &board, &winner, known.len(), begun.elapsed().as_secs_f64());
    let page_path = args.models_dir.join("search/leaderboard.html");
    let page_file = write_atomically(&page_path, page.as_bytes())?;
    let search_file = FileEntry::of(&args.config).context("reading the search")?;
    let files = [("leaderboard.html", &page_file), ("model_config.yaml", &config_file), ("search.yaml", &search_file)]
        .map(|(place, file)| RunFile::of_run(place, Content::File(file.clone())));
    end(with_result(parent, &section, &board, &winner), &files);

    let trained = train(args, &parent_id, progress)?;
    (summary.score, summary.blend) = (Some(winner.score), winner.parts.len() > 1);
    (summary.config, summary.leaderboard) = (Some(&args.output), Some(&page_path));
    let human = format!(
        "search    done: {} trials ({whole} on all rows) → {}: cross-validated {} {}\n          → {} and {}",
        board.len(),
        winner.kinds(),
        label(&section.metric),
        figure(&section.metric, winner.score),
        args.output.display(),
        page_path.display()
    );
    Ok(Outcome::done(&summary, human).followed_by(trained))
}

fn warn_of(faults: &[String], progress: &Progress) {
    faults.iter().take(FAULTS).for_each(|fault| progress.warn(fault));
    if faults.len() > FAULTS {
        progress.warn(format!("and {} more trials that cannot be fitted", faults.len() - FAULTS));
    }
}

/// Reads the training rows; the test rows are not kept.
fn ground(args: &SearchArgs, section: &SearchSection, deadline: Instant, progress: &Progress) -> anyhow::Result<Ground> {
    let (engineer, data) = check_input(&args.data, "engineer")?;
    let preprocessor = engineer.output_beside(&args.data).context("the manifest names no preprocessor")?.path.clone();
    let (_, preprocessor) = check_input(&preprocessor, "engineer")?;
    let file: PreprocessorFile = read_envelope(&preprocessor.path, PREPROCESSOR.into(), "Run `engineer` to write it")?;
    let preprocessor = Preprocessor::check(file).with_context(|| format!("{}", preprocessor.path.display()))?;
    let target = preprocessor.schema().target().name.clone();
    ensure!(
        section.target_variable.as_ref().is_none_or(|named| *named == target),
        "{}: search.target_variable: \"{}\" is not the target of this table, which is \"{target}\"",
        args.config.display(),
        section.target_variable.as_deref().unwrap_or_default()
    );
    let all = |available: &[String]| Ok(available.to_vec());
    let wanted = Wanted { path: &args.data, target: &target, choose: &all, weight: None, refuses_missing: None };
    let dataset = read_wanted(&wanted, progress)?;
    let rows = dataset.train.y.len();
    ensure!(
        rows >= 2 * section.folds,
        "{}: {rows} training rows are too few for {} folds; set search.folds",
        args.data.display(),
        section.folds
    );
    let categorical = dataset.features.iter().map(|feature| preprocessor.is_categorical(feature)).collect();
    let course = Course {
        x: dataset.train.x,
        y: dataset.train.y,
        features: dataset.features,
        categorical,
        metric: section.metric.clone(),
        folds: section.folds,
        seed: section.seed,
        deadline,
    };
    Ok(Ground { course, data, target })
}

/// Trains the winner as any other model: the one time that test rows are scored.
fn train(args: &SearchArgs, parent: &str, progress: &Progress) -> anyhow::Result<Outcome> {
    let args = Args {
        command: None,
        config: Some(args.output.clone()),
        data: Some(args.data.clone()),
        models_dir: Some(args.models_dir.clone()),
        import: None,
        register: args.register,
        parent_run: Some(parent.to_owned()),
        tracking: args.tracking.clone(),
        global: cli::GlobalArgs { force: true, ..cli::GlobalArgs::default() },
    };
    stage::run(&Config::check(&args)?, progress)
}

/// What is said above the configuration.
fn header(section: &SearchSection, course: &Course, board: &[Entry], winner: &Winner, id: &str) -> String {
    format!(
        "# Written by `train search` ({id}): the best of {} trials by the {} of {} folds of {} training rows, {}.\n",
        board.len(),
        label(&section.metric),
        section.folds,
        course.y.len(),
        figure(&section.metric, winner.score)
    )
}

fn parent_record(section: &SearchSection, experiment: &str, id: &str, shard: Shard, clock: &Clock) -> RunRecord {
    let mut tags: std::collections::BTreeMap<String, String> = [("search".to_owned(), id.to_owned())].into();
    if shard != Shard::WHOLE {
        tags.insert("shard".into(), shard.to_string());
    }
    let parameters: [(&str, Value); 5] = [
        ("metric", json!(section.metric)),
        ("folds", json!(section.folds)),
        ("random_state", json!(section.seed)),
        ("minutes", json!(section.minutes)),
        ("trials", json!(section.trials)),
    ];
    RunRecord {
        format_version: RUN_RECORD_VERSION,
        identity: RunIdentity {
            run_id: tracking::new_run_id(),
            run_name: format!("search-{id}"),
            user: cli::user(),
            source: "train search".into(),
            commit: cli::commit(),
            branch: cli::branch(),
        },
        status: RunStatus::Running,
        name: experiment.to_owned(),
        parameters: parameters.map(|(name, value)| (name.to_owned(), value)).into(),
        tags,
        times: RunTimes { started_at_ms: clock.started_at_ms, ..RunTimes::default() },
        ..RunRecord::default()
    }
}

fn with_result(mut record: RunRecord, section: &SearchSection, board: &[Entry], winner: &Winner) -> RunRecord {
    let point = |key: &str, value: f64, step: u32| MetricPoint { key: key.into(), value, step };
    record.metrics.push(point(&format!("cv_{}", section.metric), winner.score, 0));
    record.metrics.push(point("trials_measured", board.len() as f64, 0));
    let mut measured: Vec<&Entry> = board.iter().filter(|entry| entry.rung == TOP).collect();
    measured.sort_by_key(|entry| entry.trial.number);
    let mut best = f64::INFINITY;
    for entry in measured {
        if entry.measured.score < best {
            best = entry.measured.score;
            record.metrics.push(point("best_so_far", best, entry.trial.number as u32 + 1));
        }
    }
    record.note = format!("The winner: {}.\n", winner.kinds());
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_search_share_its_trials() {
        let shards: Vec<Shard> = (1..=3).map(|index| format!("{index}/3").parse().unwrap()).collect();
        for number in 0..30 {
            assert_eq!(shards.iter().filter(|shard| shard.has(number)).count(), 1);
        }
        for wrong in ["0/3", "4/3", "1", "a/b", "1/0"] {
            assert!(wrong.parse::<Shard>().unwrap_err().contains("write 1/3, 2/3 and 3/3"), "{wrong}");
        }
        assert_eq!(shards[1].to_string(), "2/3");
    }
}
