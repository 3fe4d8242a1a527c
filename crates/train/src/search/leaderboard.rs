//! The page `models/search/leaderboard.html`: the trials of a search and the selection.

use model::{SearchSection, format_metric, metric_label};
use report::{Bar, Guide, Html, HtmlTable, Page, Points};

use crate::search::{
    objective::{LAST_RUNG, Objective},
    selection::Selection,
    successive_halving::TrialResult,
};

/// Trials in the table at most.
const MAX_TRIALS_LISTED: usize = 200;

/// The page as HTML; `seconds` is the duration of the search, `known` the number of evaluations of earlier runs.
pub(crate) fn render(
    search: &SearchSection,
    objective: &Objective,
    results: &[TrialResult],
    selection: &Selection,
    known: usize,
    seconds: f64,
) -> String {
    let metric = metric_label(&search.metric);
    let format = |value: f64| format_metric(&search.metric, value);
    let complete = results.iter().filter(|result| result.rung == LAST_RUNG).count();
    let mut page = Page::new(
        &format!("{}: model search", search.name),
        &format!(
            "{} trials on {} training rows and {} features, {complete} of them evaluated on all rows. Test rows were not used.",
            report::count(results.len() as u64),
            report::count(objective.y.len() as u64),
            objective.features.len()
        ),
    );
    let tiles = [
        (format(selection.score), metric, "cross-validated on training rows".to_owned()),
        (report::count(results.len() as u64), "trials", format!("{known} evaluations of earlier runs")),
        (format!("{seconds:.0} s"), "duration of the search", String::new()),
    ];
    page.section("Selected model", &[report::tiles(&tiles), selected_trials(selection), conclusions(selection)]);
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
    let mut table = HtmlTable::new(["algorithm", "target", "#weight", "#trial", "parameters"]);
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
        let conclusion =
            if gain.is_significant() { "so it is selected" } else { "which may be chance, so it is not selected" };
        sentences.push(format!(
            "A blend of the best trials, with weights chosen on other rows, reduces the mean absolute error of its best part by {} ± \
             {}, {conclusion}.",
            report::amount(gain.mean),
            report::amount(gain.error)
        ));
    }
    match &selection.features {
        Some(features) => {
            sentences.push(format!("{} features are better than all: {}.", features.len(), features.join(", ")));
        }
        None if !selection.eliminated.is_empty() => {
            sentences.push("Fewer features are not significantly better; all are kept.".into());
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
        &Html::from("Best trials by algorithm").heading(),
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
        &Html::from("Metric by time").heading(),
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
    let mut table = HtmlTable::new(["#rank", "#trial", "algorithm", "target", &heading, "rows", "#seconds", "parameters"]);
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
