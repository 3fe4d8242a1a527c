//! Tables never seen before: `process init`, and the four stages on what it writes.

use testkit::Workspace;

use crate::snapshot::assert_text;

/// Runs the four stages with the configurations that `init` wrote.
fn run_on(workspace: &Workspace, table: &str) -> String {
    workspace.ok(&format!("process --input {table} --output cleaned.csv --pipeline-config any.yaml"));
    workspace.ok("engineer --input cleaned.csv --output featured.csv --preprocessor models/trained/preprocessor.bin --pipeline-config any.yaml");
    workspace.ok("train --config any_model.yaml --data featured.csv --models-dir models");
    workspace.ok("package --models-dir models --output packaged --pipeline-config any.yaml");
    workspace.read("models/trained/metrics.json")
}

/// Eighty columns: a BOM, blanks and quotes in names, `NA` as a level here and as missing there, dates, ids, texts, an empty column.
fn wide_table() -> String {
    let mut header = vec![
        "Id",
        "Lot Area",
        "Alley",
        "Lot Frontage",
        "Sale Date",
        "Zip",
        "Empty",
        "Remarks",
        "\"Say \"\"Hi\"\"\"",
        "SalePrice",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect::<Vec<_>>();
    header.extend((0..35).map(|number| format!("Num {number}")));
    header.extend((0..35).map(|number| format!("Cat {number}")));
    let mut table = format!("\u{feff}{}\r\n", header.join(","));
    let mut state = 12_345_u64;
    let mut next = move |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    for row in 0..300 {
        let area = 2000 + next(8000);
        let alley = ["NA", "NA", "NA", "Grvl", "Pave"][next(5) as usize];
        let frontage = if next(6) == 0 { "NA".to_owned() } else { (20 + next(80)).to_string() };
        let hi = ["yes", "yes", "no", " Yes"][next(4) as usize];
        let mut cells = vec![
            (row + 1).to_string(),
            area.to_string(),
            alley.to_owned(),
            frontage,
            format!("{:02}/{:02}/20{:02}", 1 + next(12), 1 + next(28), 10 + next(5)),
            format!("0{}", 1000 + next(40)),
            String::new(),
            format!("\"house {row}, a \"\"fine\"\" one\""),
            hi.to_owned(),
            (50_000 + area * 20 + next(20_000)).to_string(),
        ];
        cells.extend((0..35).map(|number| if number % 2 == 0 { next(100).to_string() } else { format!("{}.5", next(50)) }));
        cells
            .extend((0..35).map(|number| if next(40) == 0 { String::new() } else { format!("level {}", next(2 + number)) }));
        table.push_str(&cells.join(","));
        table.push_str("\r\n");
    }
    table
}

#[test]
fn an_80_column_table_runs_on_what_init_wrote() {
    let workspace = Workspace::new();
    workspace.write("wide.csv", wide_table());
    let run = workspace.run("process init --input wide.csv --target SalePrice --output any.yaml");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.starts_with("init      80 columns, 300 rows → any.yaml and any_model.yaml\n"), "{}", run.stdout);
    let config = workspace.read("any.yaml");
    assert_text!(config);
    let record = run_on(&workspace, "wide.csv");
    assert!(record.contains("\"Alley=NA\""), "{record}");
    assert!(workspace.json("cleaned.csv.report.json")["balance"]["quarantined"] == 0);

    let stderr = workspace.fails(2, "process init --input wide.csv --target SalePrice --output any.yaml");
    assert_eq!(stderr, "error: any.yaml: exists. Name another file, or replace it with --force\n");
    let stderr = workspace.fails(2, "process init --input wide.csv --target Price --output b.yaml");
    assert_eq!(stderr, "error: wide.csv:1: column \"Price\" does not exist\n");
    let stderr = workspace.fails(2, "process init --input wide.csv --target Alley --output b.yaml");
    assert_eq!(stderr, "error: wide.csv: column \"Alley\" is not numeric, so it cannot be the target\n");
}

#[test]
fn a_level_that_training_did_not_know_shares_a_bucket_with_a_warning() {
    let workspace = Workspace::new();
    let rows: String = (0..60).map(|row| format!("{},{},{}\n", 1000 + row, row, ["a", "b"][row % 2])).collect();
    workspace.write("raw.csv", format!("price,size,place\n{rows}"));
    workspace.ok("process init --input raw.csv --target price --output any.yaml");
    run_on(&workspace, "raw.csv");
    workspace.write("rows.csv", "size,place\n3,a\n3,Atlantis\n");
    let run = workspace.run("train predict --models-dir models --input rows.csv --output p.csv");
    assert_eq!(
        run.stderr,
        "warning: 1 cells have a level that is not in the training data; they are predicted as the level `other`\n"
    );
    assert_eq!(workspace.read("p.csv").lines().count(), 3);

    // refused, where the configuration says so, whether the row came as CSV or as Parquet
    let config = workspace.read("any.yaml");
    let refusing = config.replace("unknown_category: other", "unknown_category: reject").replace(", levels: [a, b]", "");
    workspace.write("any.yaml", refusing);
    run_on(&workspace, "raw.csv");
    workspace.ok("train predict --models-dir models --input rows.csv --output p.csv -q");
    let refused = "3,place,Atlantis,\"\"\"Atlantis\"\" is not one of the levels in training: a, b\",\"3,Atlantis\"\n";
    assert_eq!(workspace.read("p.csv.quarantine.csv"), format!("line,column,value,reason,record\n{refused}"));
}

#[test]
fn init_understands_the_shipped_table() {
    let workspace = crate::houses(2000);
    workspace.ok("process init --input raw.csv --target price --output any.yaml");
    let record: serde_json::Value = serde_json::from_str(&run_on(&workspace, "raw.csv")).unwrap();
    let r2 =
        record["metrics"].as_array().unwrap().iter().find(|point| point["key"] == "r2").unwrap()["value"].as_f64().unwrap();
    assert!(r2 > 0.8, "{r2}");
}
