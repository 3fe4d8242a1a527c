//! Intervals, contributions, imports and blends of models, and the warnings about their data.

use serde_json::Value;
use testkit::{Workspace, repository};

use crate::{
    ENGINEER, PROCESS, houses, model_config,
    snapshot::{Transcript, assert_text},
};

const TRAIN: &str = "train --config model.yaml --data featured.csv --models-dir models";

fn columns(text: &str) -> (Vec<String>, Vec<Vec<f64>>) {
    let mut lines = text.lines();
    let names: Vec<String> = lines.next().expect("a header").split(',').map(str::to_owned).collect();
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    let column = |place: usize| rows.iter().map(|row| row[place].parse().unwrap_or(f64::NAN)).collect();
    let values = (0..names.len()).map(column).collect();
    (names, values)
}

fn trained(algorithm: &str, model: &str) -> Workspace {
    let workspace = houses(1500);
    workspace.write("model.yaml", model_config(algorithm, model));
    [PROCESS, ENGINEER, TRAIN].into_iter().for_each(|line| {
        workspace.ok(line);
    });
    workspace
}

const BLEND: &str = "  blend:\n    - {algorithm: Ridge, weight: 1, target_transform: log, parameters: {standardize: true}}\n    - {algorithm: \
                     SVR, weight: 2, target_transform: log, parameters: {C: 10}}\n    - {algorithm: HistGradientBoosting, weight: 1, parameters: \
                     {n_estimators: 60}}\n";

#[test]
fn contributions_add_up_to_the_prediction_and_intervals_hold_it() {
    for (algorithm, model) in [
        ("GradientBoosting", "  target_transform: log\n"),
        ("HistGradientBoosting", "  parameters: {loss: gamma, n_estimators: 50}\n"),
        ("RandomForest", "  parameters: {n_estimators: 20}\n"),
        ("Ridge", "  target_transform: log\n"),
        ("Blend", BLEND),
    ] {
        let workspace = trained(algorithm, model);
        workspace.ok("train predict --models-dir models --input raw.csv --output p.csv --intervals 0.8 --contributions");
        let (names, values) = columns(&workspace.read("p.csv"));
        let first = names.iter().position(|name| name == "prediction").unwrap();
        assert_eq!(
            names[first..],
            [
                "prediction",
                "prediction_low",
                "prediction_high",
                "base",
                "contribution_sqft",
                "contribution_bedrooms",
                "contribution_bathrooms",
                "contribution_location",
                "contribution_year_built",
                "contribution_condition",
                "warnings"
            ]
        );
        let rows = values[0].len();
        let cell = |row: usize, place: usize| values[first + place][row];
        for row in 0..rows {
            let of = |place: usize| cell(row, place);
            let sum: f64 = (3..10).map(of).sum();
            assert!((sum - of(0)).abs() < 1e-6 * of(0).abs(), "{algorithm}: {sum} is not {}", of(0));
            assert!(of(1) <= of(2) && of(1).is_finite(), "{algorithm}");
        }
        let inside = (0..values[0].len())
            .filter(|row| (values[first + 1][*row]..=values[first + 2][*row]).contains(&values[first][*row]))
            .count();
        assert!(inside * 10 > values[0].len() * 9, "{algorithm}: {inside}");
        let record: Value = serde_json::from_str(&workspace.read("models/trained/metrics.json")).unwrap();
        let metric = |key: &str| {
            let points = record["metrics"].as_array().unwrap();
            points.iter().find(|point| point["key"] == key).and_then(|point| point["value"].as_f64())
        };
        // 270 test rows: three standard deviations are 5.5 %
        assert!(
            (0.84..0.96).contains(&metric("interval_coverage").unwrap()),
            "{algorithm}: {:?}",
            metric("interval_coverage")
        );
        let page = workspace.read("models/trained/report.html");
        assert!(page.contains("coverage on test rows") && page.contains("configured: "));
    }
}

#[test]
fn intervals_and_contributions_that_are_not_there_are_refused() {
    let workspace = trained("Ridge", "  cross_validation: {folds: 0}\n");
    let mut transcript = Transcript::default();
    for flags in ["--intervals", "--intervals 90"] {
        let line = format!("train predict --models-dir models --input raw.csv --output p.csv {flags}");
        assert_eq!(transcript.run(&workspace, &line).code, 2);
    }
    assert!(!workspace.path("p.csv").exists());
    assert_text!(transcript.text);
}

