//! What `serve` answers: the same predictions as everywhere, in every form, and what is wrong with a row.

use serde_json::{Map, Value, json};
use testkit::Workspace;

use crate::{
    bundle,
    served::{Served, a_house, answer, packaged},
    server::{NEWEST, python},
    snapshot::{Transcript, assert_text},
};

/// The test rows of the cleaned table: raw columns, and the target.
fn test_rows(workspace: &Workspace) -> Vec<(Value, f64)> {
    let text = workspace.read("cleaned.csv");
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let number = |cell: &str| cell.parse::<f64>().map_or_else(|_| json!(cell), |value| json!(value));
    lines
        .filter(|line| line.ends_with(",test"))
        .map(|line| {
            let cells = names.iter().zip(line.split(','));
            let row: Map<String, Value> = cells
                .clone()
                .filter(|(name, _)| !["price", "split"].contains(name))
                .map(|(name, cell)| ((*name).to_owned(), if cell.is_empty() { Value::Null } else { number(cell) }))
                .collect();
            let price = cells.clone().find(|(name, _)| **name == "price").unwrap().1;
            (Value::Object(row), price.parse().unwrap())
        })
        .collect()
}

#[test]
fn what_is_measured_is_what_is_served() {
    let workspace = packaged(1500);
    let served = Served::start(&workspace, "");
    let rows = test_rows(&workspace);
    let recorded: Vec<(f64, f64)> = workspace
        .read("models/trained/predictions.csv")
        .lines()
        .skip(1)
        .map(|line| line.split_once(',').unwrap())
        .map(|(y_true, y_pred)| (y_true.parse().unwrap(), y_pred.parse().unwrap()))
        .collect();
    assert!(rows.len() > 200 && rows.len() == recorded.len());

    let mut sum = 0.0;
    for ((row, y_true), (there, predicted)) in rows.iter().zip(&recorded) {
        let found = served.predict(row);
        assert_eq!((y_true, found.to_bits()), (there, predicted.to_bits()), "{row}");
        sum += (y_true - found).abs();
    }
    let metrics = workspace.json("models/trained/metrics.json");
    let points = metrics["metrics"].as_array().unwrap();
    let recorded_mae = points.iter().find(|point| point["key"] == "mae").unwrap()["value"].as_f64().unwrap();
    assert_eq!(sum / rows.len() as f64, recorded_mae);

    // in every other form it is the same
    let expected: Vec<f64> = recorded.iter().map(|(_, predicted)| *predicted).collect();
    let all: Vec<Value> = rows.iter().map(|(row, _)| row.clone()).collect();
    let numbers = |value: &Value| value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect::<Vec<f64>>();
    let (status, list) = served.post("/batch-predict", &json!(all));
    assert_eq!((status, numbers(&list)), (200, expected.clone()));
    // long enough to be read in parts
    let (_, list) = served.post("/batch-predict", &json!([all.as_slice(); 12].concat()));
    assert_eq!(numbers(&list), [expected.as_slice(); 12].concat());
    let (_, details) = served.post("/batch-predict?details=true", &json!(all));
    let single = served.post("/predict", &all[3]).1;
    assert_eq!(details[3]["confidence_interval"], single["confidence_interval"]);
    let lines: String = all.iter().map(|row| format!("{row}\n")).collect();
    let (_, reply) = served.text("/batch-predict", "application/x-ndjson", lines);
    let reply: Vec<f64> = reply
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["predicted_price"].as_f64().unwrap())
        .collect();
    assert_eq!(reply, expected);
    let column = |name: &str, datatype: &str| {
        let data: Vec<&Value> = all.iter().map(|row| &row[name]).collect();
        json!({"name": name, "datatype": datatype, "shape": [all.len()], "data": data})
    };
    let inputs: Vec<Value> = ["sqft", "bedrooms", "bathrooms", "year_built"]
        .iter()
        .map(|name| column(name, "FP64"))
        .chain(["location", "condition"].iter().map(|name| column(name, "BYTES")))
        .collect();
    let (status, inferred) = served.post("/v2/models/m/infer", &json!({"id": "7", "inputs": inputs}));
    assert_eq!((status, &inferred["id"], &inferred["model_name"]), (200, &json!("7"), &json!("m")), "{inferred}");
    assert_eq!(numbers(&inferred["outputs"][0]["data"]), expected);

    // and a table, sent, or predicted as a file by this program or by `train`
    let cleaned = workspace.read("cleaned.csv");
    let table: String = cleaned
        .lines()
        .enumerate()
        .filter(|(at, line)| *at == 0 || line.ends_with(",test"))
        .map(|(_, line)| format!("{line}\n"))
        .collect();
    workspace.write("rows.csv", &table);
    let of_column = |text: &str, name: &str| -> Vec<f64> {
        let place = text.lines().next().unwrap().split(',').position(|known| known == name).unwrap();
        text.lines().skip(1).map(|line| line.split(',').nth(place).unwrap().parse().unwrap()).collect()
    };
    let (status, text) = served.text("/batch-predict", "text/csv", table);
    assert_eq!((status, of_column(&text, "predicted_price")), (200, expected.clone()));
    workspace.write("raw.csv", workspace.read("rows.csv").replace(",split\n", "\n").replace(",test\n", "\n"));
    for line in
        [format!("serve predict --model {}.tar.gz", bundle(&workspace)), "train predict --models-dir models".to_owned()]
    {
        let said = workspace.ok(&format!("{line} --input raw.csv --output predicted.csv"));
        let counts = format!("predict   done: {} rows predicted, 0 quarantined, by m (GradientBoosting)\n", rows.len());
        assert!(said.starts_with(&counts), "{said}");
        assert_eq!(of_column(&workspace.read("predicted.csv"), "prediction"), expected);
    }
}

