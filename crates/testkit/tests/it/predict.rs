//! `predict`: one command of two programs, for every format of rows.

use serde_json::{Value, json};
use testkit::{Run, Workspace};

use crate::{
    ENGINEER, PROCESS, bundle, houses, model_config,
    output_paths::ready,
    served::packaged,
    server::{NEWEST, python},
    snapshot::{Transcript, assert_text},
};

const COLUMNS: &str = "sqft,bedrooms,bathrooms,location,year_built,condition";

/// A valid row, one with warnings, one that is out of range, one with an unknown level, and two malformed records.
const ROWS: &str = "2045,3,2.0,RURAL,1967,Fair\n,3,2.0,Rural,1967,\"Fair\"\n5,3,2.0,Rural,1967,Fair\n2045,x,2.0,Atlantis,1967,Fair\n\
                    2045,3\n2045,3,2.0,\"Ru\"ral,1967,Fair\n";

/// Rows as lines of JSON: valid with warnings, out of range, with an unknown field, and no JSON.
const LINES: &str = "{\"sqft\": 2045, \"bedrooms\": 3, \"price\": 9007199254740993}\n\n{\"sqft\": 5}\n{\"sqft\": 2045, \"garden\": 1}\n[1]\n{}\n";

fn python_script(workspace: &Workspace, script: &str) -> String {
    workspace.write("script.py", script);
    let output = python(NEWEST).current_dir(workspace.path("")).arg("script.py").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a command line wrote: exit code, stdout, stderr, the output and the quarantine.
fn everything(workspace: &Workspace, line: &str, output: &str) -> (Run, Vec<u8>, Vec<u8>) {
    let run = workspace.run(&format!("{line} --output {output}"));
    let quarantine = format!("{output}.quarantine.csv");
    let files = (run, workspace.bytes(output), workspace.bytes(&quarantine));
    [output, &quarantine].iter().for_each(|name| std::fs::remove_file(workspace.path(name)).unwrap());
    files
}

#[test]
fn both_programs_write_the_same_bytes() {
    let workspace = packaged(400);
    workspace.write("rows.csv", format!("{COLUMNS}\n{ROWS}")).write("rows.ndjson", LINES).write("rows.jsonl", LINES);
    python_script(
        &workspace,
        "import pyarrow as pa\n\
         table = pa.table({'sqft': pa.array([900, 1, None], pa.int32()), 'bedrooms': pa.array([3, 3, 3], pa.uint64()),\n\
         \x20   'location': pa.array(['Rural', 'urban', 'Atlantis']).dictionary_encode(), 'year_built': ['1967', '1990', ''],\n\
         \x20   'bathrooms': pa.array([1.5, 2, float('nan')], pa.float32()), 'condition': pa.array(['Good'] * 3, pa.large_string())})\n\
         for name in ['rows.arrow', 'rows.arrows']:\n    with pa.ipc.new_stream(name, table.schema) as out:\n        out.write_table(table)\n",
    );
    let bundle = bundle(&workspace);
    for (input, output) in [
        ("rows.csv", "out.csv"),
        ("rows.csv", "out.ndjson"),
        ("rows.csv", "out.arrows"),
        ("rows.ndjson", "out.jsonl"),
        ("rows.jsonl", "out.csv"),
        ("rows.arrow", "out.arrow"),
        ("rows.arrows", "out.csv"),
        ("rows.arrows", "out.ndjson"),
    ] {
        for model in ["--models-dir models".into(), format!("--models-dir {bundle}"), format!("--model {bundle}.tar.gz")] {
            for flags in ["", "--intervals 0.8 --contributions", "--coverage --output-format json"] {
                let line = format!("predict {model} --input {input} {flags}");
                let [train, serve] =
                    ["train", "serve"].map(|program| everything(&workspace, &format!("{program} {line}"), output));
                assert_eq!(train.0.code, 0, "{line}: {}", train.0.stderr);
                let said = |run: &Run| (run.code, run.stdout.clone(), run.stderr.clone());
                assert_eq!(said(&train.0), said(&serve.0), "{line}");
                assert!(train.1 == serve.1 && train.2 == serve.2, "{line} --output {output}");
            }
        }
    }
    let flags = "--input rows.csv --intervals --contributions";
    workspace.ok(&format!("serve predict --model {bundle} {flags} --output again.csv"));
    let written = workspace.read("again.csv");
    let header = format!(
        "{COLUMNS},prediction,prediction_low,prediction_high,base,contribution_sqft,contribution_bedrooms,contribution_bathrooms,\
         contribution_location,contribution_year_built,contribution_condition,warnings"
    );
    let lines: Vec<&str> = written.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, header.as_str()));
    assert!(lines[1].starts_with("2045,3,2.0,RURAL,1967,Fair,") && lines[1].ends_with(','), "{written}");
    assert!(lines[2].starts_with(",3,2.0,Rural,1967,Fair,"), "{written}");
    assert!(lines[2].ends_with(",sqft: is missing: what is usual in training rows takes its place"), "{written}");
    let levels = "Downtown, Mountain, Rural, Suburb, Urban, Waterfront";
    assert_eq!(
        workspace.read("again.csv.quarantine.csv"),
        format!(
            "line,column,value,reason,record\n\
             4,sqft,5,5 is below the minimum 200,\"5,3,2.0,Rural,1967,Fair\"\n\
             5,bedrooms,x,\"\"\"x\"\" is not an integer; and location: \"\"Atlantis\"\" is not one of the levels {levels}\",\
             \"2045,x,2.0,Atlantis,1967,Fair\"\n\
             6,,,the record has 2 fields where the header has 6,\"2045,3\"\n\
             7,,,the record has text after a closing quote,\"2045,3,2.0,\"\"Ru\"\"ral,1967,Fair\"\n"
        )
    );
}

