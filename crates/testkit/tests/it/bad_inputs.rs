//! Every bad input has a text of its own and an exit code: 2 for an error, 1 for a failed check.

use crate::{ENGINEER, PROCESS, TRAIN, houses, model_config};
use testkit::Workspace;

pub(crate) const HEADER: &str = "price,sqft,bedrooms,bathrooms,location,year_built,condition";
const ROW: &str = "300000,1500,3,2,Urban,1990,Good";

/// `process` on a table of `text` fails with `code` and says exactly this.
fn check_table(text: impl AsRef<[u8]>, code: i32, expected: &str) {
    let workspace = Workspace::new();
    workspace.write("raw.csv", text);
    assert_eq!(workspace.fails(code, PROCESS), format!("error: {expected}\n"));
    assert!(!workspace.path("cleaned.csv").exists());
}

/// `process` with a configuration of `text` fails and says exactly this.
fn check_config(text: &str, expected: &str) {
    let workspace = Workspace::new();
    workspace.write("raw.csv", format!("{HEADER}\n{ROW}\n")).write("configs/pipeline.yaml", text);
    assert_eq!(workspace.fails(2, PROCESS), format!("error: configs/pipeline.yaml:{expected}\n"));
}

/// A table of forty rows.
pub(crate) fn rows(row: impl Fn(usize) -> String) -> String {
    format!("{HEADER}\n{}\n", (0..40).map(row).collect::<Vec<_>>().join("\n"))
}

#[test]
fn tables_that_are_no_tables() {
    check_table("", 2, "raw.csv: is empty. Add a header and rows");
    check_table("\n\n", 2, "raw.csv: is empty. Add a header and rows");
    check_table(format!("{HEADER}\n"), 2, "raw.csv: has a header but no rows");
    check_table([0x1f, 0x8b, 8, 0], 2, "raw.csv: is compressed with gzip. Unpack it first");
    check_table([0xff, 0xfe, b'p', 0], 2, "raw.csv: is UTF-16 text. Save the file as UTF-8");
    check_table(b"PAR1....PAR1", 2, "raw.csv: is a Parquet file. Name it .parquet");
    check_table(format!("{HEADER}\r{ROW}\r"), 2, "raw.csv: has line ends with CR only. Save it with LF or CRLF");
    let workspace = Workspace::new();
    assert_eq!(workspace.fails(2, PROCESS), "error: raw.csv: no such file; check the path\n");
    workspace.write("raw.parquet", "no");
    let stderr = workspace.fails(2, "process --input raw.parquet --output c.csv");
    assert!(stderr.starts_with("error: raw.parquet: is not a readable Parquet file: "), "{stderr}");
    assert_eq!(
        workspace.fails(2, "process --input raw.txt --output c.csv"),
        "error: raw.txt: cannot recognise the format: the name must end in .csv or .parquet\n"
    );
    assert_eq!(
        workspace.fails(2, "process --input a.csv --output ./a.csv"),
        "error: --output ./a.csv is the same file as --input a.csv; name another output\n"
    );
}

#[test]
fn headers_that_do_not_fit() {
    check_table(
        format!("{HEADER},agent\n{ROW},x\n"),
        2,
        "raw.csv:1: column \"agent\" is not in the schema. Add it to table.columns (type text, if it is not used)",
    );
    check_table(
        "price,sqft,bedrooms,bathrooms,location,year_built\n",
        2,
        "raw.csv:1: column \"condition\" is not in the header",
    );
    check_table(
        format!("\n{HEADER},sqft\n{ROW},1\n"),
        2,
        "raw.csv:2: column \"sqft\" is a duplicate (columns 2 and 8). Rename one",
    );
    check_table(
        HEADER.replace("price", "Price"),
        2,
        "raw.csv:1: the target column \"price\" is not in the header (is it \"Price\"?)",
    );
}

