//! The gates on the way into a bundle, each with the figures that it is decided by.

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
    bundle::lineage::Lineage,
    config::Config,
    gates::{champion::Champion, gate_name::GateName, schema_compatibility::changes},
};

/// What the gates found.
#[derive(Debug)]
pub(crate) struct Judgement {
    pub(crate) gates: Vec<Gate>,
    /// The model against the champion, if there is one.
    pub(crate) comparison: Option<Comparison>,
}

/// What one gate found, before anyone lets it pass.
struct Finding {
    name: GateName,
    answer: GateOutcome,
    figure: String,
}

impl Judgement {
    /// What is said of the gates that were missed; nothing if none was.
    pub(crate) fn refusals(&self) -> Vec<String> {
        let refused = self.gates.iter().filter(|gate| gate.answer == GateOutcome::Failed);
        refused.map(|gate| format!("{}: {}", gate.gate, gate.figure)).collect()
    }

    /// A line for each gate.
    pub(crate) fn lines(&self) -> String {
        self.gates.iter().map(|gate| format!("\n          {:<10} {}", gate.gate, outcome(gate))).collect()
    }
}

/// What came of a gate, in words.
pub(crate) fn outcome(gate: &Gate) -> String {
    let Gate { answer, figure, reason, .. } = gate;
    let reason = reason.as_deref().unwrap_or_default();
    match answer {
        GateOutcome::Passed => format!("passed: {figure}"),
        GateOutcome::NotApplicable => format!("not applicable: {figure}"),
        GateOutcome::Waived => format!("missed and allowed ({reason}): {figure}"),
        GateOutcome::Failed => format!("missed: {figure}"),
    }
}

/// Holds the model against every gate.
pub(crate) fn judge(
    config: &Config,
    lineage: &Lineage,
    record: &RunRecord,
    predictor: &Predictor,
    champion: &Champion,
    progress: &Progress,
) -> anyhow::Result<Judgement> {
    let section = &config.pipeline.package;
    let decisions = check_thresholds(&section.gate, &record.finals())
        .map_err(|message| anyhow::anyhow!("{}: {message}", config.pipeline_path.display()))?;
    let (beside_champion, comparison) = match champion {
        Champion::None(why) => ((GateOutcome::NotApplicable, why.clone()), None),
        Champion::Found { name, predictor: held } => {
            let rows = |predictor: &Predictor| predict_test_rows(predictor, &lineage.cleaned, progress);
            let compared = compare(&section.champion, &rows(predictor)?, &rows(held)?, &format!("the champion {name}"))?;
            compared.warning().into_iter().for_each(|warning| progress.warn(warning));
            let figure = if compared.passed { compared.text.clone() } else { compared.failed_text() };
            ((passed(compared.passed), figure), Some(compared))
        }
    };
    let findings = [
        thresholds(&decisions),
        Finding { name: GateName::Champion, answer: beside_champion.0, figure: beside_champion.1 },
        coverage(&section.coverage, record),
        leakage(&section.leakage, record),
        schema(predictor, champion),
    ];
    let gates = findings
        .into_iter()
        .map(|Finding { name, answer, figure }| {
            let missed = answer == GateOutcome::Failed;
            let reason = config.reason.clone().filter(|_| missed && config.allow.contains(&name));
            let answer = if reason.is_some() { GateOutcome::Waived } else { answer };
            Gate { gate: name.text().to_owned(), answer, figure, reason }
        })
        .collect();
    Ok(Judgement { gates, comparison })
}

fn passed(passed: bool) -> GateOutcome {
    if passed { GateOutcome::Passed } else { GateOutcome::Failed }
}

fn thresholds(decisions: &[ThresholdResult]) -> Finding {
    let (answer, figure) = if decisions.is_empty() {
        (GateOutcome::NotApplicable, "package.gate sets none".to_owned())
    } else {
        let refusals: Vec<String> =
            decisions.iter().filter(|found| !found.passed).map(ThresholdResult::failed_text).collect();
        let kept = decisions.iter().map(ThresholdResult::passed_text).collect::<Vec<_>>().join(", ");
        (passed(refusals.is_empty()), if refusals.is_empty() { kept } else { refusals.join("; ") })
    };
    Finding { name: GateName::Thresholds, answer, figure }
}

fn coverage(section: &CoverageSection, record: &RunRecord) -> Finding {
    let rows = record.rows(schema::TEST);
    let asked = record.parameters.get("interval_coverage_asked").and_then(serde_json::Value::as_f64);
    let (answer, figure) = match (record.metric("interval_coverage"), asked) {
        (Some(held), Some(asked)) if rows > 0 => {
            let (low, high) = share_interval(held, rows as f64);
            let is_short = |held: f64, high: f64| held < asked - section.max_shortfall && high < asked;
            let short = is_short(held, high);
            let percent = |share: f64| share * 100.0;
            // what is shown is short if what was measured is
            let shown = decimals(1, |round| {
                let rounded = |share: f64| round(percent(share)) / 100.0;
                is_short(rounded(held), rounded(high)) == short
            });
            let figure = format!(
                "intervals for {} % hold {:.shown$} % of {rows} test rows (95 % interval {:.shown$} to {:.shown$} %)",
                plain(percent(asked)),
                percent(held),
                percent(low),
                percent(high)
            );
            let bound = format!("{figure}: short by more than package.coverage.max_shortfall ({})", section.max_shortfall);
            (passed(!short), if short { bound } else { figure })
        }
        _ => (GateOutcome::NotApplicable, "the model has no intervals".to_owned()),
    };
    Finding { name: GateName::Coverage, answer, figure }
}