/// A table of what the models of `crates/boosting/golden` were trained on, and what LightGBM predicts for it.
fn golden(name: &str) -> (String, Vec<f64>) {
    let path = repository().join(format!("crates/boosting/golden/{name}.expected.json"));
    let expected: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut text = String::from("price,size,age,place,depth\n");
    let mut predicted = Vec::new();
    for (row, prediction) in expected["x"].as_array().unwrap().iter().zip(expected["predicted"].as_array().unwrap()) {
        let cell = |place: usize| row[place].as_f64();
        let Some(place) = cell(2).filter(|place| *place < 12.0) else { continue };
        let shown = |place: usize| cell(place).map_or(String::new(), |value| value.to_string());
        let prediction = prediction.as_f64().unwrap();
        text.push_str(&format!("{},{},{},{place},{}\n", prediction + 1.0, shown(0), shown(1), shown(3)));
        predicted.push(prediction);
    }
    (text, predicted)
}

fn table(encoding: &str) -> String {
    // the codes in another order than their own: they are matched by number
    let levels: Vec<String> = (0..12).rev().map(|level| level.to_string()).collect();
    format!(
        "table:\n  target: price\n  columns:\n    price: {{type: float}}\n    size: {{type: float}}\n    age: {{type: integer}}\n    \
         place: {{type: category, levels: [{}]}}\n    depth: {{type: float}}\nprocess: {{split: {{test: 0.3, seed: 1}}}}\n\
         engineer:\n  impute: {{number: none}}\n  encode: {{columns: {{place: {encoding}}}}}\n",
        levels.join(", ")
    )
}

const IMPORT: [&str; 2] = [
    "process --input raw.csv --output cleaned.csv --pipeline-config table.yaml",
    "engineer --input cleaned.csv --output featured.csv --preprocessor models/trained/preprocessor.bin --pipeline-config table.yaml",
];

#[test]
fn a_model_of_lightgbm_or_xgboost_becomes_ours() {
    for (name, file, source) in [
        ("lightgbm_regression", "lightgbm_regression.txt", "LightGBM"),
        ("xgboost_categories", "xgboost_categories.json", "XGBoost"),
    ] {
        let workspace = Workspace::new();
        let (raw, expected) = golden(name);
        workspace.write("raw.csv", raw);
        workspace.write("table.yaml", table("native"));
        workspace.write("model.yaml", model_config("HistGradientBoosting", ""));
        std::fs::copy(repository().join("crates/boosting/golden").join(file), workspace.path(file)).unwrap();
        IMPORT.into_iter().for_each(|line| {
            workspace.ok(line);
        });
        workspace
            .ok(&format!("train --config model.yaml --data featured.csv --models-dir models --import {file} --register"));
        workspace.ok("train predict --models-dir models --input raw.csv --output p.csv --contributions");
        let (names, values) = columns(&workspace.read("p.csv"));
        let found = &values[names.iter().position(|name| name == "prediction").unwrap()];
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found / expected - 1.0).abs() < 1e-6, "{name}: {found} is not {expected}");
        }
        let record: Value = serde_json::from_str(&workspace.read("models/trained/metrics.json")).unwrap();
        assert_eq!((&record["parameters"]["imported_from"], &record["tags"]["engine"]), (&source.into(), &source.into()));
        // a second time there is nothing to do; another file is another model
        let again =
            workspace.ok(&format!("train --config model.yaml --data featured.csv --models-dir models --import {file}"));
        assert!(again.contains("unchanged"), "{again}");
        let fitted = workspace.ok("train --config model.yaml --data featured.csv --models-dir models");
        assert!(fitted.contains("done: HistGradientBoosting"), "{fitted}");
    }
}

