//! `train promote`: a registered version becomes the champion, if it passes the gate and is no worse than the champion on the same test
//! rows.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, bail, ensure};
use artifact::{Manifest, check_input};
use cli::{No, Outcome, Progress};
use model::{DEFAULT_SEED, Decision, METRIC_NAMES, Metrics, Paired, decide, paired_bootstrap};
use predictor::{MODEL_FILE, PREPROCESSOR_FILE, Predictor};
use schema::{ChampionSection, ConfigError, PipelineConfig};
use serde::Serialize;
use tracking::{CHALLENGER, CHAMPION, ModelVersion, Move, RegisteredModel, Registry, move_alias};

use crate::{
    args::PromoteArgs,
    figure::{figure, label},
    logged_model::SPLIT_TAG,
    registered,
};

#[derive(Serialize)]
struct Summary<'a> {
    name: &'a str,
    status: &'static str,
    version: &'a str,
    champion: Option<&'a str>,
    test_rows: usize,
    gate: &'a [Decision],
    comparison: Option<&'a Comparison>,
}

/// The version against the champion.
#[derive(Debug, Serialize)]
struct Comparison {
    metric: String,
    margin: f64,
    /// First the version, second the champion.
    figures: Paired,
    passed: bool,
    /// In words.
    text: String,
}

/// A registered version, ready to predict.
struct Candidate {
    version: ModelVersion,
    predictor: Predictor,
}

/// Compares, and moves the alias if the answer is yes.
pub(crate) fn promote(args: &PromoteArgs, progress: &Progress) -> anyhow::Result<Outcome> {
    let name = &args.name;
    let pipeline = settings(args)?;
    let (process, _) = check_input(&args.data, "process")?;
    let (registry, model) = registered::open(&args.tracking, name, progress)?;
    let version = chosen(args, &model)?;
    let champion = model.aliases.get(CHAMPION);
    let mut summary = Summary {
        name,
        status: "unchanged",
        version: &version,
        champion: champion.map(String::as_str),
        test_rows: 0,
        gate: &[],
        comparison: None,
    };
    if champion == Some(&version) {
        return Ok(Outcome::done(
            &summary,
            format!("promote   unchanged: version {version} of {name} is the champion already"),
        ));
    }
    let versions = registry.versions(name)?;
    let challenger = load(&*registry, find(&versions, &version, name)?)?;
    let measured = predict(&challenger, &args.data, progress)?;
    summary.test_rows = measured.len();
    let figures = figures(&measured).named();
    let gate = gate(&pipeline, &challenger, &figures, args)?;
    summary.gate = &gate;

    let held = match champion {
        Some(held) => Some(load(&*registry, find(&versions, held, name)?)?),
        None => None,
    };
    let comparison = match &held {
        Some(held) => {
            warn_of_split(held, &process, progress);
            let theirs = predict(held, &args.data, progress)?;
            Some(compare(&pipeline.package.champion, &measured, &theirs, &held.version.version, progress)?)
        }
        None => None,
    };
    summary.comparison = comparison.as_ref();
    let mut refusals: Vec<String> = gate.iter().filter(|decision| !decision.passed).map(Decision::refusal).collect();
    refusals.extend(comparison.iter().filter(|comparison| !comparison.passed).map(|comparison| {
        format!("worse than the champion by more than package.champion.margin ({}): {}", comparison.margin, comparison.text)
    }));
    let shown = shown(&figures, measured.len(), comparison.as_ref());
    if !refusals.is_empty() {
        summary.status = "refused";
        let human = format!("promote   refused: version {version} of {name} does not become the champion{shown}");
        return Ok(Outcome::done(&summary, human).refused(format!("{}. The champion stays", refusals.join("; "))));
    }
    summary.status = "done";
    let why = match &comparison {
        Some(comparison) => format!("promoted: {}", comparison.text),
        None => "promoted: there was no champion".to_owned(),
    };
    let moved = Move {
        at: cli::now_ms().cast_signed(),
        version: version.clone(),
        from: champion.cloned(),
        why: why.clone(),
        by: cli::user(),
    };
    move_alias(&*registry, name, CHAMPION, &moved)?;
    registry.tag_version(name, &version, "promotion", &why)?;
    let human = format!("promote   done: version {version} of {name} is the champion{shown}");
    Ok(Outcome::done(&summary, human))
}

