//! A model beside the champion, on the same rows.

use anyhow::bail;
use model::{DEFAULT_SEED, METRIC_NAMES, Paired, figure_with, label, more_decimals, paired_bootstrap};
use schema::ChampionSection;
use serde::Serialize;

use crate::test_rows::TestRow;

/// A model against the champion.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The metric that decides.
    pub metric: String,
    /// How much worse it may be.
    pub margin: f64,
    /// First the model's, second the champion's.
    pub figures: Paired,
    /// Rows that both predict.
    pub rows: usize,
    /// Rows that one of them refuses, because its training did not know a level.
    pub without: usize,
    /// Whether the model is no worse.
    pub passed: bool,
    /// In words.
    pub text: String,
}

impl Comparison {
    /// What is said of a model that is worse.
    pub fn refusal(&self) -> String {
        format!("worse than the champion by more than package.champion.margin ({}): {}", self.margin, self.text)
    }

    /// What is said if rows were left out.
    pub fn warning(&self) -> Option<String> {
        let refused = self.without;
        (refused > 0).then(|| {
            format!("{refused} test rows have a level that one of the versions does not know; compared without them")
        })
    }
}

/// Checks the settings; returns the key at fault, and what is wrong with it.
///
/// # Errors
/// If there is no such metric, or the margin is none.
pub fn check_champion(section: &ChampionSection) -> Result<(), (&'static str, String)> {
    let ChampionSection { metric, margin } = section;
    if !METRIC_NAMES.contains(&metric.as_str()) {
        return Err(("metric", format!("\"{metric}\" is not one of {}", METRIC_NAMES.join(", "))));
    }
    if !margin.is_finite() || *margin < 0.0 {
        return Err(("margin", format!("{margin} is not a margin; write 0 or more")));
    }
    Ok(())
}

/// Compares two models on the rows that both predict; `champion` is what the second is called.
///
/// # Errors
/// If there is no such row or metric.
pub fn compare(
    section: &ChampionSection,
    ours: &[TestRow],
    theirs: &[TestRow],
    champion: &str,
) -> anyhow::Result<Comparison> {
    let both = || ours.iter().zip(theirs).filter_map(|(ours, theirs)| Some((ours.y_true, ours.y_pred?, theirs.y_pred?)));
    let y_true: Vec<f64> = both().map(|(y_true, _, _)| y_true).collect();
    let (first, second): (Vec<f64>, Vec<f64>) = both().map(|(_, ours, theirs)| (ours, theirs)).unzip();
    if y_true.is_empty() {
        bail!("there is no test row that both versions predict");
    }
    let metric = section.metric.clone();
    let Some(figures) = paired_bootstrap(&metric, &y_true, &first, &second, DEFAULT_SEED) else {
        bail!("package.champion.metric: there is no metric \"{metric}\"")
    };
    let margin = section.margin;
    let is_no_worse = |first: f64, second: f64| {
        if metric == "r2" { first >= second - margin } else { first <= second * (1.0 + margin) }
    };
    let passed = is_no_worse(figures.first, figures.second);
    // what is shown is as much worse as what was measured
    let more = more_decimals(&metric, [figures.first, figures.second], |first, second| is_no_worse(first, second) == passed);
    let figure = |value: f64| figure_with(&metric, value, more);
    let signed = |value: f64| if value > 0.0 { format!("+{}", figure(value)) } else { figure(value) };
    let text = format!(
        "{} {} against {} of {champion} on {} test rows, difference {} (95 % interval {} to {})",
        label(&metric),
        figure(figures.first),
        figure(figures.second),
        y_true.len(),
        signed(figures.first - figures.second),
        signed(figures.low),
        signed(figures.high)
    );
    let (rows, without) = (y_true.len(), ours.len() - y_true.len());
    Ok(Comparison { metric, margin, figures, rows, without, passed, text })
}