#[test]
fn tables_that_nothing_can_be_learned_from() {
    check_table(
        rows(|number| format!("{},abc,3,2,Urban,1990,Good", 300_000 + number)),
        1,
        "raw.csv: 40 of 40 rows are invalid (100.0 %, more than the limit of process.max_quarantined, 5.0 %). The most frequent reasons:\n  \
         40 rows: column \"sqft\": not a number (line 2: \"abc\" is not a number); correct the cells, list the texts of missing values in table.columns.sqft.missing, or give the column another type\nThe rows are in cleaned.csv.failed.quarantine.csv. No output was \
         changed. Correct the table or the configuration, or raise process.max_quarantined to remove these rows",
    );
    check_table(
        format!("{HEADER}\n{ROW}\n"),
        1,
        "raw.csv: 1 row(s) left after cleaning; at least one training row and one test row are needed. Nothing was written. \
         1 rows in = 1 out + 0 quarantined + 0 duplicates + 0 trimmed + 0 without target",
    );
    check_table(
        rows(|number| format!(",{},3,2,Urban,1990,Good", 1500 + number)),
        1,
        "raw.csv: 0 row(s) left after cleaning; at least one training row and one test row are needed. Nothing was written. \
         40 rows in = 0 out + 0 quarantined + 0 duplicates + 0 trimmed + 40 without target",
    );
}

/// The first fault of a rejected table is named wherever in the file it stands: here behind the first block.
#[test]
fn the_first_fault_is_named_however_far_down() {
    let row = |number: usize| match number {
        0..60_000 => format!("{},1500,3,2,Urban,1990,Good", 300_000 + number),
        _ => format!("{},1500,3", 300_000 + number),
    };
    let rows: Vec<String> = (0..130_000).map(row).collect();
    check_table(
        format!("{HEADER}\n{}\n", rows.join("\n")),
        1,
        "raw.csv: 70000 of 130000 rows are invalid (53.8 %, more than the limit of process.max_quarantined, 5.0 %). The most frequent \
         reasons:\n  70000 rows: number of fields differs from the header (line 60002: the record has 3 fields where the header has 7); put cells with commas in quotes\nThe rows are in cleaned.csv.failed.quarantine.csv. No output was changed. Correct the table or \
         the configuration, or raise process.max_quarantined to remove these rows",
    );
}

#[test]
fn a_split_with_an_empty_side() {
    let workspace = Workspace::new();
    let config = workspace.read("configs/pipeline.yaml").replace("test: 0.2", "test: 0.999999");
    workspace
        .write("raw.csv", rows(|number| format!("{},1500,3,2,Urban,1990,Good", 300_000 + number)))
        .write("none.yaml", config);
    assert_eq!(
        workspace.fails(1, "process --input raw.csv --output cleaned.csv --pipeline-config none.yaml"),
        "error: raw.csv: none of the 40 rows left is a training row. Nothing was written. Add rows, or change process.split.test or \
         process.split.seed\n"
    );
}

#[test]
fn configurations_that_cannot_be_used() {
    check_config(
        "table: {target: price\n",
        "2:1: did not find expected ',' or '}', while parsing a flow mapping at line 1 column 8",
    );
    check_config("", " the file is empty");
    let good = Workspace::new().read("configs/pipeline.yaml");
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replace(from, to)
    };
    let line = |text: &str| good.lines().position(|line| line.contains(text)).unwrap() + 1;
    let seed = line("seed: 42");
    check_config(
        &with("seed: 42", "sede: 42"),
        &format!("{seed}:5: process.split: unknown field `sede`, expected one of `test`, `seed`, `key`"),
    );
    check_config(
        &with("test: 0.2", "test: 2"),
        &format!("{}: process.split.test: 2 is not between 0 and 1", line("test: 0.2")),
    );
    check_config(
        &with("seed: 42", "seed: 42\n    key: house"),
        &format!("{}: process.split.key: \"house\" is not a column that can be a key", seed + 1),
    );
    check_config(
        &with("min: 200, max: 20000", "min: 200, max: 2"),
        &format!("{}: table.columns.sqft: min 200 is above max 2", line("sqft: {")),
    );
    check_config(
        &with("target: price", "target: cost"),
        &format!("{}: table.target: \"cost\" is not among table.columns", line("target: price")),
    );
    check_config(
        &with("seed: 42", "seed: 42\n  trim: {iqr: {factor: 0}}"),
        &format!("{}: process.trim.iqr.factor: 0 is not above 0", seed + 1),
    );
    let workspace = Workspace::new();
    assert_eq!(
        workspace.fails(2, "process --input a.csv --output b.csv --pipeline-config no.yaml"),
        "error: no.yaml: no such file; name the configuration with --pipeline-config\n"
    );
}

