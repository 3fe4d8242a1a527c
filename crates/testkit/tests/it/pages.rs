//! The reports as pages: whole, safe, small, and true to the figures beside them.

use testkit::{Dirt, Workspace, write_houses};

use crate::{PROCESS, houses};

const PROCESS_PAGE: &str = "cleaned.csv.report.html";
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
    assert!(leakage.contains("asking_price"), "{leakage}");
}

#[test]
fn pages_stay_small_at_a_million_rows_and_at_many_columns() {
    let workspace = Workspace::new();
    let mut table = Vec::new();
    write_houses(&mut table, 1_000_000, 2026, Dirt::Full).expect("a table in memory");
    workspace.write("raw.csv", table);
    workspace.ok(PROCESS);
    let size = workspace.read(PROCESS_PAGE).len();
    assert!(size < LARGEST, "{size}");

    let wide = Workspace::new();
    let names: Vec<String> = (0..400).map(|column| format!("a_rather_long_name_of_a_column_{column}")).collect();
    let mut table = format!("target,{}\n", names.join(","));
    for row in 0..900u64 {
        let cells: Vec<String> = (1..=400u64).map(|column| (row * column * 7919 % 1009).to_string()).collect();
        table.push_str(&format!("{},{}\n", row * 31 % 997 + 1, cells.join(",")));
    }
    wide.write("raw.csv", table);
    wide.ok("process init --input raw.csv --target target --output any.yaml");
    wide.ok(&format!("{PROCESS} --pipeline-config any.yaml"));
    let page = wide.read(PROCESS_PAGE);
    check(&page);
    assert!(page.len() < LARGEST, "{}", page.len());
}
