//! Inputs that are larger, deeper or stranger than any that people write: each is refused by a limit that is named, in little time.

use std::time::{Duration, Instant};

use testkit::Workspace;

use crate::{
    ENGINEER, PROCESS, houses, model_config,
    snapshot::{Transcript, assert_text},
};

/// What is refused at once: the time is that of an unoptimised program on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(10);

const NUMBERS: &str = "table:\n  target: price\n  columns:\n    price: {type: float}\n    size: {type: float}\n";

fn numbers() -> String {
    let rows: String = (0..60).map(|row| format!("{},{row}\n", 1000 + 3 * row)).collect();
    format!("price,size\n{rows}")
}

#[test]
fn configurations_beyond_the_limits() {
    let workspace = Workspace::new();
    workspace.write("raw.csv", numbers());
    let mut transcript = Transcript::default();
    let columns: String = (0..10_001).map(|column| format!("    c{column}: {{type: float}}\n")).collect();
    for (what, text) in [
        ("200,000 lists in each other", format!("table: {}", "[".repeat(200_000))),
        ("50,000 maps in each other", format!("table: {}", "{a: ".repeat(50_000))),
        ("a comment of 5 MiB", format!("{NUMBERS}# {}\n", "x".repeat(5 << 20))),
        ("a minimum that is no number", NUMBERS.replace("{type: float}\n    size", "{type: float, min: .nan}\n    size")),
        ("a share without end", format!("{NUMBERS}process: {{max_quarantined: .inf}}\n")),
        ("a name that turns the direction of writing", format!("{NUMBERS}    \"a\\u202eb\": {{type: float}}\n")),
        ("10,003 columns", format!("{NUMBERS}{columns}")),
    ] {
        workspace.write("configs/pipeline.yaml", &text);
        transcript.note(what);
        let started = Instant::now();
        assert_eq!(transcript.run(&workspace, PROCESS).code, 2);
        assert!(started.elapsed() < AT_ONCE, "{what}");
    }
    assert_text!(transcript.text);
}

#[test]
fn derived_features_beyond_the_limits() {
    let workspace = Workspace::new();
    workspace.write("raw.csv", numbers()).write("configs/pipeline.yaml", NUMBERS);
    workspace.ok(PROCESS);
    let mut transcript = Transcript::default();
    let mut fails = |what: &str, derive: &str| {
        workspace.write("configs/pipeline.yaml", format!("{NUMBERS}engineer:\n  derive:\n{derive}"));
        transcript.note(what);
        let started = Instant::now();
        assert_eq!(transcript.run(&workspace, ENGINEER).code, 2);
        assert!(started.elapsed() < AT_ONCE, "{what}");
    };
    let many: String = (0..20_000).map(|place| format!("    f{place}: size + {place}\n")).collect();
    fails("20,000 features", &many);
    let circle: String = (0..2_000).map(|place| format!("    f{place}: f{} + 1\n", (place + 1) % 2_000)).collect();
    fails("a cycle of 2,000 features", &circle);
    let target: String = (0..2_000).map(|place| format!("    f{place}: f{} + 1\n", place + 1)).collect();
    fails("the target behind 2,000 features", &target.replace("f2000", "price"));
    fails("100,000 brackets", &format!("    a: {}size\n", "(".repeat(100_000)));
    fails("9,000 brackets", &format!("    a: {}size\n", "(".repeat(9_000)));
    fails("1,501 values", &format!("    a: size{}\n", "+size".repeat(1_500)));
    for name in ["'../a'", "'a/b'", "\"a\\nb\"", "\"a\\0b\"", "\"a\\u202eb\"", "'.a'", "'a\\b'", "'con'"] {
        fails(&format!("the name {name}"), &format!("    {name}: size + 1\n"));
    }
    assert_text!(transcript.text);
    assert!(!workspace.path("featured.csv").exists());
}

/// As many as may be derived, each from the one before, through every stage.
#[test]
fn as_many_derived_features_as_there_may_be() {
    let workspace = Workspace::new();
    let chain: String = (1..2_000).map(|place| format!("    f{place}: f{} + f{} / 10000\n", place - 1, place - 1)).collect();
    let config = format!("{NUMBERS}engineer:\n  derive:\n    f0: size + 1\n{chain}");
    workspace.write("raw.csv", numbers()).write("configs/pipeline.yaml", config);
    workspace.write(
        "model.yaml",
        model_config("Ridge", "  feature_sets: {few: [size, f1, f1999]}\n  cross_validation: {folds: 2}\n"),
    );
    let started = Instant::now();
    workspace.ok(PROCESS);
    workspace.ok(ENGINEER);
    workspace.ok("train --config model.yaml --data featured.csv --models-dir models");
    assert!(started.elapsed() < 6 * AT_ONCE, "{:?}", started.elapsed());
}

