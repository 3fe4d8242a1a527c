//! The model card: what the model is, what it was made from, how good it is and where it ends.

use artifact::{Gate, LineageStep, NamedDigest, RunRecord};
use drift::{ColumnReference, Distribution, Reference};
use model::{METRIC_NAMES, format_metric, metric_label};
use predictor::Predictor;
use schema::{Column, ColumnType, iso_date};

use crate::{
    card::document::{Block, Document},
    gates::outcome,
    replay::Replay,
};

/// Levels and columns that a cell or a table shows at most.
const SHOWN: usize = 20;
/// What becomes of raw rows, in the order in which it is told.
const BALANCE: [&str; 8] = ["in", "quarantined", "duplicates", "without_target", "trimmed", "out", "train", "test"];

/// What the card is drawn from. The same facts give the same card.
pub(crate) struct Facts<'a> {
    pub(crate) predictor: &'a Predictor,
    pub(crate) record: &'a RunRecord,
    pub(crate) reference: &'a Reference,
    pub(crate) lineage: &'a [LineageStep],
    pub(crate) gates: &'a [Gate],
    /// How rows were divided: names and values of `process.split`.
    pub(crate) split: Vec<(String, String)>,
}

/// The card of the bundle.
pub(crate) fn draw(facts: &Facts) -> Document {
    let file = facts.predictor.model().file();
    let transformed = if file.target_transform.name() == "log" { " on the logarithm of the target" } else { "" };
    let sections = vec![
        ("How good it is", scores(facts)),
        ("Gates", gates(facts.gates)),
        ("What it was made from", data(facts)),
        ("What it takes", limits(facts)),
        ("What it goes by", importances(facts)),
        ("Where it ends", ends(facts)),
        ("How it was made", vec![parameters(facts.record)]),
        ("Where it comes from", lineage(facts.lineage)),
        ("How to make it again", again(facts)),
    ];
    Document {
        title: file.name.clone(),
        subtitle: format!(
            "Predicts {} with {}{transformed}, fitted on {} rows and measured on {} rows that were set apart before anything was learned.",
            file.target,
            file.algorithm,
            facts.record.rows(schema::TRAIN),
            facts.record.rows(schema::TEST)
        ),
        sections,
    }
}

/// The same with what is true of one run on one machine: it stands beside the bundle, whose bytes depend on its content alone.
pub(crate) fn as_served(facts: &Facts, replay: &Replay, machine: &str) -> Document {
    let mut card = draw(facts);
    let memory = replay.memory_bytes.map_or("not known".to_owned(), |bytes| format!("{:.0} MB", bytes as f64 / 1e6));
    let identity = &facts.record.identity;
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let table = vec![
        row("start to ready", format!("{:.0} ms", replay.startup_ms)),
        row("one row, median of requests one after the other", format!("{:.3} ms", replay.p50_ms)),
        row("one row, 99 % of them", format!("{:.3} ms", replay.p99_ms)),
        row("lists of 1,000 rows", format!("{:.0} rows/s", replay.rows_per_second)),
        row("most memory held", memory),
        row("run", format!("{} ({})", identity.run_name, identity.run_id)),
        row("commit", identity.commit.clone().unwrap_or("not known".into())),
        row("machine", machine.to_owned()),
    ];
    let served = vec![
        Block::Text(format!(
            "The server was started on this bundle and asked for the {} test rows over HTTP, {} of them one by one too.",
            replay.rows, replay.single
        )),
        Block::Table(vec!["figure", "#value"], table),
    ];
    card.sections.insert(1, ("As served here", served));
    card
}

