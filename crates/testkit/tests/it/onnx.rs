//! A model that opens anywhere: what plain Python answers is what we predict.

use serde_json::Value;
use testkit::{Workspace, repository};

use crate::{
    houses, model_config,
    server::{NEWEST, OLDEST, Server, python},
};

/// Every kind of column, and derived features that use every function.
const TABLE: &str = r#"
table:
  target: price
  missing: ["", "NA", "?"]
  columns:
    id: {type: id}
    price: {type: float, min: 1}
    size: {type: float, min: 10, max: 1000}
    rooms: {type: integer, required: true, min: 0}
    depth: {type: float, missing: ["", "-999"]}
    sold: {type: date, format: "%m/%d/%Y"}
    built: {type: date}
    listed: {type: date, format: "%d %b %y"}
    seen: {type: date, format: "%B %d, %Y %H:%M"}
    place: {type: category, levels: [Old Town, Río, "A|B (c)"], aliases: {centre: Old Town, "the.river": Río}}
    state: {type: category, levels: [poor, fair, good], ordered: true}
    agent: {type: category}
    zone: {type: category, levels: ["98101", "98102", Nil], required: true}
    note: {type: text}
process: {split: {test: 0.3, seed: 7}}
engineer:
  reference_year: 2026
  derive:
    sums: size + rooms * 2 - depth / 3
    powers: pow(rooms, 2) + size ^ 0.5 + (rooms - 3) ^ 2
    logs: log(size) + log1p(depth / 100) + exp(rooms / 10) + sqrt(abs(depth))
    steps: floor(size / 7) + round(size / 10) + round(-depth / 4)
    least: min(size, rooms * 30, 200) + max(depth, 0)
    filled: if_missing(depth, -1) * 3
    undefined: 1 / (rooms - 2) + log(rooms - 1)
    year_sold: year(sold)
    month_sold: month(sold) + day(sold) / 31
    weekday_built: weekday(built)
    seen_later: seen - listed
    days: sold - built
    since: year(listed) * 12 + month(listed) + day(listed)
    age: reference_year - year(built)
    nested: sums * 2 + if_missing(undefined, 0)
    constant: 2 + 3
  drop: [nested]
  impute: {number: IMPUTE, constants: {depth: 5, agent: Bo}}
  encode: {max_levels: 3, columns: {state: ordinal, agent: AGENT}}
  unknown_category: UNKNOWN
"#;

/// Rows that try what a table can hold.
fn rows(rows: usize) -> String {
    let mut rng = fastrand::Rng::with_seed(11);
    let mut text = String::from("id,price,size,rooms,depth,sold,built,listed,seen,place,state,agent,zone,note\n");
    let months = ["Jan", "feb", "MAR", "Apr", "May", "jun", "Jul", "Aug", "Sep", "oct", "Nov", "Dec"];
    for row in 0..rows {
        let mut pick = |of: &[&str]| of[rng.usize(..of.len())].to_owned();
        let place =
            pick(&["Old Town", " old   TOWN ", "OLD\u{a0}TOWN", "centre", "the.river", "Río", "RÍO", "a|b (C)", "NA", ""]);
        let state = pick(&["poor", "Fair", "GOOD", "", "?"]);
        let agent = pick(&["Bo", "Bo", "Al", "Al  Smith", "Cy", "Di", "Eve", "", "NA"]);
        let zone = pick(&["98101", "98102", "Nil", "NIL "]);
        let note = pick(&["", "\"a, b\"", "x"]);
        let mut chance = |share: f64| rng.f64() < share;
        let (no_size, no_depth, odd_depth, no_sold, no_built) =
            (chance(0.05), chance(0.1), chance(0.1), chance(0.1), chance(0.05));
        let size = 20.0 + 400.0 * rng.f64();
        let count = rng.u32(0..9);
        let depth = 60.0 * rng.f64() - 20.0;
        let sold = format!("{}/{}/{}", rng.u32(1..=12), rng.u32(1..=28), rng.u32(1995..2030));
        let built = match rng.u32(..3) {
            0 => format!("{:04}-{:02}-{:02}", rng.u32(1800..2030), rng.u32(1..=12), rng.u32(1..=28)),
            1 => format!("{}-02-29", 4 * rng.u32(476..505)),
            _ => format!("{:04}-12-31T10:20:30", rng.u32(1900..2030)),
        };
        let listed = format!("{} {} {:02}", rng.u32(1..=28), months[rng.usize(..12)], rng.u32(0..100));
        let seen =
            format!("\"{} {}, {} 12:30\"", ["May", "june", "AUGUST"][rng.usize(..3)], rng.u32(1..=30), rng.u32(1..2400));
        let price = 1000.0 * (size + 20.0 * f64::from(count)) * (0.9 + 0.2 * rng.f64());
        let or = |missing: bool, value: String| if missing { String::new() } else { value };
        let depth = if odd_depth { "-999".to_owned() } else { format!("{depth:.3}") };
        text.push_str(&format!(
            "{row},{price:.2},{},{count},{},{},{},{listed},{seen},{place},{state},{agent},{zone},{note}\n",
            or(no_size, format!("{size:.2}")),
            or(no_depth, depth),
            or(no_sold, sold),
            or(no_built, built)
        ));
    }
    text
}

