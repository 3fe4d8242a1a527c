//! The reports as pages: whole, safe, small, and true to the figures beside them.

use testkit::{Dirt, Workspace, write_houses};

use crate::{
    ENGINEER, PROCESS, houses, model_config,
    snapshot::{assert_text, text_of_page},
};

const PROCESS_PAGE: &str = "cleaned.csv.report.html";
const TRAIN_PAGE: &str = "models/trained/report.html";
const LARGEST: usize = 500_000;

/// Every element is closed, in order; nothing is fetched, nothing runs.
fn check(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>\n<html lang=en>") && page.ends_with("</html>\n"));
    for word in [
        "http:",
        "https:",
        "//",
        "<script",
        "<link",
        "<iframe",
        "<img",
        "@import",
        "url(",
        "javascript:",
        " onload",
        "NaN",
        "inf",
    ] {
        assert!(!page.contains(word), "the page has {word}");
    }
    let mut open = Vec::new();
    for tag in page.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').unwrap_or_else(|| panic!("<{} is not closed", &tag[..tag.len().min(40)]));
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap_or_default();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "in {tag}");
        } else if !tag.ends_with('/') && !["!DOCTYPE", "meta"].contains(&name) {
            open.push(name);
        }
    }
    assert_eq!(open, [""; 0]);
}

fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let from = page.split(&format!("<h2>{heading}</h2>")).nth(1).unwrap_or_else(|| panic!("no section {heading}"));
    from.split("</section>").next().unwrap()
}

#[test]
fn the_page_of_process_says_what_came_and_where_it_went() {
    let workspace = houses(2000);
    workspace.ok(PROCESS);
    let page = workspace.read(PROCESS_PAGE);
    check(&page);
    assert!(page.len() < LARGEST);
    let report = workspace.json("cleaned.csv.report.json");
    let rows = section(&page, "Rows");
    // what came out is there as its two parts
    for (name, count) in report["balance"].as_object().unwrap().iter().filter(|(name, _)| *name != "rows_out") {
        let count = count.as_u64().unwrap();
        let written = if count >= 1000 { format!("{},{:03}", count / 1000, count % 1000) } else { count.to_string() };
        assert!(rows.contains(&format!(">{written}<")), "{name}: {count} is not in the section");
    }
    let columns = section(&page, "Columns");
    for column in report["columns"].as_array().unwrap() {
        assert!(columns.contains(column["name"].as_str().unwrap()));
    }
    let quarantine = section(&page, "Quarantine");
    let sample = workspace.read("cleaned.csv.quarantine.csv");
    let line = sample.lines().nth(1).unwrap().split(',').next().unwrap().to_owned();
    assert!(quarantine.contains(&format!(">{line}<")), "line {line} is not shown");
    assert_text!(text_of_page(&page));
}

#[test]
fn the_page_of_train_says_what_was_measured_beside_what_a_guess_would_reach() {
    let workspace = houses(2000);
    workspace.write("model.yaml", model_config("Ridge", "  cross_validation:\n    folds: 4\n"));
    for line in [PROCESS, ENGINEER, "train --config model.yaml --data featured.csv --models-dir models"] {
        workspace.ok(line);
    }
    let page = workspace.read(TRAIN_PAGE);
    check(&page);
    assert!(page.len() < LARGEST);
    let record = workspace.json("models/trained/metrics.json");
    let metric = |key: &str| {
        let points = record["metrics"].as_array().unwrap();
        points.iter().find(|point| point["key"] == key && point["step"] == 0).unwrap()["value"].as_f64().unwrap()
    };
    let scores = section(&page, "Metrics");
    for key in ["r2", "cv_r2", "train_r2", "baseline_r2", "baseline_median_r2"] {
        let written = format!("{:.4}", metric(key)).replace('-', "−");
        assert!(scores.replace('-', "−").contains(&written), "{key} {written} is not in the scores");
    }
    assert!(section(&page, "Predictions").matches("<svg").count() >= 3);
    assert_text!(text_of_page(&page));
    // the worst row is the one by which the largest error was made
    let predictions = workspace.read("models/trained/predictions.csv");
    let pairs = predictions.lines().skip(1).map(|line| line.split_once(',').unwrap());
    let errors = pairs.map(|(y_true, y_pred)| (y_true.parse::<f64>().unwrap() - y_pred.parse::<f64>().unwrap()).abs());
    let (place, _) = errors.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    let featured = workspace.read("featured.csv");
    let tests = featured.lines().enumerate().filter(|(_, line)| line.ends_with(",test"));
    let line = tests.map(|(index, _)| index + 1).nth(place).unwrap();
    assert!(section(&page, "Largest errors").contains(&format!("<tbody>\n<tr><td class=n>{line}</td>")));
}