#[test]
fn expressions_that_cannot_be_computed() {
    let workspace = houses(300);
    workspace.ok(PROCESS);
    let good = workspace.read("configs/pipeline.yaml");
    let place = good.lines().position(|line| line.contains("house_age:")).unwrap() + 1;
    for (expression, expected) in [
        ("sqfeet * 2", "there is no column \"sqfeet\" (did you mean \"sqft\"?) at character 1\n  sqfeet * 2\n  ^"),
        ("(sqft", "a closing bracket is missing at character 6\n  (sqft\n       ^"),
        ("house_age + 1", "features depend on each other in a cycle: house_age → house_age"),
        (
            "price / sqft",
            "house_age reads price, the target. A feature computed from the target is not available for predictions. Remove it",
        ),
    ] {
        workspace.write("configs/pipeline.yaml", good.replace("reference_year - year_built", expression));
        let expected = format!("error: configs/pipeline.yaml:{place}: engineer.derive.house_age: {expected}\n");
        assert_eq!(workspace.fails(2, ENGINEER), expected);
    }
    assert!(!workspace.path("featured.csv").exists());
}

#[test]
fn columns_that_nothing_can_be_learned_of() {
    let workspace = Workspace::new();
    workspace.write("raw.csv", rows(|number| format!("{},,3,2,Urban,1990,Good", 300_000 + number)));
    workspace.ok(PROCESS);
    let config = workspace.read("configs/pipeline.yaml");
    let line = config.lines().position(|line| line.contains("impute:")).unwrap() + 1;
    assert_eq!(
        workspace.fails(2, ENGINEER),
        format!(
            "error: configs/pipeline.yaml:{line}: engineer.impute: column \"sqft\" has no value in any training row, so missing values cannot be imputed. Add it to engineer.drop, or set engineer.impute.constants.sqft\n"
        )
    );
    let constant = config.replace("number: median", "number: median\n    constants: {sqft: 1500}");
    workspace.write("configs/pipeline.yaml", constant);
    workspace.ok(ENGINEER);
}

#[test]
fn inputs_of_a_stage_that_are_not_what_the_stage_before_wrote() {
    let workspace = houses(300);
    assert_eq!(
        workspace.fails(2, ENGINEER),
        "error: cleaned.csv: no such file. Run `process` to write it, or name another file\n"
    );
    workspace.ok(PROCESS);
    let cleaned = workspace.read("cleaned.csv");
    workspace.write("cleaned.csv", cleaned.replacen("Urban", "Rural", 1));
    let stderr = workspace.fails(2, ENGINEER);
    assert!(stderr.starts_with("error: cleaned.csv: is not the file that `process` wrote (digest sha256:"), "{stderr}");
    workspace.write("other.csv", &cleaned);
    assert_eq!(
        workspace.fails(2, &ENGINEER.replace("cleaned.csv", "other.csv")),
        "error: other.csv: has no manifest beside it (other.csv.manifest.json). Run `process` to write both\n"
    );
    workspace.write("cleaned.csv", &cleaned);
    let config = workspace.read("configs/pipeline.yaml");
    workspace.write("configs/pipeline.yaml", config.replace("max: 20000}", "max: 30000}"));
    assert_eq!(
        workspace.fails(2, ENGINEER),
        "error: cleaned.csv: was written for another schema, because the `table` section of configs/pipeline.yaml has changed. Run `process` again\n"
    );
}

