//! `train search`: tries many models on training rows, writes the configuration of the best, and trains that; the test rows are scored
//! once, at the end.

pub(crate) mod leaderboard;
pub(crate) mod objective;
pub(crate) mod parent_run;
pub(crate) mod selection;
pub(crate) mod stopped_search;
pub(crate) mod successive_halving;
pub(crate) mod trial_store;

use std::{
    fmt,
    path::PathBuf,
    str::FromStr,
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use artifact::{Digest, FileEntry, Mark, OutputKind, RunPaths, RunRecord, RunStatus, lock_to_read, write_atomically};
use cli::{Clock, Outcome, Progress};
use model::{MAX_MINUTES, SearchConfig, SearchSection, figure, label};
use serde::Serialize;
use serde_json::json;
use tracking::{ArtifactContent, Run, RunFile, Tracker};

use crate::{
    args::{Args, SearchArgs},
    config::Config,
    inputs::{
        engineer_outputs,
        featured_table::{Wanted, read_wanted},
    },
    run_paths,
    search::{
        objective::{Course, TOP},
        parent_run::{parent_record, with_result},
        selection::Winner,
        stopped_search::{SearchNote, note_path},
        successive_halving::{Entry, Rounds},
        trial_store::Recorder,
    },
    stage,
    tracking::session::{speaker, tracking},
};

/// The share of the time in which trials are drawn; the rest is for fewer features and the blend.
const DRAWING: f64 = 0.7;
const CHOOSING: f64 = 0.95;
/// Trials that cannot be fitted that are named.
const FAULTS: usize = 3;
/// How the configuration of a winner begins.
const WRITTEN: &str = "# Written by `train search`";
const CONFIG_FILE: OutputKind =
    OutputKind { name: "a configuration that `train search` wrote", mark: Mark::Text(WRITTEN, "") };
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
    let (tracking, warning) = tracking(&args.tracking, &args.models_dir)?;
    run_paths::of_training(&args.data, &args.models_dir, &tracking, &args.tracking)
        .input("--config", &args.config)
        .output_of_kind("--output", &args.output, CONFIG_FILE)
        .output_of_kind("--models-dir", &leaderboard_path(args), OutputKind::PAGE)
        .check()?;
    let text = cli::read_text(&args.config, "--config")?;
    let mut section =
        SearchConfig::parse(&text).map_err(|error| anyhow::anyhow!("{}:{error}", args.config.display()))?.search;
    section.minutes = args.minutes.unwrap_or(section.minutes);
    section.trials = args.trials.unwrap_or(section.trials);
    ensure!(
        section.minutes > 0.0 && section.minutes <= MAX_MINUTES && section.trials > 0,
        "--minutes and --trials must be above 0, and minutes at most {MAX_MINUTES}"
    );
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
    let known = trial_store::known(&tracking, &experiment, &id, progress);

    let shard = args.shard.unwrap_or(Shard::WHOLE);
    let mut parent = parent_record(&section, &experiment, &id, shard, &clock);
    let tracker = Tracker::new(&tracking)?;
    let note = note_path(&args.models_dir, &id, shard);
    let paths = RunPaths::default().stage_input("--data", &args.data).input("--config", &args.config);
    paths.output_of_kind("--models-dir", &note, OutputKind::REPORT).check()?;
    let mut note = SearchNote::hold(note);
    let stopped = note.as_mut().and_then(|note| note.stopped(&parent));
    let is_repeated = stopped.is_some();
    let warn = speaker(progress);
    let parent_id = if let Some(stopped) = stopped {
        progress.detail(format!("the search was stopped before; its run {} goes on", stopped.identity.run_id));
        parent = stopped;
        tracker.resume_now(&Run::from_record(&parent), &warn)
    } else {
        note.as_mut().map_or(Ok(()), |note| note.write(&parent))?;
        tracker.begin_now(&Run::from_record(&parent), &warn)
    };
    let is_recorded = is_repeated && tracker.is_recorded(&Run::from_record(&parent));
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
    let drawn = rounds.run();
    warn_of(&rounds.faults.into_inner().unwrap_or_default(), progress);
    let written = recorder.finish();
    progress.detail(format!("{written} measurements recorded, {} known from before", known.len()));
    course.deadline = begun + budget.mul_f64(CHOOSING);
    let mut session = Session { args, section: &section, course, target: &target, id: &id, known: known.len(), begun };
    let done = drawn.and_then(|board| {
        ensure!(!board.is_empty(), "no trial was measured: give it more minutes, or other candidates");
        if shard == Shard::WHOLE { session.choose(board).map(Done::Whole) } else { Ok(Done::Part(board)) }
    });
    let end = |mut record: RunRecord, files: &[RunFile]| {
        // what is whole in the store stays as it is
        if is_recorded {
            return;
        }
        record.times.ended_at_ms = cli::now_ms();
        if let Err(error) = tracker.end(None, &Run::from_record(&record), files, &warn) {
            progress.warn(format!("the search is not recorded: {error}"));
        }
    };
    match done {
        Err(error) => {
            end(RunRecord { status: RunStatus::Failed, note: format!("{error:#}"), ..parent }, &[]);
            note.into_iter().for_each(SearchNote::remove);
            Err(error)
        }
        Ok(Done::Part(board)) => {
            end(RunRecord { status: RunStatus::Finished, ..parent }, &[]);
            note.into_iter().for_each(SearchNote::remove);
            Ok(session.part(&board, shard))
        }
        Ok(Done::Whole(chosen)) => {
            let record = with_result(parent, &section, &chosen.board, &chosen.winner);
            end(RunRecord { status: RunStatus::Finished, ..record }, &chosen.files);
            let trained = train(args, &parent_id, is_repeated, progress)?;
            note.into_iter().for_each(SearchNote::remove);
            Ok(session.whole(&chosen).followed_by(trained))
        }
    }
}