#[test]
fn rows_of_json_come_back_as_they_came() {
    let workspace = packaged(400);
    workspace.write("rows.ndjson", LINES);
    let run = workspace.run("serve predict --models-dir models --input rows.ndjson --output out.ndjson");
    assert_eq!(run.stderr, "warning: 3 invalid rows are in out.ndjson.quarantine.csv\n");
    let written = workspace.read("out.ndjson");
    let lines: Vec<&str> = written.lines().collect();
    assert_eq!(lines.len(), 2, "{written}");
    assert!(
        lines[0].starts_with("{\"sqft\": 2045, \"bedrooms\": 3, \"price\": 9007199254740993,\"prediction\":"),
        "{written}"
    );
    assert!(lines[1].starts_with("{\"prediction\":"), "{written}");
    let rows: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(rows.iter().all(|row| row["prediction"].as_f64().is_some_and(f64::is_finite)), "{written}");
    assert!(rows[1]["warnings"].as_str().unwrap().contains("; bedrooms: is missing: "), "{written}");
    assert_eq!(
        workspace.read("out.ndjson.quarantine.csv"),
        "line,column,value,reason,record\n\
         3,sqft,5,5 is below the minimum 200,\"{\"\"sqft\"\": 5}\"\n\
         4,garden,,\"there is no field \"\"garden\"\"\",\"{\"\"sqft\"\": 2045, \"\"garden\"\": 1}\"\n\
         5,,,\"the record is not a JSON object: invalid type: sequence, expected an object with a value for each field at line 1 column 0\",\
         [1]\n"
    );
    // as a table it has the columns of the schema, with all digits
    workspace.ok("train predict --models-dir models --input rows.ndjson --output out.csv -q");
    let table = workspace.read("out.csv");
    assert!(table.starts_with("price,sqft,") && table.contains("\n9007199254740993,2045,3,,,,,"), "{table}");
    // an earlier output is replaced, another file is not
    workspace.ok("train predict --models-dir models --input rows.ndjson --output out.ndjson -q");
    workspace.write("mine.ndjson", LINES);
    let stderr = workspace.fails(2, "train predict --models-dir models --input rows.ndjson --output mine.ndjson");
    assert!(stderr.contains("exists and is not a table of predictions"), "{stderr}");
}