#[test]
fn an_answer_says_how_sure_it_is_and_what_it_goes_by() {
    let workspace = packaged(600);
    let served = Served::start(&workspace, "");
    let mut transcript = Transcript::default();
    let mut post = |path: &str, row: &Value| {
        let answer = served.post(path, row);
        transcript.answer(&format!("POST {path} {row}"), &answer);
        answer
    };
    let (status, reply) = post("/predict", &a_house());
    assert_eq!(status, 200);
    let number = |value: &Value| value.as_f64().unwrap();
    let (low, high) = (number(&reply["confidence_interval"][0]), number(&reply["confidence_interval"][1]));
    let price = number(&reply["predicted_price"]);
    assert!(low < price && price < high && reply["interval_coverage"] == 0.9);
    let parts = reply["features_importance"].as_object().unwrap();
    assert_eq!(parts.len(), 6);
    let sum: f64 = number(&reply["base_value"]) + parts.values().map(number).sum::<f64>();
    assert!((sum / price - 1.0).abs() < 1e-9, "{sum} {price}");
    assert_eq!(reply["warnings"], json!([]));
    assert!(reply["prediction_time"].as_str().unwrap().ends_with('Z'));
    assert!(bundle(&workspace).ends_with(reply["model_version"].as_str().unwrap()));

    let (_, explained) = post("/explain", &a_house());
    assert_eq!(explained["prediction"], reply["predicted_price"]);
    assert_eq!(explained["columns"][0]["contribution"], reply["features_importance"]["sqft"]);
    let features = explained["features"].as_array().unwrap();
    let sum: f64 = number(&explained["base_value"]) + features.iter().map(|f| number(&f["contribution"])).sum::<f64>();
    assert!((sum / price - 1.0).abs() < 1e-9);

    // allowed, and unlike training rows
    let odd = json!({"sqft": 19000, "bedrooms": null, "bathrooms": 2, "location": "Rural", "year_built": 1999, "condition": "Good"});
    assert_eq!(post("/predict", &odd).0, 200);
    assert_text!(transcript.text);
    assert_eq!(served.metric("hpp_field_problems_total{feature=\"sqft\",problem=\"outside_training\"}"), 1.0);
}

#[test]
fn every_fault_is_named_and_none_is_a_fault_of_the_server() {
    let workspace = packaged(400);
    let served = Served::start(&workspace, "");
    let wrong =
        json!({"sqft": 1e12, "bedroms": 2, "location": "Subrub", "year_built": "old", "condition": true, "price": 5});
    let answer = served.post("/predict", &wrong);
    let mut transcript = Transcript::default();
    transcript.answer(&format!("POST /predict {wrong}"), &answer);
    assert_text!(transcript.text);
    assert_eq!(served.metric("hpp_field_problems_total{feature=\"sqft\",problem=\"out_of_range\"}"), 1.0);

    let many = vec![json!({"sqft": 1}); 300];
    let (status, reply) = served.post("/batch-predict", &json!(many));
    assert_eq!((status, &reply["faults"], reply["detail"].as_array().unwrap().len()), (422, &json!(300), 100));
    assert_eq!(reply["detail"][99]["loc"], json!(["body", 99, "sqft"]));
}