/// What a search came to.
enum Done {
    /// Trials of a part, for others to go on with.
    Part(Vec<Entry>),
    /// A winner.
    Whole(Chosen),
}

/// A winner, and what was written of it.
struct Chosen {
    board: Vec<Entry>,
    winner: Winner,
    page: PathBuf,
    files: Vec<RunFile>,
}

/// A search whose trials are measured.
struct Session<'a> {
    args: &'a SearchArgs,
    section: &'a SearchSection,
    course: Course,
    target: &'a str,
    id: &'a str,
    /// Measurements of before.
    known: usize,
    begun: Instant,
}

impl Session<'_> {
    /// Chooses the winner and writes its configuration and the leaderboard.
    fn choose(&mut self, board: Vec<Entry>) -> anyhow::Result<Chosen> {
        let section = self.section;
        let winner = selection::choose(&mut self.course, &board, section.eliminate, section.blend)?;
        let config = header(section, &self.course, &board, &winner, self.id)
            + &winner.render(&section.name, self.target, section.folds, section.seed)?;
        let config_file = write_atomically(&self.args.output, config.as_bytes())?;
        let seconds = self.begun.elapsed().as_secs_f64();
        let text = leaderboard::render(section, &self.course, &board, &winner, self.known, seconds);
        let page = leaderboard_path(self.args);
        let page_file = write_atomically(&page, text.as_bytes())?;
        let search_file = FileEntry::of(&self.args.config).context("reading the search")?;
        let files = [("leaderboard.html", page_file), ("model_config.yaml", config_file), ("search.yaml", search_file)]
            .map(|(place, file)| RunFile::of_run(place, ArtifactContent::File(file)));
        Ok(Chosen { board, winner, page, files: files.into() })
    }

    fn summary(&self, board: &[Entry]) -> Summary<'_> {
        Summary {
            stage: "search",
            status: "done",
            search: self.id,
            trials: board.len(),
            measured_on_all_rows: on_all_rows(board),
            taken_from_before: self.known,
            metric: &self.section.metric,
            score: board.first().filter(|entry| entry.rung == TOP).map(|entry| entry.measured.score),
            blend: false,
            config: None,
            leaderboard: None,
        }
    }

    fn part(&self, board: &[Entry], shard: Shard) -> Outcome {
        let human = format!(
            "search    done: part {shard}, {} trials ({} on all rows); when all parts are done, the same command without --shard chooses \
             among all of them",
            board.len(),
            on_all_rows(board)
        );
        Outcome::done(&self.summary(board), human)
    }

    fn whole(&self, chosen: &Chosen) -> Outcome {
        let Chosen { board, winner, page, .. } = chosen;
        let metric = &self.section.metric;
        let human = format!(
            "search    done: {} trials ({} on all rows) → {}: cross-validated {} {}\n          → {} and {}",
            board.len(),
            on_all_rows(board),
            winner.kinds(),
            label(metric),
            figure(metric, winner.score),
            self.args.output.display(),
            page.display()
        );
        let summary = Summary {
            score: Some(winner.score),
            blend: winner.parts.len() > 1,
            config: Some(&self.args.output),
            leaderboard: Some(page),
            ..self.summary(board)
        };
        Outcome::done(&summary, human)
    }
}

fn leaderboard_path(args: &SearchArgs) -> PathBuf {
    args.models_dir.join("search/leaderboard.html")
}

fn on_all_rows(board: &[Entry]) -> usize {
    board.iter().filter(|entry| entry.rung == TOP).count()
}

fn warn_of(faults: &[String], progress: &Progress) {
    faults.iter().take(FAULTS).for_each(|fault| progress.warn(fault));
    if faults.len() > FAULTS {
        progress.warn(format!("and {} more trials that cannot be fitted", faults.len() - FAULTS));
    }
}

/// Reads the training rows; the test rows are not kept.
fn ground(args: &SearchArgs, section: &SearchSection, deadline: Instant, progress: &Progress) -> anyhow::Result<Ground> {
    let _locks = lock_to_read(&args.data, &|folder| progress.waiting(folder));
    let (_, data, preprocessor) = engineer_outputs::given(&args.data)?;
    let preprocessor = engineer_outputs::open(&preprocessor)?;
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

/// Trains the winner as any other model: the one time that test rows are scored. It may be trained already if the search `is_repeated`.
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
    stage::run(&Config::check(&args)?, progress)
}

/// What is said above the configuration.
fn header(section: &SearchSection, course: &Course, board: &[Entry], winner: &Winner, id: &str) -> String {
    format!(
        "{WRITTEN} ({id}): the best of {} trials by the {} of {} folds of {} training rows, {}.\n",
        board.len(),
        label(&section.metric),
        section.folds,
        course.y.len(),
        figure(&section.metric, winner.score)
    )
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