#[test]
fn columns_of_arrow_keep_their_types_and_digits() {
    let workspace = Workspace::new();
    let config = "table:\n  target: price\n  columns:\n    price: {type: float}\n    size: {type: float}\n    id: {type: id, required: true}\n";
    workspace.write("configs/pipeline.yaml", config).write("model.yaml", model_config("Ridge", ""));
    let rows: String = (0..60).map(|row| format!("{},{row},{row}\n", 1000 + 3 * row)).collect();
    workspace.write("raw.csv", format!("price,size,id\n{rows}"));
    workspace.ok(PROCESS);
    workspace.ok(ENGINEER);
    workspace.ok("train --config model.yaml --data featured.csv --models-dir models");
    python_script(
        &workspace,
        "import pyarrow as pa\n\
         ids = pa.array([9007199254740993, None, -9223372036854775807], pa.int64())\n\
         table = pa.table({'id': ids, 'size': pa.array([1.5, 2, 3], pa.float32()), 'price': pa.array([True, None, False])})\n\
         with pa.ipc.new_stream('rows.arrows', table.schema) as out:\n    out.write_table(table)\n    out.write_table(table.slice(2))\n\
         with pa.ipc.new_file('file.arrow', table.schema) as out:\n    out.write_table(table)\n",
    );
    workspace.ok("serve predict --models-dir models --input rows.arrows --output out.arrows -q");
    let read = "import json, pyarrow as pa\ntable = pa.ipc.open_stream('out.arrows').read_all()\n\
                print(json.dumps([[str(field.type) for field in table.schema], table['id'].to_pylist(), table['price'].to_pylist()]))\n";
    let found: Value = serde_json::from_str(&python_script(&workspace, read)).unwrap();
    let ids = json!([9_007_199_254_740_993_i64, -9_223_372_036_854_775_807_i64, -9_223_372_036_854_775_807_i64]);
    assert_eq!(found, json!([["int64", "float", "bool", "double", "string"], ids, [true, false, false]]));
    let quarantine = "line,column,value,reason,record\n2,id,,\"is missing, and the column is required\",\",2.0,\"\n";
    assert_eq!(workspace.read("out.arrows.quarantine.csv"), quarantine);
    workspace.ok("train predict --models-dir models --input rows.arrows --output out.csv -q");
    let table = workspace.read("out.csv");
    assert!(
        table.contains("\n9007199254740993,1.5,true,") && table.contains("\n-9223372036854775807,3.0,false,"),
        "{table}"
    );
    let stderr = workspace.fails(2, "train predict --models-dir models --input file.arrow --output o.csv");
    assert!(stderr.starts_with("error: file.arrow: is an Arrow file, not an Arrow stream"), "{stderr}");
}

#[test]
fn parquet_is_predicted_as_csv_is() {
    let workspace = packaged(400);
    workspace.write(
        "rows.csv",
        format!("{COLUMNS}\n{}", ROWS.lines().take(4).map(|line| format!("{line}\n")).collect::<String>()),
    );
    python_script(
        &workspace,
        "import csv, pyarrow as pa, pyarrow.parquet as pq\n\
         rows = list(csv.reader(open('rows.csv')))\n\
         pq.write_table(pa.table({name: [row[at] or None for row in rows[1:]] for at, name in enumerate(rows[0])}), 'rows.parquet')\n",
    );
    let flags = "--models-dir models --intervals --contributions -q";
    workspace.ok(&format!("train predict {flags} --input rows.csv --output out.csv"));
    workspace.ok(&format!("train predict {flags} --input rows.parquet --output of_parquet.csv"));
    assert_eq!(workspace.read("of_parquet.csv"), workspace.read("out.csv"));
    let quarantine = workspace.read("out.csv.quarantine.csv").replace("\n4,", "\n3,").replace("\n5,", "\n4,");
    assert_eq!(workspace.read("of_parquet.csv.quarantine.csv"), quarantine);
    for input in ["rows.csv", "rows.parquet"] {
        workspace.ok(&format!("train predict {flags} --input {input} --output out.parquet"));
        let read = "import json, pyarrow.parquet as pq\nprint(json.dumps(pq.read_table('out.parquet').to_pydict()))\n";
        let found: Value = serde_json::from_str(&python_script(&workspace, read)).unwrap();
        let table = workspace.read("out.csv");
        let (header, rows) = table.split_once('\n').unwrap();
        for (place, name) in header.split(',').enumerate().skip(6).take(10) {
            let cells: Vec<f64> = rows.lines().map(|line| line.split(',').nth(place).unwrap().parse().unwrap()).collect();
            assert_eq!(found[name], json!(cells), "{name} of {input}");
        }
        assert_eq!(found["sqft"], json!(["2045", null]));
    }
    workspace.write("none.csv", format!("{COLUMNS}\n5,3,2.0,Rural,1967,Fair\n"));
    let stderr = workspace.fails(1, "train predict --models-dir models --input none.csv --output none.parquet");
    assert!(
        stderr.ends_with("the reasons are in none.parquet.quarantine.csv\n") && !workspace.path("none.parquet").exists()
    );
}

