//! Every bad input has a text of its own and an exit code: 2 for an error, 1 for a failed check.

use testkit::Workspace;

use crate::{
    ENGINEER, PROCESS, TRAIN, houses, model_config,
    snapshot::{Transcript, assert_text},
};

pub(crate) const HEADER: &str = "price,sqft,bedrooms,bathrooms,location,year_built,condition";
const ROW: &str = "300000,1500,3,2,Urban,1990,Good";

/// Runs `process` on a table of `text`, which must be rejected.
fn reject_table(transcript: &mut Transcript, what: &str, text: impl AsRef<[u8]>) {
    let workspace = Workspace::new();
    workspace.write("raw.csv", text);
    transcript.note(what);
    assert_ne!(transcript.run(&workspace, PROCESS).code, 0);
    assert!(!workspace.path("cleaned.csv").exists());
}

/// A table of forty rows.
pub(crate) fn rows(row: impl Fn(usize) -> String) -> String {
    format!("{HEADER}\n{}\n", (0..40).map(row).collect::<Vec<_>>().join("\n"))
}

#[test]
fn tables_that_are_no_tables() {
    let mut transcript = Transcript::default();
    reject_table(&mut transcript, "an empty file", "");
    reject_table(&mut transcript, "blank lines", "\n\n");
    reject_table(&mut transcript, "a header without rows", format!("{HEADER}\n"));
    reject_table(&mut transcript, "a compressed file", [0x1f, 0x8b, 8, 0]);
    reject_table(&mut transcript, "UTF-16", [0xff, 0xfe, b'p', 0]);
    reject_table(&mut transcript, "a Parquet file", b"PAR1....PAR1");
    reject_table(&mut transcript, "line ends of an old Macintosh", format!("{HEADER}\r{ROW}\r"));
    let workspace = Workspace::new();
    transcript.run(&workspace, PROCESS);
    workspace.write("raw.parquet", "no");
    for files in ["raw.parquet --output c.csv", "raw.txt --output c.csv", "a.csv --output ./a.csv"] {
        assert_eq!(transcript.run(&workspace, &format!("process --input {files}")).code, 2);
    }
    assert_text!(transcript.text);
}

#[test]
fn headers_that_do_not_fit() {
    let mut transcript = Transcript::default();
    reject_table(&mut transcript, "a column that is not in the schema", format!("{HEADER},agent\n{ROW},x\n"));
    reject_table(&mut transcript, "a missing column", "price,sqft,bedrooms,bathrooms,location,year_built\n");
    reject_table(&mut transcript, "a column twice, below a blank line", format!("\n{HEADER},sqft\n{ROW},1\n"));
    reject_table(&mut transcript, "a target in other letters", HEADER.replace("price", "Price"));
    assert_text!(transcript.text);
}

#[test]
fn tables_that_nothing_can_be_learned_from() {
    let mut transcript = Transcript::default();
    let table = rows(|number| format!("{},abc,3,2,Urban,1990,Good", 300_000 + number));
    reject_table(&mut transcript, "no row is valid", table);
    reject_table(&mut transcript, "a single row", format!("{HEADER}\n{ROW}\n"));
    let table = rows(|number| format!(",{},3,2,Urban,1990,Good", 1500 + number));
    reject_table(&mut transcript, "no row has a target", table);
    assert_text!(transcript.text);
}

/// The first fault of a rejected table is named wherever in the file it stands: here behind the first block.
#[test]
fn the_first_fault_is_named_however_far_down() {
    let row = |number: usize| match number {
        0..60_000 => format!("{},1500,3,2,Urban,1990,Good", 300_000 + number),
        _ => format!("{},1500,3", 300_000 + number),
    };
    let rows: Vec<String> = (0..130_000).map(row).collect();
    let mut transcript = Transcript::default();
    reject_table(&mut transcript, "short rows from line 60002", format!("{HEADER}\n{}\n", rows.join("\n")));
    assert_text!(transcript.text);
}

#[test]
fn a_split_with_an_empty_side() {
    let workspace = Workspace::new();
    let config = workspace.read("configs/pipeline.yaml").replace("test: 0.2", "test: 0.999999");
    workspace
        .write("raw.csv", rows(|number| format!("{},1500,3,2,Urban,1990,Good", 300_000 + number)))
        .write("none.yaml", config);
    let mut transcript = Transcript::default();
    transcript.run(&workspace, "process --input raw.csv --output cleaned.csv --pipeline-config none.yaml");
    assert_text!(transcript.text);
}