/// A number with the decimals that it has, at most six.
fn plain(number: f64) -> String {
    let text = format!("{number:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Wilson's 95 % interval of a share that was seen in `rows` rows (Wilson, 1927).
fn share_interval(share: f64, rows: f64) -> (f64, f64) {
    const Z: f64 = 1.959_963_984_540_054;
    let centre = share + Z * Z / (2.0 * rows);
    let reach = Z * (share * (1.0 - share) / rows + Z * Z / (4.0 * rows * rows)).sqrt();
    let scale = 1.0 + Z * Z / rows;
    ((centre - reach) / scale, (centre + reach) / scale)
}

fn leakage(section: &LeakageSection, record: &RunRecord) -> Finding {
    let over = |subject: &str, figure: f64| {
        if subject == DUPLICATE_ROWS { figure > section.max_copied_rows } else { figure > section.max_r2_alone }
    };
    let found: Vec<&str> = record
        .suspicions
        .iter()
        .filter(|suspicion| over(&suspicion.subject, suspicion.value))
        .map(|suspicion| suspicion.text.as_str())
        .collect();
    let borne: BTreeMap<&str, f64> =
        record.suspicions.iter().map(|suspicion| (suspicion.subject.as_str(), suspicion.value)).collect();
    let figure = if !found.is_empty() {
        found.join("; ")
    } else if borne.is_empty() {
        "no feature predicts the target alone, no test row copies training rows".to_owned()
    } else {
        let borne: Vec<String> = borne.iter().map(|(subject, figure)| format!("{subject} {figure:.3}")).collect();
        format!("within package.leakage: {}", borne.join(", "))
    };
    Finding { name: GateName::Leakage, answer: passed(found.is_empty()), figure }
}

fn schema(predictor: &Predictor, champion: &Champion) -> Finding {
    let (answer, figure) = match champion {
        Champion::None(why) => (GateOutcome::NotApplicable, why.clone()),
        Champion::Found { name, predictor: held } => {
            let found = changes(held.preprocessor(), predictor.preprocessor());
            let all: Vec<String> = found.breaking.iter().chain(&found.harmless).cloned().collect();
            let figure = if all.is_empty() {
                format!("takes what the champion {name} takes")
            } else {
                format!("against the champion {name}: {}", all.join("; "))
            };
            (passed(found.breaking.is_empty()), figure)
        }
    };
    Finding { name: GateName::Schema, answer, figure }
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
        // 16 of 20 is what luck does to 90 %
        assert_eq!(gate(0.8, 20).answer, GateOutcome::Passed);
        let short = gate(0.8, 400);
        assert_eq!(short.answer, GateOutcome::Failed);
        assert_eq!(
            short.figure,
            "intervals for 90 % hold 80.0 % of 400 test rows (95 % interval 75.8 to 83.6 %): short by more than \
             package.coverage.max_shortfall (0.05)"
        );
        // 84.98 % of 4,000 rows are short by more than 5 %, 85.0 % would not be
        let close = gate(0.8498, 4000);
        assert_eq!(close.answer, GateOutcome::Failed);
        assert!(
            close.figure.starts_with("intervals for 90 % hold 84.98 % of 4000 test rows (95 % interval "),
            "{}",
            close.figure
        );
        let mut asked = record(0.9949, 10_000_000);
        asked.parameters.insert("interval_coverage_asked".into(), serde_json::json!(0.995));
        let figure = coverage(&CoverageSection { max_shortfall: 0.0 }, &asked).figure;
        assert!(figure.starts_with("intervals for 99.5 % hold 99.49 % of 10000000 test rows"), "{figure}");
        assert_eq!(coverage(&CoverageSection::default(), &RunRecord::default()).answer, GateOutcome::NotApplicable);
    }

    #[test]
    fn wilsons_interval_is_that_of_scipy() {
        // SciPy 1.17.1: binomtest(320, 400).proportion_ci(method="wilson")
        let (low, high) = share_interval(0.8, 400.0);
        assert!((low - 0.758_029_683_133_3).abs() < 1e-12 && (high - 0.836_262_940_266_1).abs() < 1e-12, "{low} {high}");
    }

    #[test]
    fn suspicions_are_borne_up_to_the_limits() {
        let suspicion =
            |subject: &str, figure| LeakageRecord { subject: subject.into(), value: figure, text: format!("{subject}!") };
        let gate = |suspicions| leakage(&LeakageSection::default(), &RunRecord { suspicions, ..RunRecord::default() });
        assert_eq!(gate(vec![]).answer, GateOutcome::Passed);
        let borne = gate(vec![suspicion(DUPLICATE_ROWS, 0.04)]);
        assert_eq!(
            (borne.answer, borne.figure.as_str()),
            (GateOutcome::Passed, "within package.leakage: copied rows 0.040")
        );
        let found = gate(vec![suspicion("a", 0.995), suspicion(DUPLICATE_ROWS, 0.2)]);
        assert_eq!((found.answer, found.figure.as_str()), (GateOutcome::Failed, "a!; copied rows!"));
    }
}
