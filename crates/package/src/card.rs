//! The model card: what the model is, what it was made from, how good it is and where it ends.

use std::fmt::Write;

use artifact::{Link, NamedDigest, RunRecord};
use model::METRIC_NAMES;
use predictor::Predictor;
use schema::{Column, ColumnType};

/// The card as Markdown.
pub(crate) fn render(predictor: &Predictor, record: &RunRecord, lineage: &[Link]) -> String {
    let (file, preprocessor) = (predictor.model().file(), predictor.preprocessor());
    let rows = |context: &str| record.datasets.iter().find(|input| input.context == context).map_or(0, |input| input.rows);
    let mut card = format!(
        "# {}\n\nPredicts `{}` with {}{}, fitted on {} rows and measured on {} rows that were set apart before anything was learned.\n\n",
        file.name,
        file.target,
        file.algorithm,
        if file.target_transform.name() == "log" { " on the logarithm of the target" } else { "" },
        rows(schema::TRAIN),
        rows(schema::TEST)
    );
    card.push_str("## How good it is\n\n| figure | test rows | 95 % interval | cross-validated | training rows | always the mean |\n|---|---|---|---|---|---|\n");
    for name in METRIC_NAMES {
        let of = |key: String| record.metric(&key).map_or("–".to_owned(), number);
        let interval = record
            .intervals
            .get(name)
            .map_or("–".to_owned(), |found| format!("{} to {}", number(found.low), number(found.high)));
        let _ = writeln!(
            card,
            "| {name} | {} | {interval} | {} | {} | {} |",
            of(name.to_owned()),
            of(format!("cv_{name}")),
            of(format!("train_{name}")),
            of(format!("baseline_{name}"))
        );
    }
    card.push_str("\nErrors are in the unit of the target; `mape` is a fraction. Intervals are bootstrap percentiles over test rows.\n\n");
    card.push_str(
        "## What it takes\n\nOutside these limits a row is refused.\n\n| column | type | limits |\n|---|---|---|\n",
    );
    for column in preprocessor.columns() {
        let _ = writeln!(card, "| {} | {} | {} |", column.name, column.spec.kind.name(), limits(column));
    }
    let _ = writeln!(card, "\nFrom them {} features are made: {}.\n", file.features.len(), file.features.join(", "));
    for (name, expression) in &preprocessor.file().derive {
        let _ = writeln!(card, "- `{name}` = `{expression}`");
    }
    if let Some(year) = preprocessor.file().reference_year {
        let _ = writeln!(card, "- `reference_year` = {year}, a value and not a clock");
    }
    card.push_str("\n## How it was made\n\n| parameter | value |\n|---|---|\n");
    for (name, value) in &record.parameters {
        let _ = writeln!(card, "| {name} | {value} |");
    }
    for warning in &record.warnings {
        let _ = writeln!(card, "\n> {warning}");
    }
    card.push_str("\n## Where it comes from\n\n| stage | read | wrote | rows |\n|---|---|---|---|\n");
    for link in lineage {
        let names = |files: &[NamedDigest]| {
            files.iter().map(|file| format!("{} `{}`", file.name, &file.digest.hex()[..12])).collect::<Vec<_>>().join(", ")
        };
        let rows = link.rows.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(
            card,
            "| {} {} | {} | {} | {rows} |",
            link.stage,
            link.version,
            names(&link.inputs),
            names(&link.outputs)
        );
    }
    card.push_str(
        "\nThe same raw table, `pipeline.yaml` and `model_config.yaml` give the same bytes: run `process`, `engineer`, `train` and `package`.\n",
    );
    card
}

fn limits(column: &Column) -> String {
    let spec = &column.spec;
    let range = match (spec.min, spec.max) {
        (Some(min), Some(max)) => format!("{} to {}", number(min), number(max)),
        (Some(min), None) => format!("at least {}", number(min)),
        (None, Some(max)) => format!("at most {}", number(max)),
        (None, None) => String::new(),
    };
    let allowed = match spec.kind {
        ColumnType::Category if spec.levels.is_empty() => "levels seen in training".to_owned(),
        ColumnType::Category => spec.levels.join(", "),
        _ => range,
    };
    let missing = if spec.required { "required" } else { "may be missing" };
    if allowed.is_empty() { missing.to_owned() } else { format!("{allowed}; {missing}") }
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        format!("{value:.0}")
    } else if value.abs() >= 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.4}")
    }
}
