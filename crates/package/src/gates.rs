//! The gates of a bundle, each with the values that decide it.

pub(crate) mod champion;
pub(crate) mod gate_name;
pub(crate) mod schema_compatibility;

use std::collections::BTreeMap;

use artifact::{Gate, GateOutcome, RunRecord};
use cli::Progress;
use evaluation::{Comparison, compare, predict_test_rows};
use model::{DUPLICATE_ROWS, ThresholdResult, check_thresholds};
use predictor::Predictor;
use schema::{CoverageSection, LeakageSection, decimals};

use crate::{
    bundle::{lineage::Lineage, trained_model::TrainedModel},
    config::Config,
    gates::{champion::Champion, gate_name::GateName, schema_compatibility::compare_schemas},
};

/// The results of all gates.
#[derive(Debug)]
pub(crate) struct GateReport {
    pub(crate) gates: Vec<Gate>,
    /// The comparison with the champion, if there is one.
    pub(crate) comparison: Option<Comparison>,
}

/// The result of one gate, before `--allow` is applied.
struct GateResult {
    name: GateName,
    answer: GateOutcome,
    finding: String,
}

impl GateReport {
    /// A message for each failed gate.
    pub(crate) fn failures(&self) -> Vec<String> {
        let failed = self.gates.iter().filter(|gate| gate.answer == GateOutcome::Failed);
        failed.map(|gate| format!("{}: {}", gate.gate, gate.finding)).collect()
    }

    /// A line for each gate.
    pub(crate) fn lines(&self) -> String {
        self.gates.iter().map(|gate| format!("\n          {:<10} {}", gate.gate, describe_gate(gate))).collect()
    }
}

/// The result of a gate as text.
pub(crate) fn describe_gate(gate: &Gate) -> String {
    let Gate { answer, finding, reason, .. } = gate;
    let reason = reason.as_deref().unwrap_or_default();
    match answer {
        GateOutcome::Passed => format!("passed: {finding}"),
        GateOutcome::NotApplicable => format!("not applicable: {finding}"),
        GateOutcome::Waived => format!("failed but allowed ({reason}): {finding}"),
        GateOutcome::Failed => format!("failed: {finding}"),
    }
}

/// Evaluates every gate for the model.
pub(crate) fn evaluate_gates(
    config: &Config,
    lineage: &Lineage,
    trained: &TrainedModel,
    champion: &Champion,
    progress: &Progress,
) -> anyhow::Result<GateReport> {
    let TrainedModel { predictor, record, .. } = trained;
    let section = &config.pipeline.package;
    let decisions = check_thresholds(&section.gate, &record.finals())
        .map_err(|message| anyhow::anyhow!("{}: {message}", config.pipeline_path.display()))?;
    let ((answer, finding), comparison) = match champion {
        Champion::None(reason) => ((GateOutcome::NotApplicable, reason.clone()), None),
        Champion::Model { name, predictor: champion } => {
            let rows = |predictor: &Predictor| predict_test_rows(predictor, &lineage.cleaned, progress);
            let comparison =
                compare(&section.champion, &rows(predictor)?, &rows(champion)?, &format!("the champion {name}"))?;
            comparison.warning().into_iter().for_each(|warning| progress.warn(warning));
            let finding = if comparison.passed { comparison.text.clone() } else { comparison.failed_text() };
            ((pass_or_fail(comparison.passed), finding), Some(comparison))
        }
    };
    let results = [
        thresholds(&decisions),
        GateResult { name: GateName::Champion, answer, finding },
        coverage(&section.coverage, record),
        leakage(&section.leakage, record),
        schema(predictor, champion),
    ];
    let gates = results
        .into_iter()
        .map(|GateResult { name, answer, finding }| {
            let is_failed = answer == GateOutcome::Failed;
            let reason = config.reason.clone().filter(|_| is_failed && config.allow.contains(&name));
            let answer = if reason.is_some() { GateOutcome::Waived } else { answer };
            Gate { gate: name.text().to_owned(), answer, finding, reason }
        })
        .collect();
    Ok(GateReport { gates, comparison })
}

fn pass_or_fail(passed: bool) -> GateOutcome {
    if passed { GateOutcome::Passed } else { GateOutcome::Failed }
}

