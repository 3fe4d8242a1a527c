//! Renders the model card: description, data, metrics and limits of the model.

use artifact::{Gate, LineageStep, NamedDigest, RunRecord};
use drift::{ColumnReference, Distribution, Reference};
use model::{METRIC_NAMES, format_metric, metric_label};
use predictor::Predictor;
use schema::{Column, ColumnType, iso_date};

use crate::{
    card::document::{CardBlock, CardDocument},
    gates::describe_gate,
    replay::Replay,
};

/// The maximum number of levels and columns that a cell or a table shows.
const MAX_ITEMS_SHOWN: usize = 20;
/// The row counts of `process`, in the order of its steps.
const ROW_COUNT_NAMES: [&str; 8] = ["in", "quarantined", "duplicates", "without_target", "trimmed", "out", "train", "test"];

/// The inputs of the card. The same inputs give the same card.
pub(crate) struct CardInputs<'a> {
    pub(crate) predictor: &'a Predictor,
    pub(crate) record: &'a RunRecord,
    pub(crate) reference: &'a Reference,
    pub(crate) lineage: &'a [LineageStep],
    pub(crate) gates: &'a [Gate],
    /// The split: names and values of `process.split`.
    pub(crate) split: Vec<(String, String)>,
}

/// Renders the card in the bundle.
pub(crate) fn render_card(inputs: &CardInputs) -> CardDocument {
    let file = inputs.predictor.model().file();
    let transformed = if file.target_transform.name() == "log" { " on the logarithm of the target" } else { "" };
    let sections = vec![
        ("Metrics", metrics(inputs)),
        ("Gates", gates(inputs.gates)),
        ("Data", data(inputs)),
        ("Inputs", columns(inputs)),
        ("Feature importance", importances(inputs)),
        ("Limitations", limitations(inputs)),
        ("Parameters", vec![parameters(inputs.record)]),
        ("Lineage", lineage(inputs.lineage)),
        ("Reproduction", reproduction(inputs)),
    ];
    CardDocument {
        title: file.name.clone(),
        subtitle: format!(
            "Predicts {} with {}{transformed}, fitted on {} training rows and evaluated on {} test rows.",
            file.target,
            file.algorithm,
            inputs.record.rows(schema::TRAIN),
            inputs.record.rows(schema::TEST)
        ),
        sections,
    }
}

/// Renders the card with the measurements of one run on one machine. It stands beside the bundle, whose bytes depend on its content only.
pub(crate) fn render_served_card(inputs: &CardInputs, replay: &Replay, machine: &str) -> CardDocument {
    let mut card = render_card(inputs);
    let memory = replay.memory_bytes.map_or("unknown".to_owned(), |bytes| format!("{:.0} MB", bytes as f64 / 1e6));
    let identity = &inputs.record.identity;
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let table = vec![
        row("start to ready", format!("{:.0} ms", replay.startup_ms)),
        row("one row, median of sequential requests", format!("{:.3} ms", replay.p50_ms)),
        row("one row, 99 % quantile", format!("{:.3} ms", replay.p99_ms)),
        row("lists of 1,000 rows", format!("{:.0} rows/s", replay.rows_per_second)),
        row("peak memory", memory),
        row("run", format!("{} ({})", identity.run_name, identity.run_id)),
        row("commit", identity.commit.clone().unwrap_or("unknown".into())),
        row("machine", machine.to_owned()),
    ];
    let served = vec![
        CardBlock::Text(format!(
            "The server was started with this bundle. It predicted the {} test rows over HTTP, {} of them also one by one.",
            replay.rows, replay.single
        )),
        CardBlock::Table(vec!["measurement", "#value"], table),
    ];
    card.sections.insert(1, ("Measured serving", served));
    card
}