#[test]
fn text_from_a_table_stays_text() {
    let workspace = houses(500);
    let mut table = workspace.read("raw.csv");
    table.push_str("100000,2000,3,2.0,<script>alert(1)</script>,1990,Good\n100000,\"<img src=x onerror=\"\"a()\"\">\",3,2.0,Urban,1990,Good\n");
    workspace.write("raw.csv", table);
    workspace.ok(PROCESS);
    let page = workspace.read(PROCESS_PAGE);
    check(&page);
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(page.contains("&lt;img src=x onerror=&quot;a()&quot;&gt;"));
}

#[test]
fn the_widest_range_of_numbers_is_drawn() {
    let workspace = Workspace::new();
    let mut table = String::from("y,x\n1,1e308\n2,-1e308\n");
    (3..60).for_each(|row| table.push_str(&format!("{row},{}\n", row % 7)));
    workspace.write("raw.csv", table);
    workspace.write(
        "wide.yaml",
        "table:\n  target: y\n  columns:\n    y: {type: integer}\n    x: {type: float, min: -1.7e308, max: 1.7e308}\n",
    );
    workspace.ok(&format!("{PROCESS} --pipeline-config wide.yaml"));
    check(&workspace.read(PROCESS_PAGE));
    let edges = &workspace.json("cleaned.csv.report.json")["columns"][1]["number"]["histogram"]["edges"];
    assert!(edges.as_array().unwrap().len() == 21 && edges.as_array().unwrap().iter().all(serde_json::Value::is_number));
}

#[test]
fn suspected_leakage_is_shown_with_its_evidence() {
    let workspace = houses(500);
    let raw = workspace.read("raw.csv");
    let mut lines = raw.lines();
    let mut table = format!("{},asking_price\n", lines.next().unwrap());
    for line in lines {
        let price = line.split(',').next().unwrap().parse::<f64>().map_or(String::new(), |price| (price * 1.02).to_string());
        table.push_str(&format!("{line},{price}\n"));
    }
    workspace.write("raw.csv", table);
    workspace.ok("process init --input raw.csv --target price --output any.yaml");
    workspace.run(&format!("{PROCESS} --pipeline-config any.yaml"));
    let page = workspace.read(PROCESS_PAGE);
    check(&page);
    let leakage = section(&page, "Suspected leakage");
    assert_text!(text_of_page(leakage));
}

#[test]
fn pages_stay_small_at_a_million_rows_and_at_many_columns() {
    let workspace = Workspace::new();
    let mut table = Vec::new();
    write_houses(&mut table, 1_000_000, 2026, Dirt::Full).expect("a table in memory");
    workspace.write("raw.csv", table);
    workspace.write("model.yaml", model_config("LinearRegression", ""));
    for line in [PROCESS, ENGINEER, "train --config model.yaml --data featured.csv --models-dir models"] {
        workspace.ok(line);
    }
    let sizes = [PROCESS_PAGE, TRAIN_PAGE].map(|page| workspace.read(page).len());
    assert!(sizes.iter().all(|size| *size < LARGEST), "{sizes:?}");

    let wide = Workspace::new();
    let names: Vec<String> = (0..400).map(|column| format!("a_rather_long_name_of_a_column_{column}")).collect();
    let mut table = format!("target,{}\n", names.join(","));
    for row in 0..900u64 {
        let cells: Vec<String> = (1..=400u64).map(|column| (row * column * 7919 % 1009).to_string()).collect();
        table.push_str(&format!("{},{}\n", row * 31 % 997 + 1, cells.join(",")));
    }
    wide.write("raw.csv", table);
    wide.ok("process init --input raw.csv --target target --output any.yaml");
    wide.write("model.yaml", "model:\n  name: m\n  best_model: Ridge\n  target_variable: target\n");
    wide.ok(&format!("{PROCESS} --pipeline-config any.yaml"));
    wide.ok(&format!("{ENGINEER} --pipeline-config any.yaml"));
    wide.ok("train --config model.yaml --data featured.csv --models-dir models");
    for page in [PROCESS_PAGE, TRAIN_PAGE] {
        let page = wide.read(page);
        check(&page);
        assert!(page.len() < LARGEST, "{}", page.len());
    }
}