/// Rows that are invalid, or have levels that are not in the training rows.
const BROKEN: &str = "\
id,price,size,rooms,depth,sold,built,listed,seen,place,state,agent,zone,note
1,,5,3,1,1/2/2015,1990-01-01,1 Jan 90,,Río,poor,Bo,98101,
2,,50,,1,1/2/2015,1990-01-01,1 Jan 90,,Río,poor,Bo,98101,
3,,50,2.5,1,1/2/2015,1990-01-01,1 Jan 90,,Río,poor,Bo,98101,
4,,50,-1,1,1/2/2015,1990-01-01,1 Jan 90,,Río,poor,Bo,98101,
5,,50,3,1,2/30/2015,1990-01-01,1 Jan 90,,Río,poor,Bo,98101,
6,,50,3,1,13/1/2015,1990-01-01,1 Jan 90,,Río,poor,Bo,98101,
7,,50,3,1,1/2/2015,yesterday,1 Jan 90,,Río,poor,Bo,98101,
8,,50,3,1,1/2/2015,1990-01-01,1 Foo 90,,Río,poor,Bo,98101,
9,,50,3,1,1/2/2015,1990-01-01,1 Jan 90,,Atlantis,poor,Bo,98101,
10,,50,3,1,1/2/2015,1990-01-01,1 Jan 90,,Río,superb,Bo,98101,
11,,50,3,1,1/2/2015,1990-01-01,1 Jan 90,,Río,poor,Nobody,98101,
12,,50,3,1,1/2/2015,1990-01-01,1 Jan 90,,Río,poor,bo,98101,
13,,50,3,1,1/2/2015,1990-01-01,1 Jan 90,,Río,poor,Bo,,
14,,50,3,1,1/2/2015,1990-01-01,1 Jan 90,,Río,poor,Bo,98101,
15,,50,3,1,2015-01-02,1990-01-01,1 Jan 90,,Río,poor,Bo,98102,
";