#[test]
fn inputs_that_cannot_be_predicted_are_named() {
    let workspace = ready();
    let model = bundle(&workspace);
    workspace.ok("train predict --models-dir models --input raw.csv --output kept.csv -q");
    let kept = workspace.bytes("kept.csv");
    let line = format!("{COLUMNS}\n");
    workspace
        .write("some.csv", "sqft,location\n900,Rural\n")
        .write("extra.csv", format!("garden,{line}1,2045,3,2.0,Rural,1967,Fair\n"))
        .write("named.csv", format!("prediction,{line}"))
        .write("none.csv", format!("{line}5,3,2.0,Rural,1967,Fair\n"))
        .write("empty.csv", &line)
        .write("empty.ndjson", "\n")
        .write("nothing.csv", "")
        .write("zipped.csv", b"\x1f\x8b\x08")
        .write("zipped.ndjson", b"\x1f\x8b\x08")
        .write("utf16.csv", b"\xff\xfea\0")
        .write("cr.csv", "a,b\r1,2\r")
        .write("text.arrows", "sqft\n1\n")
        .write("long.csv", format!("{line}{}\n", "9".repeat(3 << 20)))
        .write("long.ndjson", format!("{{}}\n{{\"sqft\": {}}}\n", "9".repeat(3 << 20)));
    let absent =
        ["bedrooms", "bathrooms", "year_built", "condition"].map(|name| format!("column \"{name}\" is not in the header"));
    let unknown = "is not in the schema. Add it to table.columns (type text, if it is not used)";
    let advice = "Shorten or remove the cell";
    for (input, code, message) in [
        ("some.csv", 2, format!("some.csv:1: {}", absent.join("; "))),
        ("extra.csv", 2, format!("extra.csv:1: column \"garden\" {unknown}")),
        ("named.csv", 2, format!("named.csv:1: column \"prediction\" {unknown}")),
        ("none.csv", 1, "none.csv: none of its 1 rows is valid; the reasons are in kept.csv.quarantine.csv".into()),
        ("empty.csv", 2, "empty.csv: has a header but no rows".into()),
        ("empty.ndjson", 2, "empty.ndjson: has no rows".into()),
        ("nothing.csv", 2, "nothing.csv: is empty. Add a header and rows".into()),
        ("zipped.csv", 2, "zipped.csv: is compressed with gzip. Unpack it first".into()),
        ("zipped.ndjson", 2, "zipped.ndjson: is compressed with gzip. Unpack it first".into()),
        ("utf16.csv", 2, "utf16.csv: is UTF-16 text. Save the file as UTF-8".into()),
        ("cr.csv", 2, "cr.csv: has line ends with CR only. Save it with LF or CRLF".into()),
        ("text.arrows", 2, "text.arrows: is not an Arrow stream of version 1 or newer".into()),
        (
            "long.csv",
            2,
            format!(
                "long.csv:2: the record is longer than the limit of 1048576 bytes, which it exceeds in column 1 (\"sqft\"). {advice}"
            ),
        ),
        (
            "long.ndjson",
            2,
            "long.ndjson:2: the record is longer than the limit of 1048576 bytes. Shorten or remove it".into(),
        ),
        ("absent.csv", 2, "absent.csv: no such file; check the path".into()),
        ("configs.csv", 2, "configs.csv: is a folder, not a table".into()),
        ("kept.csv", 2, "--output kept.csv is the same file as --input kept.csv; name another output".into()),
        (
            "rows.txt",
            2,
            "rows.txt: cannot recognise the format: the name must end in .csv, .ndjson, .jsonl, .arrow, .arrows or .parquet"
                .into(),
        ),
    ] {
        if input == "configs.csv" {
            std::fs::create_dir(workspace.path(input)).unwrap();
        }
        for program in ["train predict --models-dir models".to_owned(), format!("serve predict --model {model}")] {
            let run = workspace.run(&format!("{program} --input {input} --output kept.csv"));
            assert_eq!((run.code, run.stderr), (code, format!("error: {message}\n")), "{program}");
        }
    }
    for (flags, name) in
        [("--input rows.parquet --output o.csv", "rows.parquet"), ("--input raw.csv --output o.parquet", "o.parquet")]
    {
        let stderr = workspace.fails(2, &format!("serve predict --model {model} {flags}"));
        assert_eq!(stderr, format!("error: {name}: this program cannot read or write Parquet. Use `train predict`\n"));
    }
    assert_eq!(workspace.bytes("kept.csv"), kept, "what was written before is lost");
}

#[test]
fn a_model_is_named_by_one_flag() {
    let workspace = houses(10);
    let mut transcript = Transcript::default();
    for program in ["train", "serve"] {
        for flags in
            ["", "--model packaged --models-dir models", "--models-dir models --intervals 90", "--models-dir nowhere"]
        {
            let line = format!("{program} predict --input raw.csv --output out.csv {flags}");
            assert_eq!(transcript.run(&workspace, line.trim_end()).code, 2);
        }
    }
    assert!(!workspace.path("out.csv").exists() && !workspace.path("out.csv.quarantine.csv").exists());
    assert_text!(transcript.text);
}