/// A configuration, so that the lines in errors do not depend on the one that is shipped.
const CONFIG: &str = "\
table:
  target: price
  columns:
    price: {type: float, min: 10000}
    sqft: {type: float, min: 200, max: 20000}
process:
  split:
    test: 0.2
    seed: 42
";

#[test]
fn configurations_that_cannot_be_used() {
    let workspace = Workspace::new();
    workspace.write("raw.csv", "price,sqft\n300000,1500\n");
    let mut transcript = Transcript::default();
    transcript.note(&format!("the configuration:\n{CONFIG}"));
    let mut reject = |what: &str, text: &str| {
        assert_ne!(text, CONFIG, "{what}");
        workspace.write("configs/pipeline.yaml", text);
        transcript.note(what);
        assert_eq!(transcript.run(&workspace, PROCESS).code, 2);
    };
    reject("a map that is not closed", "table: {target: price\n");
    reject("an empty file", "");
    for (from, to) in [
        ("seed: 42", "sede: 42"),
        ("test: 0.2", "test: 2"),
        ("seed: 42", "seed: 42\n    key: house"),
        ("max: 20000", "max: 2"),
        ("target: price", "target: cost"),
        ("seed: 42", "seed: 42\n  trim: {iqr: {factor: 0}}"),
        ("test: 0.2", "test: [1, 2]"),
        ("type: float, min: 200", "type: real, min: 200"),
        ("process:", "stages:"),
    ] {
        reject(&format!("{from:?} replaced by {to:?}"), &CONFIG.replace(from, to));
    }
    transcript.run(&workspace, "process --input a.csv --output b.csv --pipeline-config no.yaml");
    assert_text!(transcript.text);
}

#[test]
fn expressions_that_cannot_be_computed() {
    let workspace = houses(300);
    workspace.ok(PROCESS);
    let good = workspace.read("configs/pipeline.yaml");
    let mut transcript = Transcript::default();
    for expression in ["sqfeet * 2", "(sqft", "house_age + 1", "price / sqft", "sqft ** 2", "location * 2", ""] {
        transcript.note(&format!("house_age: {expression:?}"));
        workspace.write("configs/pipeline.yaml", good.replace("reference_year - year_built", expression));
        assert_eq!(transcript.run(&workspace, ENGINEER).code, 2);
    }
    assert!(!workspace.path("featured.csv").exists());
    assert_text!(transcript.text);
}

#[test]
fn columns_that_nothing_can_be_learned_of() {
    let workspace = Workspace::new();
    workspace.write("raw.csv", rows(|number| format!("{},,3,2,Urban,1990,Good", 300_000 + number)));
    workspace.ok(PROCESS);
    let mut transcript = Transcript::default();
    transcript.note("sqft has no value");
    assert_eq!(transcript.run(&workspace, ENGINEER).code, 2);
    let config = workspace.read("configs/pipeline.yaml");
    let constant = config.replace("number: median", "number: median\n    constants: {sqft: 1500}");
    workspace.write("configs/pipeline.yaml", constant);
    transcript.note("with a constant in its place");
    assert_eq!(transcript.run(&workspace, ENGINEER).code, 0);
    assert_text!(transcript.text);
}

#[test]
fn inputs_of_a_stage_that_are_not_what_the_stage_before_wrote() {
    let workspace = houses(300);
    let mut transcript = Transcript::default();
    let mut reject = |what: &str, line: &str| {
        transcript.note(what);
        assert_eq!(transcript.run(&workspace, line).code, 2);
    };
    reject("no cleaned table", ENGINEER);
    workspace.ok(PROCESS);
    let cleaned = workspace.read("cleaned.csv");
    workspace.write("cleaned.csv", cleaned.replacen("Urban", "Rural", 1));
    reject("a level in the cleaned table was edited", ENGINEER);
    workspace.write("other.csv", &cleaned);
    reject("a copy without a manifest", &ENGINEER.replace("cleaned.csv", "other.csv"));
    workspace.write("cleaned.csv", &cleaned);
    let config = workspace.read("configs/pipeline.yaml");
    workspace.write("configs/pipeline.yaml", config.replace("max: 20000}", "max: 30000}"));
    reject("the schema was edited", ENGINEER);
    assert_text!(transcript.text);
}