#[test]
fn trainings_that_cannot_begin() {
    let workspace = houses(300);
    workspace.ok(PROCESS);
    workspace.ok(ENGINEER);
    let train = |config: &str| {
        workspace.write("m.yaml", config);
        let stderr = workspace.fails(2, "train --config m.yaml --data featured.csv --models-dir models");
        stderr.strip_prefix("error: m.yaml:").unwrap_or(&stderr).trim().to_owned()
    };
    assert_eq!(
        train(&model_config("CatBoost", "")),
        "3: model.best_model: algorithm \"CatBoost\" does not exist; the algorithms are LinearRegression, Ridge, Lasso, ElasticNet, RandomForest, \
         ExtraTrees, GradientBoosting, HistGradientBoosting, SVR, Blend"
    );
    assert_eq!(
        train(&model_config("Ridge", "").replace("price", "cost")),
        "model.target_variable: \"cost\" is not the target of this table, which is \"price\""
    );
    assert_eq!(
        train(&model_config("Ridge", "  parameters:\n    alpha: -1\n")),
        "6: model.parameters.alpha: -1 is not a number from 0 to 1000000000000"
    );
    assert_eq!(
        train(&model_config("Ridge", "  feature_sets: {rfe: [sqfd]}\n")),
        "model.feature_sets.rfe: feature \"sqfd\" does not exist (did you mean \"sqft\"?)"
    );
    assert!(
        train("model:\n  name: m\n  best_model: Ridge\n  colour: red\n")
            .starts_with("4:3: model: unknown field `colour`, expected one of ")
    );
    assert_eq!(
        train("model:\n  name: ../m\n  best_model: Ridge\n"),
        "2: model.name: \"../m\" may only contain letters, digits, _, - and ."
    );
    assert!(!workspace.path("models/trained/model.bin").exists());
    let stderr = workspace.fails(2, &TRAIN.replace("featured.csv", "no.csv"));
    assert_eq!(stderr, "error: no.csv: no such file. Run `engineer` to write it, or name another file\n");
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
    assert_eq!(
        workspace.fails(2, "train --config m.yaml --data featured.csv --models-dir models"),
        "error: m.yaml: model.target_transform: log needs a target above 0, and 2 training rows of featured.csv have none (the first is \
         -1). Set min for the target in table.columns, or use target_transform: none\n"
    );
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
    let stderr = workspace.fails(2, predict);
    assert!(
        stderr.starts_with(
            "error: models/trained/preprocessor.bin: is not the preprocessor that models/trained/model.bin was trained with"
        ),
        "{stderr}"
    );
    let stderr = workspace.fails(2, &format!("{train} --force"));
    assert!(stderr.starts_with("error: models/trained/preprocessor.bin: is not the file that `engineer` wrote"), "{stderr}");
    workspace.write("models/trained/preprocessor.bin", &preprocessor);

    for (name, bytes) in [("model", &model), ("preprocessor", &preprocessor)] {
        let file = format!("models/trained/{name}.bin");
        let mut flipped = bytes.clone();
        flipped[60] ^= 4;
        workspace.write(&file, &flipped);
        assert_eq!(
            workspace.fails(2, predict),
            format!("error: {file}: is damaged (its content does not match the digest stored in it). Write it again\n")
        );
        workspace.write(&file, &bytes[..bytes.len() - 1]);
        assert_eq!(
            workspace.fails(2, predict),
            format!(
                "error: {file}: wrong length: expected {} bytes, found {}. Write it again\n",
                bytes.len(),
                bytes.len() - 1
            )
        );
        workspace.write(&file, "not ours");
        assert_eq!(
            workspace.fails(2, predict),
            format!("error: {file}: is not a file of this project (unknown first bytes)\n")
        );
        workspace.write(&file, bytes);
    }
    workspace.write("models/trained/model.bin", &preprocessor);
    assert_eq!(workspace.fails(2, predict), "error: models/trained/model.bin: holds \"preprocessor\", not \"model\"\n");
}

#[test]
fn places_that_cannot_be_written_to() {
    let workspace = houses(300);
    assert_eq!(
        workspace.fails(2, "process --input raw.csv --output raw.csv/x.csv"),
        "error: raw.csv: cannot create the folder: File exists (os error 17)\n"
    );
    workspace.ok(PROCESS);
    let stderr = workspace.fails(2, "engineer --input cleaned.csv --output raw.csv/x.csv --preprocessor p.bin");
    assert_eq!(stderr, "error: raw.csv: cannot create the folder: File exists (os error 17)\n");
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

#[test]
fn arguments_that_mean_nothing() {
    let workspace = Workspace::new();
    assert_eq!(
        workspace.fails(2, "process --input a.csv init --input a.csv --target b --output c.yaml"),
        "error: --input must come after `init`: process init --input …\n"
    );
    assert_eq!(
        workspace.fails(2, "package --output o verify b.tar.gz"),
        "error: --output is not an option of `verify`. Omit it, or run `package` without `verify`\n"
    );
    for program in ["process", "engineer", "train", "package"] {
        let stderr = workspace.fails(2, &format!("{program} --colour red"));
        assert!(stderr.starts_with("error: unexpected argument '--colour' found"), "{stderr}");
        let stderr = workspace.fails(2, program);
        assert!(stderr.starts_with("error: the following required arguments were not provided:"), "{stderr}");
        assert!(workspace.ok(&format!("{program} --help")).contains("Global options:"));
        assert_eq!(workspace.ok(&format!("{program} --version")), format!("{program} {}\n", env!("CARGO_PKG_VERSION")));
        assert!(workspace.ok(&format!("{program} --generate completions=bash")).contains("complete -F"));
        assert!(workspace.ok(&format!("{program} --generate man")).starts_with(".ie"));
    }
}