/// Codes of pandas are places in alphabetical order; levels stand in another, and are spelt otherwise.
#[test]
fn categories_of_pandas_are_the_levels_of_their_names() {
    let workspace = Workspace::new();
    let golden = std::fs::read_to_string(repository().join("crates/boosting/golden/lightgbm_pandas.csv")).unwrap();
    workspace.write("raw.csv", golden.replacen("predicted", "price", 1));
    let table = "table:\n  target: price\n  columns:\n    price: {type: float}\n    size: {type: float}\n    \
                 place: {type: category, levels: [West, Old Town, South, North]}\n    rooms: {type: category, levels: ['5', '3', '2', '1']}\n    \
                 lift: {type: category, levels: ['true', 'false']}\n    half: {type: category}\n\
                 process: {split: {test: 0.3, seed: 1}}\n\
                 engineer:\n  encode: {columns: {place: native, rooms: native, lift: native, half: native}}\n";
    workspace.write("table.yaml", table);
    workspace.write("model.yaml", model_config("HistGradientBoosting", ""));
    let model = std::fs::read_to_string(repository().join("crates/boosting/golden/lightgbm_pandas.txt")).unwrap();
    workspace.write("model.txt", &model);
    IMPORT.into_iter().for_each(|line| {
        workspace.ok(line);
    });
    let train = "train --config model.yaml --data featured.csv --models-dir models --import";
    workspace.ok(&format!("{train} model.txt"));
    workspace.ok("train predict --models-dir models --input raw.csv --output p.csv");
    let (names, values) = columns(&workspace.read("p.csv"));
    let of = |name: &str| &values[names.iter().position(|known| known == name).unwrap()];
    for (found, expected) in of("prediction").iter().zip(of("price")) {
        assert!((found / expected - 1.0).abs() < 1e-9, "{found} is not {expected}");
    }
    // a model without names is matched by position, and says so
    let unnamed = model
        .replace("feature_names=size place rooms lift half", "feature_names=Column_0 Column_1 Column_2 Column_3 Column_4");
    workspace.write("unnamed.txt", unnamed);
    let mut transcript = Transcript::default();
    assert_eq!(transcript.run(&workspace, &format!("{train} unnamed.txt")).code, 0);
    let record: Value = serde_json::from_str(&workspace.read("models/trained/metrics.json")).unwrap();
    assert!(
        record["warnings"].as_array().unwrap().iter().any(|text| text.as_str().unwrap().contains("matched by position"))
    );
    let list = model.lines().find(|line| line.starts_with("pandas_categorical:")).unwrap();
    for (from, to) in [
        ("\"West\"", "\"East\""),
        ("pandas_categorical:[[", "pandas_categorical:null ignored [["),
        (list, "pandas_categorical:null"),
    ] {
        transcript.note(&format!("{from:?} replaced by {to:?}"));
        workspace.write("altered.txt", model.replace(from, to));
        assert_eq!(transcript.run(&workspace, &format!("{train} altered.txt")).code, 2);
    }
    assert_text!(transcript.text);
}

#[test]
fn a_model_that_does_not_fit_the_table_is_refused() {
    let workspace = Workspace::new();
    workspace.write("raw.csv", golden("lightgbm_regression").0);
    workspace.write("model.yaml", model_config("HistGradientBoosting", ""));
    let model = std::fs::read_to_string(repository().join("crates/boosting/golden/lightgbm_regression.txt")).unwrap();
    workspace.write("other.txt", model.replace("feature_names=size age", "feature_names=sizes age"));
    workspace.write("model.txt", model);
    workspace.write("nothing.txt", "hello");
    workspace.write("table.yaml", table("ordinal").replace(" 0]", " 0], ordered: true"));
    IMPORT.into_iter().for_each(|line| {
        workspace.ok(line);
    });
    let mut transcript = Transcript::default();
    for file in ["model.txt", "other.txt", "nothing.txt"] {
        let line = format!("train --config model.yaml --data featured.csv --models-dir models --import {file}");
        assert_eq!(transcript.run(&workspace, &line).code, 2);
    }
    assert!(!workspace.path("models/trained/model.bin").exists());
    assert_text!(transcript.text);
}

#[test]
fn missing_values_are_for_trees_alone() {
    let workspace = Workspace::new();
    workspace.write("raw.csv", golden("lightgbm_regression").0);
    workspace.write("table.yaml", table("native"));
    workspace.write("model.yaml", model_config("Ridge", ""));
    IMPORT.into_iter().for_each(|line| {
        workspace.ok(line);
    });
    let mut transcript = Transcript::default();
    assert_eq!(transcript.run(&workspace, TRAIN).code, 2);
    assert_text!(transcript.text);
}

#[test]
fn what_should_make_one_doubt_is_said_with_its_evidence() {
    let workspace = houses(600);
    let raw = workspace.read("raw.csv");
    // a column that is made of the price
    let mut lines = raw.lines();
    let header = lines.next().unwrap();
    let place = header.split(',').position(|name| name == "price").unwrap();
    let leaky: Vec<String> = lines
        .map(|line| {
            let price = line.split(',').nth(place).unwrap_or_default().parse::<f64>().unwrap_or(1.0);
            format!("{line},{}", (price * 0.07).round())
        })
        .collect();
    workspace.write("raw.csv", format!("{header},tax\n{}\n", leaky.join("\n")));
    let config = workspace.read("configs/pipeline.yaml");
    workspace.write("configs/pipeline.yaml", config.replacen("    sqft: {", "    tax: {type: float}\n    sqft: {", 1));
    workspace.write("model.yaml", model_config("GradientBoosting", ""));
    [PROCESS, ENGINEER].into_iter().for_each(|line| {
        workspace.run(line);
    });
    let mut transcript = Transcript::default();
    assert_eq!(transcript.run(&workspace, TRAIN).code, 0);
    assert_text!(transcript.text);
}