#[test]
fn what_cannot_be_read_is_refused_and_a_row_of_a_stream_keeps_its_place() {
    let workspace = packaged(400);
    let served = Served::start(&workspace, "--max-body 200000 --max-rows 1000");
    let json_type = "application/json";
    let shape = "{\"inputs\":[{\"name\":\"sqft\",\"shape\":[2],\"datatype\":\"FP64\",\"data\":[900]}]}";
    let mut transcript = Transcript::default();
    for (path, media_type, body) in [
        ("/predict", json_type, "{\"sqft\": 1".to_owned()),
        ("/predict", json_type, String::new()),
        ("/predict", json_type, "[]".into()),
        ("/predict", json_type, "{\"sqft\": 900, \"sqft\": 900}".into()),
        ("/predict", json_type, "{\"sqft\": 1e999}".into()),
        ("/predict", "text/plain", "{}".into()),
        ("/predict", json_type, " ".repeat(300_000)),
        ("/batch-predict", json_type, "{}".into()),
        ("/batch-predict", json_type, format!("[{}]", vec!["{}"; 1001].join(","))),
        ("/batch-predict?detail=1", json_type, "[]".into()),
        ("/batch-predict", "text/csv", "sqfd,location\n1,Rural\n".into()),
        ("/batch-predict", "application/vnd.apache.arrow.stream", "rows".into()),
        ("/v2/models/m/infer", json_type, shape.to_owned()),
        ("/v2/models/other/infer", json_type, "{}".into()),
    ] {
        let shown = body[..body.len().min(80)].trim_end().replace('\n', "\\n");
        let request = format!("POST {path} {media_type} ({} bytes) {shown}", body.len());
        transcript.answer(&request, &answer(served.request(path, media_type, body.clone())));
    }
    for path in ["/predict", "/nowhere", "/v2/models/m/versions/none"] {
        transcript.answer(&format!("GET {path}"), &served.get(path));
    }
    assert_text!(transcript.text);
    assert_eq!(served.post("/batch-predict", &json!([])), (200, json!([])));
    // a connection is used again, or it is said that it cannot be
    let closes = |path: &str| {
        let response = served.request(path, "text/plain", "{}").send().unwrap();
        response.headers().get("connection").is_some_and(|value| value == "close")
    };
    assert!(!closes("/predict") && closes("/batch-predict"));
    assert_eq!(served.metric("http_requests_total{handler=\"/predict\",method=\"POST\",status=\"4xx\"}"), 8.0);
    let (status, reply) =
        served.text("/batch-predict", "application/x-ndjson", "{\"sqft\": 900}\n\nnonsense\n{\"sqft\": 1}\n");
    let lines: Vec<Value> = reply.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((status, lines.len()), (200, 3));
    assert!(lines[0]["predicted_price"].is_number());
    assert_eq!(lines[1]["error"], "expected ident at line 1 column 2");
    assert_eq!(lines[2]["error"], "sqft: 1 is below the minimum 200");
    let (_, reply) = served.text("/batch-predict", "text/csv", "sqft,note\n900,a\n1,\"b, c\"\n800\n");
    let lines: Vec<&str> = reply.lines().collect();
    assert_eq!(lines[0], "sqft,note,predicted_price,predicted_price_low,predicted_price_high,problem");
    assert!(lines[1].starts_with("900,a,") && lines[1].ends_with(','), "{reply}");
    assert_eq!(lines[2], "1,\"b, c\",,,,sqft: 1 is below the minimum 200");
    assert_eq!(lines[3], "800,,,,,has 1 fields where the header has 2");
    assert_eq!(served.get("/health"), (200, json!({"status": "healthy", "model_loaded": true})));
}

#[test]
fn arrow_comes_back_as_arrow() {
    let workspace = packaged(400);
    let served = Served::start(&workspace, "");
    workspace.write(
        "write.py",
        "import pyarrow as pa\n\
         table = pa.table({'sqft': pa.array([900, 1, None], pa.int32()), 'note': ['a', 'b', 'c'],\n\
         \x20   'location': pa.array(['Rural', 'urban', None]).dictionary_encode(), 'bathrooms': pa.array([1.5, 2, float('nan')], pa.float32())})\n\
         with pa.ipc.new_stream('rows.arrows', table.schema) as out:\n    out.write_table(table)\n    out.write_table(table.slice(0, 1))\n",
    );
    workspace.write(
        "read.py",
        "import json, pyarrow as pa\ntable = pa.ipc.open_stream('out.arrows').read_all()\nprint(json.dumps([table.column_names, table.drop_columns(['bathrooms']).to_pylist()]))\n",
    );
    let run = |script: &str| {
        let output = python(NEWEST).current_dir(workspace.path("")).arg(script).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    run("write.py");
    let request = served.request("/batch-predict", "application/vnd.apache.arrow.stream", workspace.bytes("rows.arrows"));
    let response = request.send().unwrap();
    assert_eq!(response.headers()["content-type"], "application/vnd.apache.arrow.stream");
    workspace.write("out.arrows", response.bytes().unwrap());
    let told: Value = serde_json::from_slice(&run("read.py")).unwrap();
    let names = [
        "sqft",
        "note",
        "location",
        "bathrooms",
        "predicted_price",
        "predicted_price_low",
        "predicted_price_high",
        "problem",
    ];
    assert_eq!(told[0], json!(names));
    let rows = told[1].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    let expected = served.predict(&json!({"sqft": 900, "location": "Rural", "bathrooms": 1.5}));
    assert_eq!((rows[0]["predicted_price"].as_f64(), &rows[0]["problem"]), (Some(expected), &Value::Null));
    assert_eq!(
        (&rows[1]["predicted_price"], &rows[1]["problem"]),
        (&Value::Null, &json!("sqft: 1 is below the minimum 200"))
    );
    assert_eq!(rows[2]["predicted_price"].as_f64(), Some(served.predict(&json!({}))));
    assert_eq!(rows[3], rows[0]);
}
