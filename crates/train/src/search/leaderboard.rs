//! `models/search/leaderboard.html`: what was tried and what came of it, as a page for people.

use model::{SearchSection, figure, label};
use report::{Bar, Guide, Html, Page, Points, Table};

use crate::search::{
    objective::{LAST_RUNG, Objective},
    selection::Selection,
    successive_halving::TrialResult,
};

/// Trials that are listed.
const MAX_TRIALS_LISTED: usize = 200;

/// The page; `seconds` is how long the search took, `known` how many measurements were taken from runs of before.
pub(crate) fn render(
    search: &SearchSection,
    objective: &Objective,
    results: &[TrialResult],
    selection: &Selection,
    known: usize,
    seconds: f64,
) -> String {
    let metric = label(&search.metric);
    let format = |value: f64| figure(&search.metric, value);
    let complete = results.iter().filter(|result| result.rung == LAST_RUNG).count();
    let mut page = Page::new(
        &format!("{}: the search for a model", search.name),
        &format!(
            "{} trials on {} training rows and {} features, {complete} of them measured on all rows. Test rows had no part in it.",
            report::count(results.len() as u64),
            report::count(objective.y.len() as u64),
            objective.features.len()
        ),
    );
    let tiles = [
        (format(selection.score), metric, "cross-validated on training rows".to_owned()),
        (report::count(results.len() as u64), "trials", format!("{known} measurements taken from before")),
        (format!("{seconds:.0} s"), "took the search", String::new()),
    ];
    page.section("The winner", &[report::tiles(&tiles), selected_trials(selection), conclusions(selection)]);
    page.section(
        "Trials",
        &[best_bars(results, metric, &format), scatter(results, metric), table(results, metric, &format)],
    );
    if !selection.eliminated.is_empty() {
        page.section("Fewer features", &[elimination(selection, metric)]);
    }
    page.render()
}

fn parameters(result: &model::Trial) -> String {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    result.parameters.iter().map(|(name, value)| format!("{name} {}", text(value))).collect::<Vec<_>>().join(", ")
}

fn selected_trials(selection: &Selection) -> Html {
    let mut table = Table::new(["algorithm", "target", "#weight", "#trial", "parameters"]);
    for (trial, weight) in &selection.parts {
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

fn conclusions(selection: &Selection) -> Html {
    let mut sentences = Vec::new();
    if let Some(gain) = selection.blend_gain {
        let conclusion = if gain.is_real() { "so it is the winner" } else { "which may be chance, so it is not taken" };
        sentences.push(format!(
            "A blend of the best trials, its weights chosen on other rows, makes the mean absolute error fall by {} ± {} against its best \
             part, {conclusion}.",
            report::amount(gain.mean),
            report::amount(gain.error)
        ));
    }
    match &selection.features {
        Some(features) => {
            sentences.push(format!("On {} features it is better than on all: {}.", features.len(), features.join(", ")));
        }
        None if !selection.eliminated.is_empty() => {
            sentences.push("Fewer features are no better by more than chance; all are kept.".into());
        }
        None => {}
    }
    Html::prose(&sentences.join(" ")).paragraph()
}

fn best_bars(results: &[TrialResult], metric: &str, format: &dyn Fn(f64) -> String) -> Html {
    let mut seen = std::collections::BTreeSet::new();
    let best =
        results.iter().filter(|result| seen.insert((result.trial.algorithm.clone(), result.trial.target_transform.name())));
    let bars: Vec<Bar> = best
        .take(12)
        .map(|result| Bar {
            label: format!("{} ({})", result.trial.algorithm, result.trial.target_transform.name()),
            value: result.evaluation.score,
            text: format(result.evaluation.score),
            spread: 0.0,
        })
        .collect();
    Html::join([
        &Html::from("The best of each kind").heading(),
        &report::bars(&format!("{metric} of the best trial of each algorithm and target"), &bars),
    ])
}

fn scatter(results: &[TrialResult], metric: &str) -> Html {
    let points: Vec<(f64, f64)> = results
        .iter()
        .filter(|result| result.rung == LAST_RUNG)
        .map(|result| (result.evaluation.seconds.max(1e-4).log10(), result.evaluation.score))
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

fn table(results: &[TrialResult], metric: &str, format: &dyn Fn(f64) -> String) -> Html {
    let heading = format!("#{metric}");
    let mut table = Table::new(["#rank", "#trial", "algorithm", "target", &heading, "rows", "#seconds", "parameters"]);
    for (rank, result) in results.iter().take(MAX_TRIALS_LISTED).enumerate() {
        table.row([
            (rank + 1).to_string().into(),
            result.trial.number.to_string().into(),
            result.trial.algorithm.as_str().into(),
            result.trial.target_transform.name().into(),
            format(result.evaluation.score).into(),
            ["a ninth", "a third", "all"][result.rung.min(LAST_RUNG)].into(),
            format!("{:.2}", result.evaluation.seconds).into(),
            Html::prose(&parameters(&result.trial)).code(),
        ]);
    }
    table.html()
}

fn elimination(selection: &Selection, metric: &str) -> Html {
    let points: Vec<(f64, f64)> = selection.eliminated.iter().map(|(count, score)| (*count as f64, *score)).collect();
    report::points(&Points {
        title: "Metric of the best trial with fewer features",
        x_label: "features",
        y_label: metric,
        points: &points,
        guide: Guide::None,
        ..Points::default()
    })
}
