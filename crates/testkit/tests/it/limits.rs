//! Inputs that are larger, deeper or stranger than any that people write: each is refused by a limit that is named, in little time.

use std::time::{Duration, Instant};

use crate::{ENGINEER, PROCESS, houses, model_config};
use testkit::Workspace;

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
    for (text, expected) in [
        (format!("table: {}", "[".repeat(200_000)), ": lists and maps are nested more than 64 deep\n"),
        (format!("table: {}", "{a: ".repeat(50_000)), ": lists and maps are nested more than 64 deep\n"),
        (format!("{NUMBERS}# {}\n", "x".repeat(5 << 20)), ": the file has 5242966 bytes; at most 4194304 are allowed\n"),
        (
            NUMBERS.replace("{type: float}\n    size", "{type: float, min: .nan}\n    size"),
            ":4:31: table.columns.price.min: `.nan` is not a finite number; set a number, or put text in quotes\n",
        ),
        (
            format!("{NUMBERS}process: {{max_quarantined: .inf}}\n"),
            ":6:28: process.max_quarantined: `.inf` is not a finite number; set a number, or put text in quotes\n",
        ),
        (
            format!("{NUMBERS}    \"a\\u202eb\": {{type: float}}\n"),
            ": table.columns.a\\u{202e}b: the name a\\u{202e}b holds U+202E, which cannot be printed; remove it\n",
        ),
    ] {
        workspace.write("configs/pipeline.yaml", &text);
        let started = Instant::now();
        let stderr = workspace.fails(2, PROCESS);
        assert!(started.elapsed() < AT_ONCE, "{expected}");
        assert!(stderr.ends_with(expected) && stderr.starts_with("error: configs/pipeline.yaml:"), "{stderr}");
    }
    let columns: String = (0..10_001).map(|column| format!("    c{column}: {{type: float}}\n")).collect();
    workspace.write("configs/pipeline.yaml", format!("{NUMBERS}{columns}"));
    assert_eq!(
        workspace.fails(2, PROCESS),
        "error: configs/pipeline.yaml:3: table.columns: lists 10003 columns; at most 10000 are allowed\n"
    );
}

#[test]
fn derived_features_beyond_the_limits() {
    let workspace = Workspace::new();
    workspace.write("raw.csv", numbers()).write("configs/pipeline.yaml", NUMBERS);
    workspace.ok(PROCESS);
    let fails = |derive: &str, expected: &str| {
        workspace.write("configs/pipeline.yaml", format!("{NUMBERS}engineer:\n  derive:\n{derive}"));
        let started = Instant::now();
        let stderr = workspace.fails(2, ENGINEER);
        assert!(started.elapsed() < AT_ONCE, "{expected}");
        assert!(stderr.contains(expected), "{stderr}");
    };
    let many: String = (0..20_000).map(|place| format!("    f{place}: size + {place}\n")).collect();
    fails(&many, "configs/pipeline.yaml:7: engineer.derive: lists 20000 features; at most 2000 are allowed\n");
    let circle: String = (0..2_000).map(|place| format!("    f{place}: f{} + 1\n", (place + 1) % 2_000)).collect();
    fails(&circle, "engineer.derive.f0: features depend on each other in a cycle: f0 → f1 → f2 → f3 → f4");
    let target: String = (0..2_000).map(|place| format!("    f{place}: f{} + 1\n", place + 1)).collect();
    fails(&target.replace("f2000", "price"), "f0 reads f1, and f1 reads f2, and");
    fails(&format!("    a: {}size\n", "(".repeat(100_000)), "the expression is longer than 10000 bytes");
    fails(&format!("    a: {}size\n", "(".repeat(9_000)), "the expression is nested too deeply");
    fails(&format!("    a: size{}\n", "+size".repeat(1_500)), "the expression has more than 1000 values");
    for name in ["'../a'", "'a/b'", "\"a\\nb\"", "\"a\\0b\"", "\"a\\u202eb\"", "'.a'", "'a\\b'", "'con'"] {
        fails(&format!("    {name}: size + 1\n"), "engineer.derive.");
    }
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
    let stderr = workspace.fails(2, PROCESS);
    assert!(started.elapsed() < AT_ONCE && stderr.ends_with("more differences\n"), "{stderr}");
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
    let stderr = workspace.fails(1, PROCESS);
    let lines: Vec<&str> = stderr.lines().collect();
    assert!(lines[0].contains("rows are invalid (") && lines[0].ends_with("The most frequent reasons:"), "{stderr}");
    assert!(lines[1].contains(" rows: column \"location\": not UTF-8 text (line "), "{stderr}");
    assert!(
        lines[1].ends_with(
            "the file is probably Windows-1252 or Latin-1; convert it: iconv -f WINDOWS-1252 -t UTF-8 OLD.csv > NEW.csv"
        ),
        "{stderr}"
    );
    assert!(stderr.contains("The rows are in cleaned.csv.failed.quarantine.csv. No output was changed."), "{stderr}");
    for (name, bytes) in before {
        assert_eq!(workspace.bytes(name), bytes, "{name}");
    }
    let quarantine = workspace.read("cleaned.csv.failed.quarantine.csv");
    assert!(quarantine.contains(",location,,the record is not UTF-8 text: its byte "), "{quarantine}");
    assert_eq!(
        workspace.fails(2, "process --input cleaned.csv.failed.quarantine.csv --output cleaned.csv"),
        "error: the quarantine of --output if the table is rejected cleaned.csv.failed.quarantine.csv is the same file as --input \
         cleaned.csv.failed.quarantine.csv; name another output\n"
    );
}