fn scores(facts: &Facts) -> Vec<Block> {
    let record = facts.record;
    let of = |key: String, name: &str| record.metric(&key).map_or("–".to_owned(), |value| format_metric(name, value));
    let row = |name: &&str| {
        let between = |found: &artifact::Interval| {
            format!("{} to {}", format_metric(name, found.low), format_metric(name, found.high))
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
        "figure",
        "#test rows",
        "#95 % interval",
        "#cross-validated",
        "#training rows",
        "#always the mean",
        "#always the median",
    ];
    let mut blocks = vec![
        Block::Table(headings, METRIC_NAMES.iter().map(row).collect()),
        Block::Text("Errors are in the unit of the target. Intervals are bootstrap percentiles over test rows.".into()),
        Block::Text(format!(
            "What is served is what was measured: the server answers each of the {} test rows with the very prediction behind these \
             figures.",
            record.rows(schema::TEST)
        )),
    ];
    let asked = record.parameters.get("interval_coverage_asked").and_then(serde_json::Value::as_f64);
    if let (Some(held), Some(width), Some(asked)) =
        (record.metric("interval_coverage"), record.metric("interval_width"), asked)
    {
        blocks.push(Block::Text(format!(
            "Prediction intervals for {:.0} % of true values hold {:.1} % of the test rows; half of them are narrower than {}.",
            asked * 100.0,
            held * 100.0,
            number(width)
        )));
    }
    blocks
}

fn gates(gates: &[Gate]) -> Vec<Block> {
    vec![Block::Table(vec!["gate", "answer"], gates.iter().map(|gate| vec![gate.gate.clone(), outcome(gate)]).collect())]
}

fn data(facts: &Facts) -> Vec<Block> {
    let process = facts.lineage.iter().find(|link| link.stage == "process");
    let mut blocks = Vec::new();
    if let Some(link) = process {
        let inputs: Vec<String> =
            link.inputs.iter().map(|file| format!("{} ({})", file.name, short(&file.digest))).collect();
        blocks.push(Block::Text(format!("The raw table {}:", inputs.join(", "))));
        let row = |name: &&str| Some(vec![name.replace('_', " "), report::count(*link.rows.get(*name)?)]);
        let rows = BALANCE.iter().filter_map(row).collect();
        blocks.push(Block::Table(vec!["rows", "#count"], rows));
    }
    let split: Vec<String> = facts.split.iter().map(|(name, value)| format!("{name} {value}")).collect();
    blocks.push(Block::Text(format!(
        "The split was decided before anything was learned, by each row's own content ({}).",
        split.join(", ")
    )));
    blocks
}

fn limits(facts: &Facts) -> Vec<Block> {
    let preprocessor = facts.predictor.preprocessor();
    let row = |column: &Column| {
        let seen = facts.reference.column(&column.name);
        vec![
            column.name.clone(),
            column.spec.kind.name().to_owned(),
            allowed(column),
            seen.map_or("–".to_owned(), |seen| saw(seen, column.spec.kind)),
            seen.map_or("–".to_owned(), |seen| format!("{:.1} %", seen.missing * 100.0)),
        ]
    };
    let mut blocks = vec![
        Block::Text(
            "A row outside of what is allowed is refused; one outside of what training saw is answered with a warning."
                .into(),
        ),
        Block::Table(
            vec!["column", "type", "allowed", "seen in training", "#missing there"],
            preprocessor.columns().map(row).collect(),
        ),
    ];
    let features = &facts.predictor.model().file().features;
    blocks.push(Block::Text(format!("From them {} features are made: {}.", features.len(), features.join(", "))));
    let mut made: Vec<String> =
        preprocessor.file().derive.iter().map(|(name, expression)| format!("{name} = {expression}")).collect();
    if let Some(year) = preprocessor.file().reference_year {
        made.push(format!("reference_year = {year}, a value and not a clock"));
    }
    if !made.is_empty() {
        blocks.push(Block::List(made));
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
        ColumnType::Category if spec.levels.is_empty() => "levels seen in training".to_owned(),
        ColumnType::Category => spec.levels.join(", "),
        _ => range,
    };
    let missing = if spec.required { "required" } else { "may be missing" };
    if allowed.is_empty() { missing.to_owned() } else { format!("{allowed}; {missing}") }
}

fn saw(seen: &ColumnReference, kind: ColumnType) -> String {
    match &seen.distribution {
        Distribution::Number(None) => "nothing".to_owned(),
        Distribution::Number(Some(found)) => {
            let value = |value: f64| if kind == ColumnType::Date { iso_date(value) } else { number(value) };
            format!("{} to {}, median {}", value(found.min), value(found.max), value(found.median))
        }
        Distribution::Levels(levels) => {
            let shown = levels.iter().take(SHOWN).map(|(level, share)| format!("{level} {:.1} %", share * 100.0));
            let more = levels.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            shown.collect::<Vec<_>>().join(", ") + &more
        }
    }
}

fn importances(facts: &Facts) -> Vec<Block> {
    let found = &facts.record.importances;
    if found.is_empty() {
        return vec![Block::Text("It was not measured: the run is of an older program.".into())];
    }
    let rows = found.iter().take(SHOWN).map(|found| vec![found.column.clone(), number(found.mean), number(found.deviation)]);
    vec![
        Block::Text(
            "By how much the mean absolute error on test rows grows when a raw column is shuffled among them.".into(),
        ),
        Block::Table(vec!["column", "#error grows by", "#standard deviation"], rows.collect()),
    ]
}

fn ends(facts: &Facts) -> Vec<Block> {
    let mut blocks = vec![Block::List(vec![
        "It knows rows like those of the table above: other places, times and ways of collecting are not in its figures."
            .into(),
        "It tells what goes with the target, not what causes it.".into(),
        "Its intervals hold for rows that come from where the test rows came from; watch drift and errors in use.".into(),
    ])];
    blocks.extend(facts.record.warnings.iter().map(|warning| Block::Note(warning.clone())));
    blocks
}

fn parameters(record: &RunRecord) -> Block {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Block::Table(
        vec!["parameter", "value"],
        record.parameters.iter().map(|(name, value)| vec![name.clone(), text(value)]).collect(),
    )
}

fn lineage(links: &[LineageStep]) -> Vec<Block> {
    let names = |files: &[NamedDigest]| {
        files.iter().map(|file| format!("{} {}", file.name, short(&file.digest))).collect::<Vec<_>>().join(", ")
    };
    let row = |link: &LineageStep| {
        let rows = link.rows.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ");
        vec![format!("{} {}", link.stage, link.version), names(&link.inputs), names(&link.outputs), rows]
    };
    vec![Block::Table(vec!["stage", "read", "wrote", "rows"], links.iter().map(row).collect())]
}

fn again(facts: &Facts) -> Vec<Block> {
    let of = |stage: &str| facts.lineage.iter().find(|link| link.stage == stage);
    let named = |file: Option<&NamedDigest>, otherwise: &str| file.map_or(otherwise.to_owned(), |file| file.name.clone());
    let raw = named(of("process").and_then(|link| link.inputs.first()), "RAW_TABLE");
    let cleaned = named(of("process").and_then(|link| link.outputs.first()), "cleaned.csv");
    let featured = named(of("engineer").and_then(|link| link.outputs.first()), "featured.csv");
    vec![
        Block::Text(
            "pipeline.yaml and model_config.yaml are in the bundle. With them, the raw table and programs of the same version, this makes \
             the same bytes:"
                .into(),
        ),
        Block::Lines(format!(
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