#[test]
fn trainings_that_cannot_begin() {
    let workspace = houses(300);
    workspace.ok(PROCESS);
    workspace.ok(ENGINEER);
    let mut transcript = Transcript::default();
    for config in [
        model_config("CatBoost", ""),
        model_config("Ridge", "").replace("price", "cost"),
        model_config("Ridge", "  parameters:\n    alpha: -1\n"),
        model_config("Ridge", "  feature_sets: {rfe: [sqfd]}\n"),
        "model:\n  name: m\n  best_model: Ridge\n  colour: red\n".to_owned(),
        "model:\n  name: ../m\n  best_model: Ridge\n".to_owned(),
    ] {
        transcript.note(&format!("the configuration of the model:\n{config}"));
        workspace.write("m.yaml", config);
        let run = transcript.run(&workspace, "train --config m.yaml --data featured.csv --models-dir models");
        assert_eq!(run.code, 2);
    }
    assert!(!workspace.path("models/trained/model.bin").exists());
    transcript.run(&workspace, &TRAIN.replace("featured.csv", "no.csv"));
    assert_text!(transcript.text);
}

#[test]
fn a_logarithm_of_what_has_none() {
    let workspace = Workspace::new();
    let rows: String = (0..30).map(|row| format!("{},{row}\n", row - 1)).collect();
    workspace.write("raw.csv", format!("profit,size\n{rows}"));
    workspace
        .write("configs/pipeline.yaml", "table: {target: profit, columns: {profit: {type: float}, size: {type: float}}}\n");
    workspace.write("m.yaml", "model: {name: m, best_model: Ridge, target_transform: log}\n");
    workspace.ok(PROCESS);
    workspace.ok(ENGINEER);
    let mut transcript = Transcript::default();
    transcript.run(&workspace, "train --config m.yaml --data featured.csv --models-dir models");
    assert_text!(transcript.text);
}

#[test]
fn a_preprocessor_of_another_table_and_damaged_files() {
    let workspace = houses(300);
    workspace.write("m.yaml", model_config("Ridge", ""));
    workspace.ok(PROCESS);
    workspace.ok(ENGINEER);
    let train = "train --config m.yaml --data featured.csv --models-dir models";
    workspace.ok(train);
    let predict = "train predict --models-dir models --input raw.csv --output p.csv";
    let preprocessor = workspace.bytes("models/trained/preprocessor.bin");
    let model = workspace.bytes("models/trained/model.bin");

    // another table's preprocessor in the place of this one's
    let config = workspace.read("configs/pipeline.yaml");
    workspace.write("other.yaml", config.replace("reference_year: 2026", "reference_year: 2020"));
    workspace.ok("engineer --input cleaned.csv --output f.csv --preprocessor other.bin --pipeline-config other.yaml");
    workspace.write("models/trained/preprocessor.bin", workspace.bytes("other.bin"));
    let mut transcript = Transcript::default();
    let mut reject = |what: &str, line: &str| {
        transcript.note(what);
        assert_eq!(transcript.run(&workspace, line).code, 2);
    };
    reject("the preprocessor of another reference year", predict);
    reject("the same", &format!("{train} --force"));
    workspace.write("models/trained/preprocessor.bin", &preprocessor);
    for (name, bytes) in [("model", &model), ("preprocessor", &preprocessor)] {
        let file = format!("models/trained/{name}.bin");
        let mut flipped = bytes.clone();
        flipped[60] ^= 4;
        workspace.write(&file, &flipped);
        reject("a changed bit", predict);
        workspace.write(&file, &bytes[..bytes.len() - 1]);
        reject("a missing byte", predict);
        workspace.write(&file, "not ours");
        reject("a text", predict);
        workspace.write(&file, bytes);
    }
    workspace.write("models/trained/model.bin", &preprocessor);
    reject("a preprocessor in the place of the model", predict);
    assert_text!(transcript.text);
}

#[test]
fn places_that_cannot_be_written_to() {
    let workspace = houses(300);
    let mut transcript = Transcript::default();
    transcript.run(&workspace, "process --input raw.csv --output raw.csv/x.csv");
    workspace.ok(PROCESS);
    transcript.run(&workspace, "engineer --input cleaned.csv --output raw.csv/x.csv --preprocessor p.bin");
    assert_text!(transcript.text);
}

/// A folder that nobody may write to, not even root, who runs the tests here and there.
#[cfg(target_os = "linux")]
#[test]
fn folders_that_are_read_only() {
    let workspace = houses(300);
    let stderr = workspace.fails(2, "process --input raw.csv --output /proc/self/fdinfo/cleaned.csv");
    assert!(stderr.starts_with("error: /proc/self/fdinfo/cleaned.csv.quarantine.csv: cannot write it: "), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}
