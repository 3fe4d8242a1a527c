//! Comparison of a model with the champion on the same test rows.

use anyhow::bail;
use model::{
    DEFAULT_SEED, METRIC_NAMES, PairedComparison, extra_decimals, format_metric_with, metric_label, paired_bootstrap,
};
use schema::ChampionSection;
use serde::Serialize;

use crate::test_rows::TestRow;

/// The result of a comparison with the champion.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The metric of the comparison.
    pub metric: String,
    /// Largest accepted deterioration: absolute for R², relative for other metrics.
    pub margin: f64,
    /// The metric of the model (first) and of the champion (second).
    #[serde(rename = "figures")]
    pub metrics: PairedComparison,
    /// Number of rows that both models predict.
    pub rows: usize,
    /// Number of rows with a level that one of the models does not know.
    pub without: usize,
    /// True if the deterioration is within the margin.
    pub passed: bool,
    /// The result as a sentence.
    pub text: String,
}

impl Comparison {
    /// Text of a failed comparison.
    pub fn failed_text(&self) -> String {
        format!("worse than the champion by more than package.champion.margin ({}): {}", self.margin, self.text)
    }

    /// Warning about rows that were left out, if any.
    pub fn warning(&self) -> Option<String> {
        let refused = self.without;
        (refused > 0).then(|| {
            format!("{refused} test rows have a level that one of the versions does not know; they are not compared")
        })
    }
}

/// Validates the section; an error is the invalid key and the cause.
///
/// # Errors
/// If the metric does not exist, or the margin is not a number of at least 0.
pub fn validate_champion_section(section: &ChampionSection) -> Result<(), (&'static str, String)> {
    let ChampionSection { metric, margin } = section;
    if !METRIC_NAMES.contains(&metric.as_str()) {
        return Err(("metric", format!("\"{metric}\" is not one of {}", METRIC_NAMES.join(", "))));
    }
    if !margin.is_finite() || *margin < 0.0 {
        return Err(("margin", format!("{margin} is not a number of at least 0")));
    }
    Ok(())
}

/// Compares two models on the rows that both predict; `champion` is the name of the second in the text.
///
/// # Errors
/// If both models have no row in common, or the metric does not exist.
pub fn compare(
    section: &ChampionSection,
    model_rows: &[TestRow],
    champion_rows: &[TestRow],
    champion: &str,
) -> anyhow::Result<Comparison> {
    let both = || {
        model_rows
            .iter()
            .zip(champion_rows)
            .filter_map(|(model, champion)| Some((model.y_true, model.y_pred?, champion.y_pred?)))
    };
    let y_true: Vec<f64> = both().map(|(y_true, _, _)| y_true).collect();
    let (first, second): (Vec<f64>, Vec<f64>) = both().map(|(_, model, champion)| (model, champion)).unzip();
    if y_true.is_empty() {
        bail!("cannot compare: both versions have no predicted test row in common");
    }
    let metric = section.metric.clone();
    let Some(metrics) = paired_bootstrap(&metric, &y_true, &first, &second, DEFAULT_SEED) else {
        bail!("package.champion.metric: \"{metric}\" is not a metric")
    };
    let margin = section.margin;
    let is_no_worse = |first: f64, second: f64| {
        if metric == "r2" { first >= second - margin } else { first <= second * (1.0 + margin) }
    };
    let passed = is_no_worse(metrics.first, metrics.second);
    // enough decimals, so that the text shows the same result as the numbers
    let extra_digits =
        extra_decimals(&metric, [metrics.first, metrics.second], |first, second| is_no_worse(first, second) == passed);
    let format = |value: f64| format_metric_with(&metric, value, extra_digits);
    let signed = |value: f64| if value > 0.0 { format!("+{}", format(value)) } else { format(value) };
    let text = format!(
        "{} {} against {} of {champion} on {} test rows, difference {} (95 % interval {} to {})",
        metric_label(&metric),
        format(metrics.first),
        format(metrics.second),
        y_true.len(),
        signed(metrics.first - metrics.second),
        signed(metrics.low),
        signed(metrics.high)
    );
    let (rows, without) = (y_true.len(), model_rows.len() - y_true.len());
    Ok(Comparison { metric, margin, metrics, rows, without, passed, text })
}