fn thresholds(decisions: &[ThresholdResult]) -> GateResult {
    let (answer, finding) = if decisions.is_empty() {
        (GateOutcome::NotApplicable, "package.gate sets no thresholds".to_owned())
    } else {
        let failures: Vec<String> =
            decisions.iter().filter(|decision| !decision.passed).map(ThresholdResult::failed_text).collect();
        let kept = decisions.iter().map(ThresholdResult::passed_text).collect::<Vec<_>>().join(", ");
        (pass_or_fail(failures.is_empty()), if failures.is_empty() { kept } else { failures.join("; ") })
    };
    GateResult { name: GateName::Thresholds, answer, finding }
}

fn coverage(section: &CoverageSection, record: &RunRecord) -> GateResult {
    let rows = record.rows(schema::TEST);
    let target = record.parameters.get("interval_coverage_asked").and_then(serde_json::Value::as_f64);
    let (answer, finding) = match (record.metric("interval_coverage"), target) {
        (Some(held), Some(target)) if rows > 0 => {
            let (low, high) = share_interval(held, rows as f64);
            let is_short = |held: f64, high: f64| held < target - section.max_shortfall && high < target;
            let short = is_short(held, high);
            let percent = |share: f64| share * 100.0;
            // the rounded values must give the same answer as the exact ones
            let shown = decimals(1, |round| {
                let rounded = |share: f64| round(percent(share)) / 100.0;
                is_short(rounded(held), rounded(high)) == short
            });
            let finding = format!(
                "{} % intervals contain {:.shown$} % of {rows} test rows (95 % confidence interval {:.shown$} to {:.shown$} %)",
                plain(percent(target)),
                percent(held),
                percent(low),
                percent(high)
            );
            let bound =
                format!("{finding}: too low by more than package.coverage.max_shortfall ({})", section.max_shortfall);
            (pass_or_fail(!short), if short { bound } else { finding })
        }
        _ => (GateOutcome::NotApplicable, "the model has no intervals".to_owned()),
    };
    GateResult { name: GateName::Coverage, answer, finding }
}