fn metrics(inputs: &CardInputs) -> Vec<CardBlock> {
    let record = inputs.record;
    let of = |key: String, name: &str| record.metric(&key).map_or("–".to_owned(), |value| format_metric(name, value));
    let row = |name: &&str| {
        let between = |interval: &artifact::Interval| {
            format!("{} to {}", format_metric(name, interval.low), format_metric(name, interval.high))
        };
        vec![
            metric_label(name).to_owned(),
            of((*name).to_owned(), name),
            record.intervals.get(*name).map_or("–".to_owned(), between),
            of(format!("cv_{name}"), name),
            of(format!("train_{name}"), name),
            of(format!("baseline_{name}"), name),
            of(format!("baseline_median_{name}"), name),
        ]
    };
    let headings = vec![
        "metric",
        "#test rows",
        "#95 % interval",
        "#cross-validated",
        "#training rows",
        "#baseline mean",
        "#baseline median",
    ];
    let mut blocks = vec![
        CardBlock::Table(headings, METRIC_NAMES.iter().map(row).collect()),
        CardBlock::Text(
            "Errors are in the unit of the target. Confidence intervals are bootstrap percentiles over test rows.".into(),
        ),
        CardBlock::Text(format!(
            "The server returns for each of the {} test rows exactly the prediction behind these \
             metrics.",
            record.rows(schema::TEST)
        )),
    ];
    let target = record.parameters.get("interval_coverage_asked").and_then(serde_json::Value::as_f64);
    if let (Some(coverage), Some(width), Some(target)) =
        (record.metric("interval_coverage"), record.metric("interval_width"), target)
    {
        blocks.push(CardBlock::Text(format!(
            "Prediction intervals for {:.0} % coverage contain {:.1} % of the test rows. Their median width is {}.",
            target * 100.0,
            coverage * 100.0,
            number(width)
        )));
    }
    blocks
}

fn gates(gates: &[Gate]) -> Vec<CardBlock> {
    vec![CardBlock::Table(
        vec!["gate", "answer"],
        gates.iter().map(|gate| vec![gate.gate.clone(), describe_gate(gate)]).collect(),
    )]
}

fn data(inputs: &CardInputs) -> Vec<CardBlock> {
    let process = inputs.lineage.iter().find(|link| link.stage == "process");
    let mut blocks = Vec::new();
    if let Some(link) = process {
        let inputs: Vec<String> =
            link.inputs.iter().map(|file| format!("{} ({})", file.name, short(&file.digest))).collect();
        blocks.push(CardBlock::Text(format!("Rows of the raw table {}:", inputs.join(", "))));
        let row = |name: &&str| Some(vec![name.replace('_', " "), report::count(*link.rows.get(*name)?)]);
        let rows = ROW_COUNT_NAMES.iter().filter_map(row).collect();
        blocks.push(CardBlock::Table(vec!["rows", "#count"], rows));
    }
    let split: Vec<String> = inputs.split.iter().map(|(name, value)| format!("{name} {value}")).collect();
    blocks.push(CardBlock::Text(format!(
        "The split was made before fitting, by the content of each row ({}).",
        split.join(", ")
    )));
    blocks
}

fn columns(inputs: &CardInputs) -> Vec<CardBlock> {
    let preprocessor = inputs.predictor.preprocessor();
    let row = |column: &Column| {
        let seen = inputs.reference.column(&column.name);
        vec![
            column.name.clone(),
            column.spec.kind.name().to_owned(),
            allowed(column),
            seen.map_or("–".to_owned(), |seen| training_values(seen, column.spec.kind)),
            seen.map_or("–".to_owned(), |seen| format!("{:.1} %", seen.missing * 100.0)),
        ]
    };
    let mut blocks = vec![
        CardBlock::Text(
            "A row with a value that is not allowed is rejected. A value outside the training rows is predicted with a warning."
                .into(),
        ),
        CardBlock::Table(
            vec!["column", "type", "allowed", "seen in training", "#missing in training"],
            preprocessor.columns().map(row).collect(),
        ),
    ];
    let features = &inputs.predictor.model().file().features;
    blocks.push(CardBlock::Text(format!(
        "The model uses {} features of these columns: {}.",
        features.len(),
        features.join(", ")
    )));
    let mut notes: Vec<String> =
        preprocessor.file().derive.iter().map(|(name, expression)| format!("{name} = {expression}")).collect();
    if let Some(year) = preprocessor.file().reference_year {
        notes.push(format!("reference_year = {year}, a fixed value, not the current year"));
    }
    if !notes.is_empty() {
        blocks.push(CardBlock::List(notes));
    }
    blocks
}

fn allowed(column: &Column) -> String {
    let spec = &column.spec;
    let range = match (spec.min, spec.max) {
        (Some(min), Some(max)) => format!("{} to {}", number(min), number(max)),
        (Some(min), None) => format!("at least {}", number(min)),
        (None, Some(max)) => format!("at most {}", number(max)),
        (None, None) => String::new(),
    };
    let allowed = match spec.kind {
        ColumnType::Category if spec.levels.is_empty() => "levels of training rows".to_owned(),
        ColumnType::Category => spec.levels.join(", "),
        _ => range,
    };
    let missing = if spec.required { "required" } else { "optional" };
    if allowed.is_empty() { missing.to_owned() } else { format!("{allowed}; {missing}") }
}