#[test]
fn tables_beyond_the_limits() {
    let workspace = Workspace::new();
    workspace.write("configs/pipeline.yaml", NUMBERS);
    let long = "9".repeat(3 << 20);
    let init = "process init --input raw.csv --target price --output new.yaml";
    for (text, line, expected) in [
        (
            format!("price,size\n1,2\n3,{long}\n5,6\n"),
            PROCESS,
            "raw.csv:3: the record is longer than the limit of 1048576 bytes, which it exceeds in column 2 (\"size\"). Shorten or remove the cell\n",
        ),
        (
            format!("price,size\n1,\"{long}\"\n"),
            init,
            "raw.csv:2: the record is longer than the limit of 1048576 bytes, which it exceeds in column 2 (\"size\"). Shorten or remove the cell\n",
        ),
        (
            format!("price,size\n1,2\n\"3\n\",\"4\n{}", "5,6\n".repeat(1 << 20)),
            PROCESS,
            "raw.csv:4: the quote that opens column 2 (\"size\") is not closed within 1048576 bytes, the limit of a record. Double the \
             quotes inside a cell, and put quotes around the whole cell\n",
        ),
        // every line closes the quote of the one before and opens another
        (
            format!("price,size\n1,2\n{}", "x\",\"y\n".repeat(1 << 20)),
            init,
            "raw.csv:3: the record is longer than the limit of 1048576 bytes, which it exceeds in column 174764. Shorten or remove the cell\n",
        ),
        (
            "price,\"size\n1,2\n3,4\n".to_owned(),
            init,
            "raw.csv:1: the header has a quote that is never closed. Double the quotes inside a cell, and put quotes around the whole cell\n",
        ),
        (
            format!("price,{long}\n1,2\n"),
            init,
            "raw.csv:1: column 2 of the header: a name of 3145728 bytes is too long; 1000 are allowed\n",
        ),
        (
            format!("price,{long}{long}{long}{long}{long}{long}\n1,2\n"),
            init,
            "raw.csv:1: the header is longer than the limit of 16777216 bytes, which it exceeds in column 2. Shorten or remove the cell\n",
        ),
        (
            format!("price{}\n", (0..100_000).map(|column| format!(",c{column}")).collect::<String>()),
            init,
            "raw.csv:1: the header has 100001 columns; at most 10000 are allowed\n",
        ),
        (
            format!("price{}\n", ",size".repeat(100_000)),
            init,
            "raw.csv:1: column \"size\" is a duplicate (columns 2 and 3). Rename one\n",
        ),
        (
            "price,\"si\u{202e}ze\"\n1,2\n".to_owned(),
            init,
            "raw.csv:1: column 2 of the header: the name si\\u{202e}ze holds U+202E, which cannot be printed; remove it\n",
        ),
        (
            "price,si\u{3164}ze\n1,2\n".to_owned(),
            init,
            "raw.csv:1: column 2 of the header: the name si\\u{3164}ze holds U+3164, which cannot be printed; remove it\n",
        ),
    ] {
        workspace.write("raw.csv", &text);
        let started = Instant::now();
        assert_eq!(workspace.fails(2, line), format!("error: {expected}"));
        assert!(started.elapsed() < AT_ONCE, "{expected}");
    }
    // the columns that are missing and those that are unknown are named, the first of them
    let wide: String = (0..3_000).map(|column| format!("    c{column}: {{type: float}}\n")).collect();
    workspace.write("configs/pipeline.yaml", format!("{NUMBERS}{wide}"));
    let header: String = (0..3_000).map(|column| format!(",d{column}")).collect();
    workspace.write("raw.csv", format!("price,size{header}\n"));
    let started = Instant::now();
    let mut transcript = Transcript::default();
    transcript.note("3,000 columns are missing, and as many are unknown");
    assert_eq!(transcript.run(&workspace, PROCESS).code, 2);
    assert!(started.elapsed() < AT_ONCE);
    assert_text!(transcript.text);
}

#[test]
fn names_with_blanks_and_slashes_are_names() {
    let workspace = Workspace::new();
    let table = numbers().replace("price,size", "price,\"size/m² (%)\"");
    workspace.write("raw.csv", table);
    workspace.write("configs/pipeline.yaml", NUMBERS.replace("size:", "'size/m² (%)':"));
    workspace.write("model.yaml", model_config("Ridge", ""));
    workspace.ok(PROCESS);
    workspace.ok(ENGINEER);
    workspace.ok("train --config model.yaml --data featured.csv --models-dir models");
    workspace.ok("train predict --models-dir models --input raw.csv --output p.csv");
}

#[test]
fn a_table_in_another_encoding() {
    let workspace = houses(300);
    workspace.ok(PROCESS);
    let before: Vec<(&str, Vec<u8>)> =
        ["cleaned.csv", "cleaned.csv.quarantine.csv", "cleaned.csv.report.json", "cleaned.csv.manifest.json"]
            .map(|name| (name, workspace.bytes(name)))
            .into();
    // a third of the rows as Windows-1252 writes them, and some more faults
    let text = workspace.read("raw.csv");
    let mut bytes = Vec::new();
    for (row, line) in text.lines().enumerate() {
        let line = match row {
            row if row > 0 && row % 3 == 0 => line.replacen("Urban", "M\u{e1}laga", 1).replacen("Rural", "K\u{f6}ln", 1),
            10 => line.replacen(',', ",x", 1),
            _ => line.to_owned(),
        };
        bytes.extend(line.chars().map(|character| character as u8));
        bytes.push(b'\n');
    }
    workspace.write("raw.csv", bytes);
    let mut transcript = Transcript::default();
    assert_eq!(transcript.run(&workspace, PROCESS).code, 1);
    for (name, bytes) in before {
        assert_eq!(workspace.bytes(name), bytes, "{name}");
    }
    let quarantine = workspace.read("cleaned.csv.failed.quarantine.csv");
    transcript.note("the first lines of the quarantine file:");
    quarantine.lines().take(4).for_each(|line| transcript.note(line));
    transcript.run(&workspace, "process --input cleaned.csv.failed.quarantine.csv --output cleaned.csv");
    assert_text!(transcript.text);
}