#[test]
fn blends_that_do_not_hold_together_are_refused() {
    let workspace = trained("Ridge", "");
    let mut transcript = Transcript::default();
    for (what, model) in [
        ("a blend without parts", model_config("Blend", "")),
        ("parts of what is no blend", model_config("Ridge", BLEND)),
        ("an unknown algorithm", model_config("Blend", &BLEND.replace("SVR", "SVM"))),
        ("a parameter out of range", model_config("Blend", &BLEND.replace("C: 10", "C: -1"))),
        ("a weight of 0", model_config("Blend", &BLEND.replace("weight: 2", "weight: 0"))),
        ("a transform of the whole blend", model_config("Blend", &format!("{BLEND}  target_transform: log\n"))),
    ] {
        workspace.write("model.yaml", model);
        transcript.note(what);
        assert_eq!(transcript.run(&workspace, TRAIN).code, 2);
    }
    assert_text!(transcript.text);
}

#[test]
fn rows_count_as_much_as_their_weight_says() {
    let workspace = houses(600);
    [PROCESS, ENGINEER].into_iter().for_each(|line| {
        workspace.ok(line);
    });
    workspace.write("model.yaml", model_config("GradientBoosting", "  sample_weight: bedrooms\n"));
    let weighted = workspace.ok(TRAIN);
    workspace.write("model.yaml", model_config("GradientBoosting", ""));
    let plain = workspace.ok(TRAIN);
    assert!(weighted.contains("15 features") && plain.contains("16 features"), "{weighted}{plain}");
    let mut transcript = Transcript::default();
    for (algorithm, column) in [("Ridge", "bedrooms"), ("GradientBoosting", "importance")] {
        transcript.note(&format!("{algorithm}, sample_weight: {column}"));
        workspace.write("model.yaml", model_config(algorithm, &format!("  sample_weight: {column}\n")));
        assert_eq!(transcript.run(&workspace, TRAIN).code, 2);
    }
    assert_text!(transcript.text);
}

/// Tables that hardly anything can be learned of: an error that says why, or a model that predicts numbers.
#[test]
fn odd_tables_give_an_error_or_a_sound_model() {
    let line = |price: &str, size: &str, place: &str| format!("{price},{size},{place}\n");
    let tables: [(&str, Vec<String>); 6] = [
        ("two rows", vec![line("1", "2", "a"), line("3", "4", "b")]),
        ("a constant column", (0..60).map(|row| line(&row.to_string(), "7", "a")).collect()),
        ("a constant target", (0..60).map(|row| line("5", &row.to_string(), "a")).collect()),
        ("ten thousand levels", (0..10_000).map(|row| line(&(row % 97).to_string(), "1", &format!("l{row}"))).collect()),
        ("huge targets", (0..60).map(|row| line(&format!("{}e300", row % 7 + 1), &row.to_string(), "a")).collect()),
        ("nothing but gaps", (0..60).map(|row| line(&row.to_string(), "", "")).collect()),
    ];
    let table = "table:\n  target: price\n  columns:\n    price: {type: float}\n    size: {type: float}\n    place: {type: category}\n\
                 process: {split: {test: 0.3, seed: 3}}\nengineer:\n  impute: {number: none}\n  encode: {columns: {place: native}}\n";
    let mut trained = 0;
    for (what, rows) in tables {
        for algorithm in ["GradientBoosting", "HistGradientBoosting", "RandomForest", "ExtraTrees"] {
            let workspace = Workspace::new();
            workspace.write("raw.csv", format!("price,size,place\n{}", rows.concat()));
            workspace.write("table.yaml", table);
            workspace.write("model.yaml", model_config(algorithm, "  parameters: {n_estimators: 10}\n"));
            let codes: Vec<i32> = IMPORT
                .into_iter()
                .chain([TRAIN])
                .map(|line| {
                    let run = workspace.run(line);
                    assert!(run.code <= 2 && !run.stderr.contains("panicked"), "{what}, {algorithm}: {}", run.stderr);
                    run.code
                })
                .collect();
            if codes == [0, 0, 0] {
                trained += 1;
                workspace.ok("train predict --models-dir models --input raw.csv --output p.csv");
                let (names, values) = columns(&workspace.read("p.csv"));
                let place = names.iter().position(|name| name == "prediction").unwrap();
                assert!(values[place].iter().all(|value| value.is_finite()), "{what}, {algorithm}");
            }
        }
    }
    assert!(trained >= 12, "{trained}");
}
