//! What `process` does to rows.

use crate::houses;
use testkit::{Run, Workspace};

const HEADER: &str = "price,sqft,bedrooms,bathrooms,location,year_built,condition";

/// Forty good rows, in a form of their own for each `number`.
fn good_rows() -> Vec<String> {
    (0..40).map(|number| format!("{},{},3,2,Urban,1990,Good", 300_000 + number * 1000, 1500 + number)).collect()
}

fn process(table: &str) -> (Workspace, Run) {
    let workspace = Workspace::new();
    // few rows: one of them is more than the default allows
    let config = workspace.read("configs/pipeline.yaml").replacen("process:\n", "process:\n  max_quarantined: 0.1\n", 1);
    workspace.write("raw.csv", table).write("configs/pipeline.yaml", config);
    let run = workspace.run("process --input raw.csv --output out/c.csv");
    (workspace, run)
}

fn counts(run: &Run) -> String {
    run.stdout.lines().next().unwrap_or_default().replace("process   done: ", "")
}

#[test]
fn text_files_come_in_many_forms() {
    let rows = good_rows().join("\n");
    let plain = format!("{HEADER}\n{rows}\n");
    let (expected, _) = process(&plain);
    let expected = expected.read("out/c.csv");
    for (form, table) in [
        ("a byte-order mark", format!("\u{feff}{plain}")),
        ("CRLF", plain.replace('\n', "\r\n")),
        ("blank lines", format!("\n\n{}", plain.replace("Good\n", "Good\n\n"))),
        ("no last line end", plain.trim_end().to_owned()),
        ("quotes", plain.replace("Urban", "\"Urban\"")),
        ("blanks around cells", plain.replace(",3,", ", 3 ,")),
    ] {
        let (workspace, run) = process(&table);
        assert_eq!(run.code, 0, "{form}: {}", run.stderr);
        assert_eq!(workspace.read("out/c.csv"), expected, "{form}");
    }
    let swap = |line: &str| line.split(',').rev().collect::<Vec<_>>().join(",");
    let swapped: String = plain.lines().map(|line| swap(line) + "\n").collect();
    let (workspace, _) = process(&swapped);
    assert_eq!(workspace.read("out/c.csv"), expected, "columns in another order");
}

#[test]
fn every_row_is_accounted_for() {
    let mut rows = good_rows();
    rows.push(rows[0].clone());
    rows.push(rows[1].replace("Urban", " URBAN "));
    rows.push(",1500,3,2,Urban,1990,Good".into());
    rows.push("350000,abc,99,2,Urban,1990,Good".into());
    rows.push("350000,1500,3,2,\"Ur\nban\",1990,Great".into());
    rows.push("350000,1500,3".into());
    rows.push("350000,1600,?,NA,,1990,\"Good\"".into());
    let (workspace, run) = process(&format!("{HEADER}\n{}\n", rows.join("\n")));
    assert_eq!(counts(&run), "47 rows in = 41 out + 3 quarantined + 2 duplicates + 0 trimmed + 1 without target");
    assert_eq!(
        workspace.read("out/c.csv.quarantine.csv"),
        "line,column,value,reason,record\n\
         45,sqft,abc,\"\"\"abc\"\" is not a number; and bedrooms: 99 is above the maximum 15\",\"350000,abc,99,2,Urban,1990,Good\"\n\
         46,location,\"Ur\nban\",\"\"\"Ur\\nban\"\" is not one of the levels Downtown, Mountain, Rural, Suburb, Urban, Waterfront; nearest: \
         Urban; and condition: \"\"Great\"\" is not one of the levels Poor, Fair, Good, Excellent\",\"350000,1500,3,2,\"\"Ur\nban\"\",1990,Great\"\n\
         48,,,the record has 3 fields where the header has 7,\"350000,1500,3\"\n"
    );
    let report = workspace.json("out/c.csv.report.json");
    assert_eq!(report["balance"]["quarantined"], 3);
    assert_eq!(report["without_target_lines"], serde_json::json!([44]));
    assert_eq!(report["quarantine"]["by_column"], serde_json::json!({"": 1, "location": 1, "sqft": 1}));
    let location = report["columns"].as_array().unwrap().iter().find(|column| column["name"] == "location").unwrap();
    assert_eq!(location["missing"], 1);
    let cleaned = workspace.read("out/c.csv");
    let urban = cleaned.lines().filter(|line| line.ends_with(",Good,train") && line.contains(",Urban,"));
    let prices: Vec<f64> = urban.map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
    let mean = prices.iter().sum::<f64>() / prices.len() as f64;
    let top = &location["category"]["top"];
    assert_eq!((top.as_array().unwrap().len(), &top[0]["level"], &top[0]["count"]), (1, &"Urban".into(), &40.into()));
    assert!((top[0]["target_mean"].as_f64().unwrap() / mean - 1.0).abs() < 1e-12, "{top} {mean}");
}