/// Formats a number with the decimals that it needs, at most six.
fn plain(number: f64) -> String {
    let text = format!("{number:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Wilson's 95 % interval of a share of `rows` rows (Wilson, 1927).
fn share_interval(share: f64, rows: f64) -> (f64, f64) {
    const Z: f64 = 1.959_963_984_540_054;
    let centre = share + Z * Z / (2.0 * rows);
    let reach = Z * (share * (1.0 - share) / rows + Z * Z / (4.0 * rows * rows)).sqrt();
    let scale = 1.0 + Z * Z / rows;
    ((centre - reach) / scale, (centre + reach) / scale)
}

fn leakage(section: &LeakageSection, record: &RunRecord) -> GateResult {
    let over = |subject: &str, finding: f64| {
        if subject == DUPLICATE_ROWS { finding > section.max_copied_rows } else { finding > section.max_r2_alone }
    };
    let leaks: Vec<&str> = record
        .suspicions
        .iter()
        .filter(|suspicion| over(&suspicion.subject, suspicion.value))
        .map(|suspicion| suspicion.text.as_str())
        .collect();
    let accepted: BTreeMap<&str, f64> =
        record.suspicions.iter().map(|suspicion| (suspicion.subject.as_str(), suspicion.value)).collect();
    let finding = if !leaks.is_empty() {
        leaks.join("; ")
    } else if accepted.is_empty() {
        "no single feature predicts the target, and no test row duplicates a training row".to_owned()
    } else {
        let accepted: Vec<String> = accepted.iter().map(|(subject, finding)| format!("{subject} {finding:.3}")).collect();
        format!("within package.leakage: {}", accepted.join(", "))
    };
    GateResult { name: GateName::Leakage, answer: pass_or_fail(leaks.is_empty()), finding }
}

fn schema(predictor: &Predictor, champion: &Champion) -> GateResult {
    let (answer, finding) = match champion {
        Champion::None(reason) => (GateOutcome::NotApplicable, reason.clone()),
        Champion::Model { name, predictor: champion } => {
            let changes = compare_schemas(champion.preprocessor(), predictor.preprocessor());
            let all: Vec<String> = changes.breaking.iter().chain(&changes.harmless).cloned().collect();
            let finding = if all.is_empty() {
                format!("accepts the same columns as the champion {name}")
            } else {
                format!("compared with the champion {name}: {}", all.join("; "))
            };
            (pass_or_fail(changes.breaking.is_empty()), finding)
        }
    };
    GateResult { name: GateName::Schema, answer, finding }
}

#[cfg(test)]
mod tests {
    use artifact::{DatasetInput, Digest, FileEntry, LeakageRecord, MetricPoint};

    use super::*;

    fn record(held: f64, rows: u64) -> RunRecord {
        let source = FileEntry { path: "f.csv".into(), digest: Digest::of_bytes(b""), bytes: 0 };
        let test = DatasetInput { context: "test".into(), source, rows, schema: String::new(), columns: Vec::new() };
        RunRecord {
            metrics: vec![MetricPoint { key: "interval_coverage".into(), value: held, step: 0 }],
            parameters: [("interval_coverage_asked".to_owned(), serde_json::json!(0.9))].into(),
            datasets: vec![test],
            ..RunRecord::default()
        }
    }

    #[test]
    fn a_shortfall_of_coverage_must_be_no_accident() {
        let gate = |held, rows| coverage(&CoverageSection::default(), &record(held, rows));
        assert_eq!(gate(0.88, 400).answer, GateOutcome::Passed);
        // 16 of 20 is within chance of 90 %
        assert_eq!(gate(0.8, 20).answer, GateOutcome::Passed);
        let short = gate(0.8, 400);
        assert_eq!(short.answer, GateOutcome::Failed);
        assert_eq!(
            short.finding,
            "90 % intervals contain 80.0 % of 400 test rows (95 % confidence interval 75.8 to 83.6 %): too low by more than \
             package.coverage.max_shortfall (0.05)"
        );
        // 84.98 % of 4,000 rows are more than 5 % below 90 %, 85.0 % would not be
        let close = gate(0.8498, 4000);
        assert_eq!(close.answer, GateOutcome::Failed);
        assert!(
            close.finding.starts_with("90 % intervals contain 84.98 % of 4000 test rows (95 % confidence interval "),
            "{}",
            close.finding
        );
        let mut target = record(0.9949, 10_000_000);
        target.parameters.insert("interval_coverage_asked".into(), serde_json::json!(0.995));
        let finding = coverage(&CoverageSection { max_shortfall: 0.0 }, &target).finding;
        assert!(finding.starts_with("99.5 % intervals contain 99.49 % of 10000000 test rows"), "{finding}");
        assert_eq!(coverage(&CoverageSection::default(), &RunRecord::default()).answer, GateOutcome::NotApplicable);
    }

    #[test]
    fn wilsons_interval_is_that_of_scipy() {
        // SciPy 1.17.1: binomtest(320, 400).proportion_ci(method="wilson")
        let (low, high) = share_interval(0.8, 400.0);
        assert!((low - 0.758_029_683_133_3).abs() < 1e-12 && (high - 0.836_262_940_266_1).abs() < 1e-12, "{low} {high}");
    }

    #[test]
    fn leakage_findings_pass_up_to_the_limits() {
        let suspicion =
            |subject: &str, finding| LeakageRecord { subject: subject.into(), value: finding, text: format!("{subject}!") };
        let gate = |suspicions| leakage(&LeakageSection::default(), &RunRecord { suspicions, ..RunRecord::default() });
        assert_eq!(gate(vec![]).answer, GateOutcome::Passed);
        let accepted = gate(vec![suspicion(DUPLICATE_ROWS, 0.04)]);
        assert_eq!(
            (accepted.answer, accepted.finding.as_str()),
            (GateOutcome::Passed, "within package.leakage: copied rows 0.040")
        );
        let rejected = gate(vec![suspicion("a", 0.995), suspicion(DUPLICATE_ROWS, 0.2)]);
        assert_eq!((rejected.answer, rejected.finding.as_str()), (GateOutcome::Failed, "a!; copied rows!"));
    }
}
