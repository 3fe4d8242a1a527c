//! `models/search/leaderboard.html`: what was tried and what came of it, as a page for people.

use model::{SearchSection, format_metric, metric_label};
use report::{Bar, Guide, Html, Page, Points, Table};

use crate::search::{
    objective::{Course, TOP},
    selection::Winner,
    successive_halving::Entry,
};

/// Trials that are listed.
const LISTED: usize = 200;

/// The page; `seconds` is how long the search took, `known` how many measurements were taken from runs of before.
pub(crate) fn render(
    search: &SearchSection,
    course: &Course,
    board: &[Entry],
    winner: &Winner,
    known: usize,
    seconds: f64,
) -> String {
    let metric = metric_label(&search.metric);
    let written = |value: f64| format_metric(&search.metric, value);
    let whole = board.iter().filter(|entry| entry.rung == TOP).count();
    let mut page = Page::new(
        &format!("{}: the search for a model", search.name),
        &format!(
            "{} trials on {} training rows and {} features, {whole} of them measured on all rows. Test rows had no part in it.",
            report::count(board.len() as u64),
            report::count(course.y.len() as u64),
            course.features.len()
        ),
    );
    let tiles = [
        (written(winner.score), metric, "cross-validated on training rows".to_owned()),
        (report::count(board.len() as u64), "trials", format!("{known} measurements taken from before")),
        (format!("{seconds:.0} s"), "took the search", String::new()),
    ];
    page.section("The winner", &[report::tiles(&tiles), parts(winner), verdicts(winner)]);
    page.section("Trials", &[best_bars(board, metric, &written), scatter(board, metric), table(board, metric, &written)]);
    if !winner.eliminated.is_empty() {
        page.section("Fewer features", &[eliminated(winner, metric)]);
    }
    page.render()
}

fn parameters(entry: &model::Trial) -> String {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    entry.parameters.iter().map(|(name, value)| format!("{name} {}", text(value))).collect::<Vec<_>>().join(", ")
}

fn parts(winner: &Winner) -> Html {
    let mut table = Table::new(["algorithm", "target", "#weight", "#trial", "parameters"]);
    for (trial, weight) in &winner.parts {
        table.row([
            trial.algorithm.as_str().into(),
            trial.target_transform.name().into(),
            report::percent(*weight).into(),
            trial.number.to_string().into(),
            Html::prose(&parameters(trial)).code(),
        ]);
    }
    table.html()
}

fn verdicts(winner: &Winner) -> Html {
    let mut said = Vec::new();
    if let Some(gain) = winner.blend_gain {
        let verdict = if gain.is_significant() { "so it is the winner" } else { "which may be chance, so it is not taken" };
        said.push(format!(
            "A blend of the best trials, its weights chosen on other rows, makes the mean absolute error fall by {} ± {} against its best \
             part, {verdict}.",
            report::amount(gain.mean),
            report::amount(gain.error)
        ));
    }
    match &winner.features {
        Some(features) => {
            said.push(format!("On {} features it is better than on all: {}.", features.len(), features.join(", ")));
        }
        None if !winner.eliminated.is_empty() => {
            said.push("Fewer features are no better by more than chance; all are kept.".into());
        }
        None => {}
    }
    Html::prose(&said.join(" ")).paragraph()
}

fn best_bars(board: &[Entry], metric: &str, written: &dyn Fn(f64) -> String) -> Html {
    let mut seen = std::collections::BTreeSet::new();
    let best =
        board.iter().filter(|entry| seen.insert((entry.trial.algorithm.clone(), entry.trial.target_transform.name())));
    let bars: Vec<Bar> = best
        .take(12)
        .map(|entry| Bar {
            label: format!("{} ({})", entry.trial.algorithm, entry.trial.target_transform.name()),
            value: entry.measured.score,
            text: written(entry.measured.score),
            spread: 0.0,
        })
        .collect();
    Html::join([
        &Html::from("The best of each kind").heading(),
        &report::bars(&format!("{metric} of the best trial of each algorithm and target"), &bars),
    ])
}

fn scatter(board: &[Entry], metric: &str) -> Html {
    let points: Vec<(f64, f64)> = board
        .iter()
        .filter(|entry| entry.rung == TOP)
        .map(|entry| (entry.measured.seconds.max(1e-4).log10(), entry.measured.score))
        .collect();
    if points.len() < 3 {
        return Html::text("");
    }
    Html::join([
        &Html::from("What time buys").heading(),
        &report::points(&Points {
            title: "Metric against seconds",
            x_label: "seconds for all folds, decimal logarithm",
            y_label: metric,
            points: &points,
            guide: Guide::None,
            ..Points::default()
        }),
    ])
}

fn table(board: &[Entry], metric: &str, written: &dyn Fn(f64) -> String) -> Html {
    let heading = format!("#{metric}");
    let mut table = Table::new(["#rank", "#trial", "algorithm", "target", &heading, "rows", "#seconds", "parameters"]);
    for (rank, entry) in board.iter().take(LISTED).enumerate() {
        table.row([
            (rank + 1).to_string().into(),
            entry.trial.number.to_string().into(),
            entry.trial.algorithm.as_str().into(),
            entry.trial.target_transform.name().into(),
            written(entry.measured.score).into(),
            ["a ninth", "a third", "all"][entry.rung.min(TOP)].into(),
            format!("{:.2}", entry.measured.seconds).into(),
            Html::prose(&parameters(&entry.trial)).code(),
        ]);
    }
    table.html()
}

fn eliminated(winner: &Winner, metric: &str) -> Html {
    let points: Vec<(f64, f64)> = winner.eliminated.iter().map(|(count, score)| (*count as f64, *score)).collect();
    report::points(&Points {
        title: "Metric of the best trial with fewer features",
        x_label: "features",
        y_label: metric,
        points: &points,
        guide: Guide::None,
        ..Points::default()
    })
}