/// A column that is mostly missing is read another way than one that seldom is: what comes out is the same.
#[test]
fn missing_cells_are_missing_however_many_there_are() {
    for share in [2, 50] {
        let rows: Vec<String> = (0..400)
            .map(|number| {
                let sqft = match number % share {
                    0 => ["", "NA", " ? ", "n/a"][number / share % 4].to_owned(),
                    1 if number == 1 => "oops".to_owned(),
                    _ => format!(" {}.50", 1500 + number),
                };
                format!("{},{sqft},3,2,Urban,1990,Good", 300_000 + number)
            })
            .collect();
        let (workspace, run) = process(&format!("{HEADER}\n{}\n", rows.join("\n")));
        assert_eq!(counts(&run), "400 rows in = 399 out + 1 quarantined + 0 duplicates + 0 trimmed + 0 without target");
        let report = workspace.json("out/c.csv.report.json");
        let sqft = report["columns"].as_array().unwrap().iter().find(|column| column["name"] == "sqft").unwrap();
        assert_eq!(sqft["missing"], 400 / share);
        assert!(workspace.read("out/c.csv").contains("300003.0,1503.5,3,"));
    }
}

#[test]
fn a_row_keeps_its_side_when_others_come() {
    let side = |table: &str| -> Vec<(String, String)> {
        let (workspace, _) = process(table);
        let cleaned = workspace.read("out/c.csv");
        cleaned
            .lines()
            .skip(1)
            .map(|line| line.rsplit_once(',').unwrap())
            .map(|(row, side)| (row.into(), side.into()))
            .collect()
    };
    let rows = good_rows();
    let few = side(&format!("{HEADER}\n{}\n", rows[..20].join("\n")));
    let reversed: Vec<String> = rows.iter().rev().cloned().collect();
    let many = side(&format!("{HEADER}\n{}\n", reversed.join("\n")));
    assert_eq!((few.len(), many.len()), (20, 40));
    assert!(few.iter().all(|row| many.contains(row)));
    assert!(few.iter().any(|(_, side)| side == "test"));
}

#[test]
fn rows_of_one_key_stay_together() {
    let workspace = Workspace::new();
    let mut table = String::from("price,size,house\n");
    for number in 0..200 {
        table.push_str(&format!("{},{},h{}\n", 1000 + number, number, number / 2));
    }
    let config = "table: {target: price, columns: {price: {type: float}, size: {type: float}, house: {type: id}}}\nprocess: {split: {key: house}}\n";
    workspace.write("raw.csv", table).write("c.yaml", config);
    workspace.ok("process --input raw.csv --output c.csv --pipeline-config c.yaml");
    let cleaned = workspace.read("c.csv");
    let rows: Vec<Vec<&str>> = cleaned.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 200);
    for pair in rows.chunks(2) {
        assert_eq!((pair[0][2], pair[0][3]), (pair[1][2], pair[1][3]));
    }
}

#[test]
fn trimming_touches_training_rows_alone() {
    let workspace = houses(2000);
    let config = workspace.read("configs/pipeline.yaml");
    let trim = config.replace("    seed: 42\n", "    seed: 42\n  trim:\n    iqr: {factor: 1.0}\n");
    assert_ne!(trim, config);
    workspace.write("trim.yaml", trim);
    workspace.ok("process --input raw.csv --output all.csv");
    workspace.ok("process --input raw.csv --output trimmed.csv --pipeline-config trim.yaml");
    let test = |file: &str| {
        let cleaned = workspace.read(file);
        cleaned.lines().filter(|line| line.ends_with(",test")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(test("all.csv"), test("trimmed.csv"));
    let report = workspace.json("trimmed.csv.report.json");
    let trimmed = report["balance"]["trimmed"].as_u64().unwrap();
    assert!(trimmed > 20, "{trimmed}");
    let high = report["trim"][0]["high"].as_f64().unwrap();
    let dearest = |file: &str, side: &str| {
        let cleaned = workspace.read(file);
        let prices = cleaned
            .lines()
            .filter(|line| line.ends_with(side))
            .map(|line| line.split(',').next().unwrap().parse::<f64>().unwrap());
        prices.fold(0.0, f64::max)
    };
    assert!(
        dearest("trimmed.csv", ",train") <= high
            && dearest("trimmed.csv", ",test") > high
            && dearest("all.csv", ",train") > high
    );
}

#[test]
fn a_column_that_knows_the_target_is_reported() {
    let workspace = houses(500);
    let raw = workspace.read("raw.csv");
    let mut lines = raw.lines();
    let mut leaky = format!("{},tax\n", lines.next().unwrap());
    for line in lines {
        let price: f64 = line.split(',').next().unwrap().parse().unwrap_or(0.0);
        leaky.push_str(&format!("{line},{}\n", price * 0.011 + 3.0));
    }
    let config = workspace.read("configs/pipeline.yaml").replace("process:\n", "    tax: {type: float}\nprocess:\n");
    workspace.write("leaky.csv", leaky).write("leaky.yaml", config);
    let run = workspace.run("process --input leaky.csv --output c.csv --pipeline-config leaky.yaml");
    assert!(
        run.stderr.starts_with("warning: tax may leak the target: its correlation with the target is 1.0000 in "),
        "{}",
        run.stderr
    );
    let report = workspace.json("c.csv.report.json");
    assert_eq!(report["suspected_leakage"].as_array().unwrap().len(), 1);
    let again = workspace.run("process --input leaky.csv --output c.csv --pipeline-config leaky.yaml");
    assert!(again.stdout.starts_with("process   unchanged"), "{}", again.stdout);
    assert_eq!(again.stderr, run.stderr);
}