/// What Python answers.
fn ask(workspace: &Workspace, version: &str, uri: &str, model: &str, raw: &str) -> Value {
    let mut command = python(version);
    command.arg(repository().join("crates/testkit/golden/predict_onnx.py")).args([uri, model, raw]);
    let output = command.current_dir(workspace.path("")).output().expect("python runs");
    let stdout = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// What we predict for each row of a raw table; `None` where we refuse it.
fn ours(workspace: &Workspace, raw: &str) -> Vec<Option<f64>> {
    let run = workspace.run(&format!("train predict --models-dir models --input {raw} --output predicted.ndjson"));
    let lines = workspace.read(raw).lines().count() - 1;
    if run.code == 1 {
        return vec![None; lines];
    }
    assert_eq!(run.code, 0, "{}", run.stderr);
    let refused: Vec<usize> = workspace
        .read("predicted.ndjson.quarantine.csv")
        .lines()
        .skip(1)
        .map(|line| line.split(',').next().unwrap().parse().unwrap())
        .collect();
    let predicted = workspace.read("predicted.ndjson");
    let prediction = |line: &str| serde_json::from_str::<Value>(line).unwrap()["prediction"].as_f64().unwrap();
    let mut predicted = predicted.lines().map(prediction);
    (0..lines).map(|row| if refused.contains(&(row + 2)) { None } else { predicted.next() }).collect()
}

/// Checks that `theirs` is `ours` to 1e-5 of it, and nothing where we refuse; a text of an error counts as a refusal.
fn agree(ours: &[Option<f64>], theirs: &Value, what: &str) {
    let theirs = theirs.as_array().unwrap_or_else(|| panic!("{what}: no answers"));
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (row, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        match (ours, theirs.as_f64()) {
            (Some(ours), Some(theirs)) => {
                assert!((ours - theirs).abs() <= 1e-5 * ours.abs(), "{what}, row {row}: {ours} against {theirs}");
            }
            (None, None) => {}
            _ => panic!("{what}, row {row}: {ours:?} against {theirs}"),
        }
    }
}

fn trained(unknown: &str, algorithm: &str, model: &str) -> Workspace {
    let workspace = Workspace::new();
    // trees take what is missing and what has no order as it is
    let trees = !["Ridge", "LinearRegression", "ElasticNet", "SVR", "Blend"].contains(&algorithm);
    let (impute, agent) = if trees { ("none", "native") } else { ("mean", "one_hot") };
    workspace.write("table.yaml", TABLE.replace("UNKNOWN", unknown).replace("IMPUTE", impute).replace("AGENT", agent));
    workspace.write("raw.csv", rows(600));
    workspace.write("broken.csv", BROKEN);
    workspace.write("model.yaml", model_config(algorithm, model));
    workspace.ok("process --input raw.csv --output cleaned.csv --pipeline-config table.yaml");
    workspace.ok(
        "engineer --input cleaned.csv --output featured.csv --preprocessor models/trained/preprocessor.bin --pipeline-config \
         table.yaml",
    );
    workspace.ok("train --config model.yaml --data featured.csv --models-dir models --register");
    workspace
}

#[test]
fn python_answers_what_we_predict_for_every_kind_of_column() {
    const BLEND: &str = "  blend:\n    - {algorithm: Ridge, weight: 1, target_transform: log}\n    - {algorithm: SVR, weight: 2, \
                         target_transform: log}\n    - {algorithm: GradientBoosting, weight: 1}\n";
    for (unknown, algorithm, model) in [
        ("reject", "Ridge", "  target_transform: log\n"),
        ("other", "LinearRegression", ""),
        ("other", "ElasticNet", "  target_transform: log\n"),
        ("reject", "HistGradientBoosting", "  parameters: {min_samples_leaf: 5}\n"),
        ("other", "GradientBoosting", "  target_transform: log\n"),
        ("other", "HistGradientBoosting", "  parameters: {loss: gamma}\n"),
        ("reject", "RandomForest", "  parameters: {n_estimators: 20}\n"),
        ("other", "ExtraTrees", "  parameters: {n_estimators: 20}\n"),
        ("other", "Blend", BLEND),
    ] {
        let workspace = trained(unknown, algorithm, model);
        for (version, model) in [(OLDEST, "models:/m@challenger"), (NEWEST, "models:/m/1")] {
            let what = format!("{algorithm} of MLflow {version}, unknown levels {unknown}");
            // the newest migrates what it opens, so the oldest comes first
            let found = ask(&workspace, version, "sqlite:///mlflow.db", model, "raw.csv");
            let expected = ours(&workspace, "raw.csv");
            assert!(expected.iter().all(Option::is_some), "{what}: {}", workspace.read("predicted.ndjson.quarantine.csv"));
            agree(&expected, &found["together"], &what);
            agree(&expected, &found["alone"], &what);
            agree(&expected, &found["as_text"], &what);
            assert_eq!(found["none"], serde_json::json!([]));
            assert!(found["example"][0].as_f64().is_some_and(|typical| typical > 0.0), "{what}: {}", found["example"]);
            assert_eq!(found["flavors"], serde_json::json!(["house_price_predictor", "onnx", "python_function"]));
            let columns = ["size", "rooms", "depth", "sold", "built", "listed", "seen", "place", "state", "agent", "zone"];
            assert_eq!(found["columns"], serde_json::json!(columns));

            let found = ask(&workspace, version, "sqlite:///mlflow.db", model, "broken.csv");
            let expected = ours(&workspace, "broken.csv");
            let accepted: Vec<usize> = (1..).zip(&expected).filter(|(_, row)| row.is_some()).map(|(id, _)| id).collect();
            let known: &[usize] = if unknown == "other" { &[9, 10, 11, 12, 14, 15] } else { &[14, 15] };
            assert_eq!(accepted, known, "{what}");
            agree(&expected, &found["alone"], &what);
        }
    }
}

#[test]
fn a_model_served_by_mlflow_answers_over_http() {
    let workspace = houses(500);
    workspace.write("model.yaml", model_config("Ridge", "  target_transform: log\n"));
    for line in
        [crate::PROCESS, crate::ENGINEER, "train --config model.yaml --data featured.csv --models-dir models --register"]
    {
        workspace.ok(line);
    }
    let server = Server::serve_model(&workspace, NEWEST, "models:/m@challenger");
    let body = r#"{"dataframe_split": {"columns": ["sqft", "bedrooms", "bathrooms", "location", "year_built", "condition"],
        "data": [[2045, 3, 2.0, "RURAL", 1967, "Fair"], [null, 3, 2.0, null, 1967, "Fair"], [2045, 3, 2.0, "Atlantis", 1967, "Fair"]]}}"#;
    let answer = server.post("/invocations", body);
    workspace.write(
        "rows.csv",
        "sqft,bedrooms,bathrooms,location,year_built,condition\n2045,3,2.0,RURAL,1967,Fair\n,3,2.0,,1967,Fair\n",
    );
    let expected = ours(&workspace, "rows.csv");
    let answers: Value = serde_json::from_str(&answer.replace("NaN", "null")).expect("JSON from the server");
    let answers: Vec<Value> =
        answers["predictions"].as_array().expect(&answer).iter().map(|row| row["prediction"].clone()).collect();
    agree(&expected, &Value::from(answers[..2].to_vec()), "served");
    assert!(answers[2].is_null(), "{answer}");
}