fn training_values(seen: &ColumnReference, kind: ColumnType) -> String {
    match &seen.distribution {
        Distribution::Number(None) => "nothing".to_owned(),
        Distribution::Number(Some(summary)) => {
            let value = |value: f64| if kind == ColumnType::Date { iso_date(value) } else { number(value) };
            format!("{} to {}, median {}", value(summary.min), value(summary.max), value(summary.median))
        }
        Distribution::Levels(levels) => {
            let shown = levels.iter().take(MAX_ITEMS_SHOWN).map(|(level, share)| format!("{level} {:.1} %", share * 100.0));
            let more = levels.len().saturating_sub(MAX_ITEMS_SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            shown.collect::<Vec<_>>().join(", ") + &more
        }
    }
}

fn importances(inputs: &CardInputs) -> Vec<CardBlock> {
    let importances = &inputs.record.importances;
    if importances.is_empty() {
        return vec![CardBlock::Text("Not measured: the run was recorded by an older version.".into())];
    }
    let rows = importances
        .iter()
        .take(MAX_ITEMS_SHOWN)
        .map(|importance| vec![importance.column.clone(), number(importance.mean), number(importance.deviation)]);
    vec![
        CardBlock::Text(
            "Increase of the mean absolute error on test rows when the values of a raw column are permuted.".into(),
        ),
        CardBlock::Table(vec!["column", "#increase of error", "#standard deviation"], rows.collect()),
    ]
}

fn limitations(inputs: &CardInputs) -> Vec<CardBlock> {
    let mut blocks = vec![CardBlock::List(vec![
        "It applies to rows like those of the raw table: its metrics do not cover other places, times or methods of collection."
            .into(),
        "It finds associations with the target, not causes.".into(),
        "Its prediction intervals are valid for rows with the distribution of the test rows: monitor drift and errors in use.".into(),
    ])];
    blocks.extend(inputs.record.warnings.iter().map(|warning| CardBlock::Note(warning.clone())));
    blocks
}

fn parameters(record: &RunRecord) -> CardBlock {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    CardBlock::Table(
        vec!["parameter", "value"],
        record.parameters.iter().map(|(name, value)| vec![name.clone(), text(value)]).collect(),
    )
}

fn lineage(links: &[LineageStep]) -> Vec<CardBlock> {
    let names = |files: &[NamedDigest]| {
        files.iter().map(|file| format!("{} {}", file.name, short(&file.digest))).collect::<Vec<_>>().join(", ")
    };
    let row = |link: &LineageStep| {
        let rows = link.rows.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ");
        vec![format!("{} {}", link.stage, link.version), names(&link.inputs), names(&link.outputs), rows]
    };
    vec![CardBlock::Table(vec!["stage", "read", "wrote", "rows"], links.iter().map(row).collect())]
}

fn reproduction(inputs: &CardInputs) -> Vec<CardBlock> {
    let of = |stage: &str| inputs.lineage.iter().find(|link| link.stage == stage);
    let named = |file: Option<&NamedDigest>, otherwise: &str| file.map_or(otherwise.to_owned(), |file| file.name.clone());
    let raw = named(of("process").and_then(|link| link.inputs.first()), "RAW_TABLE");
    let cleaned = named(of("process").and_then(|link| link.outputs.first()), "cleaned.csv");
    let featured = named(of("engineer").and_then(|link| link.outputs.first()), "featured.csv");
    vec![
        CardBlock::Text(
            "The bundle contains pipeline.yaml and model_config.yaml. With these files, the raw table and programs of the same version, these commands write \
             the same bytes:"
                .into(),
        ),
        CardBlock::Lines(format!(
            "process  --input {raw} --output {cleaned} --pipeline-config pipeline.yaml\n\
             engineer --input {cleaned} --output {featured} --preprocessor models/trained/preprocessor.bin \
             --pipeline-config pipeline.yaml\n\
             train    --config model_config.yaml --data {featured} --models-dir models\n\
             package  --models-dir models --output models/packaged --pipeline-config pipeline.yaml"
        )),
    ]
}

fn short(digest: &artifact::Digest) -> &str {
    &digest.hex()[..12]
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return format!("{value:.0}");
    }
    let text = if value.abs() >= 100.0 { format!("{value:.1}") } else { format!("{value:.4}") };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