fn settings(args: &PromoteArgs) -> anyhow::Result<PipelineConfig> {
    let path = &args.pipeline_config;
    let text = cli::read_text(path, "--pipeline-config")?;
    let at = |error: ConfigError| anyhow::anyhow!("{}:{error}", path.display());
    let pipeline = PipelineConfig::parse(&text).map_err(at)?;
    let ChampionSection { metric, margin } = &pipeline.package.champion;
    if !METRIC_NAMES.contains(&metric.as_str()) {
        let message = format!("\"{metric}\" is not one of {}", METRIC_NAMES.join(", "));
        return Err(at(ConfigError::at(&text, &["package", "champion", "metric"], message)));
    }
    if !margin.is_finite() || *margin < 0.0 {
        let message = format!("{margin} is not a margin; write 0 or more");
        return Err(at(ConfigError::at(&text, &["package", "champion", "margin"], message)));
    }
    Ok(pipeline)
}

fn chosen(args: &PromoteArgs, model: &RegisteredModel) -> anyhow::Result<String> {
    match (args.version, model.aliases.get(CHALLENGER)) {
        (Some(version), _) => Ok(version.to_string()),
        (None, Some(version)) => Ok(version.clone()),
        (None, None) => Err(No(format!(
            "{}: no version has the alias `{CHALLENGER}`; name one with --version, or register one with `train --register`",
            args.name
        ))
        .into()),
    }
}

fn find(versions: &[ModelVersion], version: &str, name: &str) -> anyhow::Result<ModelVersion> {
    let found = versions.iter().find(|known| known.version == version).cloned();
    found.ok_or_else(|| {
        let known: Vec<&str> = versions.iter().rev().map(|version| version.version.as_str()).collect();
        No(format!("{name}: there is no version {version}; there are {}", known.join(", "))).into()
    })
}

/// Fetches a version's files and makes sure that they belong together.
fn load(registry: &dyn Registry, version: ModelVersion) -> anyhow::Result<Candidate> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let number = &version.version;
    for name in [MODEL_FILE, PREPROCESSOR_FILE] {
        registry.fetch(&version, name, &at(name)).with_context(|| {
            format!("version {number} of {}: cannot fetch {name}; was it logged by `train`?", version.name)
        })?;
    }
    let predictor = Predictor::read(&at(MODEL_FILE), &at(PREPROCESSOR_FILE));
    let predictor = predictor.with_context(|| format!("version {number} of {}", version.name))?;
    Ok(Candidate { version, predictor })
}

/// A test row.
struct Row {
    y_true: f64,
    /// `None` where the model refuses the row: a level that its training did not know.
    y_pred: Option<f64>,
}

/// The test rows of the cleaned table, in its order.
fn predict(candidate: &Candidate, data: &Path, progress: &Progress) -> anyhow::Result<Vec<Row>> {
    let preprocessor = candidate.predictor.preprocessor();
    let schema = preprocessor.schema();
    let mut source = frame::open_cleaned(data, schema)
        .with_context(|| format!("version {} needs the columns that it was trained with", candidate.version.version))?;
    let bar = progress.bar("predicting", source.expected_blocks());
    let refuses = preprocessor.file().unknown == schema::UnknownCategory::Reject;
    let mut rows = Vec::new();
    source.for_each_block(
        |block| {
            let cleaned = block.cleaned(schema)?;
            let test: Vec<usize> = (0..cleaned.train.len()).filter(|row| !cleaned.train[*row]).collect();
            let table = cleaned.table.select_rows(&test);
            let mut known = vec![true; test.len()];
            if refuses {
                preprocessor.unknown_levels(&table).iter().for_each(|unknown| known[unknown.row] = false);
            }
            let kept: Vec<usize> = (0..test.len()).filter(|row| known[*row]).collect();
            let predictions = candidate.predictor.predict(&table.select_rows(&kept)).context("a level slipped through")?;
            let mut predictions = predictions.into_iter();
            let row = |(place, row): (usize, &usize)| Row {
                y_true: cleaned.target[*row],
                y_pred: if known[place] { predictions.next() } else { None },
            };
            Ok(test.iter().enumerate().map(row).collect::<Vec<Row>>())
        },
        |blocks| {
            bar.advance(blocks.len() as u64);
            rows.extend(blocks.into_iter().flatten());
            Ok::<_, anyhow::Error>(())
        },
    )?;
    ensure!(!rows.is_empty(), "{}: has no test row (split = {})", data.display(), schema::TEST);
    Ok(rows)
}