#[test]
fn what_cannot_be_written_as_onnx_is_logged_without() {
    let workspace = Workspace::new();
    // a form of date that operators cannot take apart
    let table = "table:\n  target: price\n  columns:\n    price: {type: float}\n    sold: {type: date, format: '%j %Y'}\n\
                 engineer:\n  derive: {year: year(sold)}\n";
    workspace.write("table.yaml", table);
    let rows: Vec<String> = (1..200).map(|day| format!("{}, {day} {}", 1000 + day * 7, 1990 + day % 9)).collect();
    workspace.write("raw.csv", format!("price,sold\n{}\n", rows.join("\n")));
    workspace.write("model.yaml", model_config("RandomForest", "  parameters: {n_estimators: 10}\n"));
    workspace.ok("process --input raw.csv --output cleaned.csv --pipeline-config table.yaml");
    workspace.ok("engineer --input cleaned.csv --output featured.csv --preprocessor p.bin --pipeline-config table.yaml");
    let run = workspace.run("train --config model.yaml --data featured.csv --models-dir models --register");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("warning: the model is logged without ONNX, so Python cannot load it: "), "{}", run.stderr);
    let script = "import mlflow, sys\nmlflow.set_tracking_uri('sqlite:///mlflow.db')\n\
                  mlflow.pyfunc.load_model('models:/m@challenger')\n";
    let output = python(NEWEST).args(["-c", script]).current_dir(workspace.path("")).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && stderr.contains("does not have the \"python_function\" flavor"), "{stderr}");
}