fn figures(rows: &[Row]) -> Metrics {
    let (y_true, y_pred): (Vec<f64>, Vec<f64>) = rows.iter().filter_map(|row| Some((row.y_true, row.y_pred?))).unzip();
    Metrics::of(&y_true, &y_pred)
}

/// The gate on what is measured here; what cannot be (cross-validation) is taken from the facts on the version.
fn gate(
    pipeline: &PipelineConfig,
    challenger: &Candidate,
    measured: &[(&str, f64)],
    args: &PromoteArgs,
) -> anyhow::Result<Vec<Decision>> {
    let facts = challenger.version.tags.iter().filter_map(|(key, value)| Some((key.clone(), value.parse().ok()?)));
    let mut metrics: BTreeMap<String, f64> = facts.collect();
    metrics.extend(measured.iter().map(|(name, value)| ((*name).to_owned(), *value)));
    decide(&pipeline.package.gate, &metrics)
        .map_err(|message| anyhow::anyhow!("{}: {message}", args.pipeline_config.display()))
}

fn compare(
    section: &ChampionSection,
    ours: &[Row],
    theirs: &[Row],
    champion: &str,
    progress: &Progress,
) -> anyhow::Result<Comparison> {
    let both = || ours.iter().zip(theirs).filter_map(|(ours, theirs)| Some((ours.y_true, ours.y_pred?, theirs.y_pred?)));
    let y_true: Vec<f64> = both().map(|(y_true, _, _)| y_true).collect();
    let (first, second): (Vec<f64>, Vec<f64>) = both().map(|(_, ours, theirs)| (ours, theirs)).unzip();
    if y_true.is_empty() {
        bail!("there is no test row that both versions predict");
    }
    if y_true.len() < ours.len() {
        let refused = ours.len() - y_true.len();
        progress
            .warn(format!("{refused} test rows have a level that one of the versions does not know; compared without them"));
    }
    let metric = section.metric.clone();
    let Some(figures) = paired_bootstrap(&metric, &y_true, &first, &second, DEFAULT_SEED) else {
        bail!("package.champion.metric: there is no metric \"{metric}\"")
    };
    let margin = section.margin;
    let passed = if metric == "r2" {
        figures.first >= figures.second - margin
    } else {
        figures.first <= figures.second * (1.0 + margin)
    };
    let text = format!(
        "{} {} against {} of version {champion} on {} test rows, difference {} (95 % interval {} to {})",
        label(&metric),
        figure(&metric, figures.first),
        figure(&metric, figures.second),
        y_true.len(),
        signed(&metric, figures.first - figures.second),
        signed(&metric, figures.low),
        signed(&metric, figures.high)
    );
    Ok(Comparison { metric, margin, figures, passed, text })
}

fn signed(metric: &str, value: f64) -> String {
    if value > 0.0 { format!("+{}", figure(metric, value)) } else { figure(metric, value) }
}

/// Where the champion's rows were divided otherwise, some that it learned from may be among the test rows.
fn warn_of_split(champion: &Candidate, process: &Manifest, progress: &Progress) {
    let theirs = champion.version.tags.get(SPLIT_TAG);
    if theirs.is_some_and(|theirs| !process.settings.hex().starts_with(theirs.as_str())) {
        progress.warn(format!(
            "version {}, the champion, was trained on rows that `process` cleaned and divided with other settings: some that it learned \
             from may be among these test rows, which flatters it",
            champion.version.version
        ));
    }
}

fn shown(measured: &[(&str, f64)], rows: usize, comparison: Option<&Comparison>) -> String {
    let figures: Vec<String> =
        measured.iter().take(4).map(|(key, value)| format!("{} {}", label(key), figure(key, *value))).collect();
    let mut shown = format!("\n          {} on {rows} test rows", figures.join(", "));
    if let Some(comparison) = comparison {
        shown.push_str(&format!("\n          {}", comparison.text));
    }
    shown
}
