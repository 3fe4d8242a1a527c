//! Properties of formats: CSV, NDJSON, JSON and Arrow of the same rows have the same predictions and the same errors.

#[path = "../../../testkit/shared/property_config.rs"]
mod property_config;

mod forms;
#[path = "../../../predictor/tests/properties/models.rs"]
mod models;
mod tables;

use inference::{
    formats::{arrow, csv, json, ndjson, table::error_text},
    loaded_model::LoadedModel,
    row_schema::RawValue,
    validation::{ErrorDetail, FieldError},
};
use predictor::{LoadedParts, ModelInfo, Prediction, Scratch};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::Value;

use crate::{
    forms::{Texts, arrow_stream, csv_text, ndjson_text, texts},
    models::{FIELDS, RawRow, Setup, cells, predictor, raw_row, setup, table},
};

/// A row, and a text in place of one of its cells.
type ChangedRow = (RawRow, Option<(usize, &'static str)>);

fn changed_row() -> impl Strategy<Value = ChangedRow> {
    let text = select(vec![
        "abc",
        "1e999",
        "-1e999",
        "nan",
        "NaN",
        "12,5",
        "2020-13-01",
        "2020-02-30",
        " ",
        "null",
        "NA ",
        "9007199254740993",
        "3.5",
        "0x1",
        "1_000",
        "∞",
        "urban ",
        "RURAL",
        " good",
        "+1",
        "-0",
        "1e2",
        "\"",
        "a\nb",
        "é",
    ]);
    (raw_row(true), prop::option::weighted(0.3, (0..FIELDS.len(), text)))
}

fn loaded_model(setup: &Setup, training: &[RawRow]) -> Option<LoadedModel> {
    let info = ModelInfo {
        version: "1".into(),
        source: "test".into(),
        fingerprint: String::new(),
        card: String::new(),
        metrics: Value::Null,
        lineage: Value::Null,
        coverage: 0.8,
        is_older_bundle: false,
    };
    let parts = LoadedParts { predictor: predictor(setup, training)?, reference: None, info };
    Some(LoadedModel::for_tables(parts, None))
}

/// The bits of a prediction and of the ends of its interval; or the text of the errors.
type Outcome = Result<Vec<u64>, String>;

fn outcome(prediction: &Prediction) -> Outcome {
    if !prediction.value.is_finite() {
        return Err(FieldError::no_prediction().text());
    }
    let (low, high) = prediction.interval.unzip();
    // an infinite end is written as a missing number
    let number = |value: f64| if value.is_finite() { value } else { f64::NAN };
    Ok([Some(prediction.value), low, high].into_iter().flatten().map(|value| number(value).to_bits()).collect())
}

/// The outcomes of rows one by one.
fn one_by_one(model: &LoadedModel, rows: &[Texts]) -> Vec<Outcome> {
    let mut scratch = Scratch::default();
    rows.iter()
        .map(|row| {
            let text = |cell: &Option<String>| RawValue::Text(cell.clone().unwrap_or_default().into());
            let (values, mut errors) = (row.iter().map(text).collect::<Vec<_>>(), Vec::new());
            let cells = model.row_schema.validate(&values, &model.predictor, ErrorDetail::Whole, &mut errors);
            if !errors.is_empty() {
                return Err(error_text(&errors));
            }
            outcome(&model.predictor.predict_row(&cells, 0.8, &mut scratch).unwrap())
        })
        .collect()
}

fn number_bits(text: &str) -> u64 {
    if text == "null" { f64::NAN.to_bits() } else { text.parse::<f64>().unwrap().to_bits() }
}

fn of_csv(model: &LoadedModel, text: &str) -> Vec<Outcome> {
    let mut out = Vec::new();
    csv::score(model, text.as_bytes(), &mut out, &()).unwrap();
    let mut reader = ::csv::Reader::from_reader(out.as_slice());
    let first = reader.headers().unwrap().iter().position(|name| name == "predicted_price").unwrap();
    let row = |record: ::csv::StringRecord| {
        let cells: Vec<&str> = record.iter().skip(first).collect();
        let (problem, numbers) = cells.split_last().unwrap();
        if problem.is_empty() {
            Ok(numbers.iter().map(|text| number_bits(text)).collect())
        } else {
            Err((*problem).to_owned())
        }
    };
    reader.records().map(|record| row(record.unwrap())).collect()
}

fn of_json_answer(answer: &Value) -> Outcome {
    if answer.get("error").is_some() {
        let message = |error: &Value| format!("{}: {}", error["loc"][1].as_str().unwrap(), error["msg"].as_str().unwrap());
        let errors: Vec<String> = answer["detail"].as_array().unwrap().iter().map(message).collect();
        let first = answer["error"].as_str().unwrap();
        assert!(errors.first().is_none_or(|error| error == first), "{answer}");
        return Err(if errors.is_empty() { first.to_owned() } else { errors.join("; ") });
    }
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN).to_bits();
    let interval = answer["confidence_interval"].as_array().into_iter().flatten();
    Ok([&answer["predicted_price"]].into_iter().chain(interval).map(number).collect())
}

fn of_ndjson(model: &LoadedModel, text: &str) -> Vec<Outcome> {
    let mut out = Vec::new();
    ndjson::score(model, text.as_bytes(), &mut out, &()).unwrap();
    String::from_utf8(out).unwrap().lines().map(|line| of_json_answer(&serde_json::from_str(line).unwrap())).collect()
}

/// The rows of a list, as a server predicts them.
fn of_json_list(model: &LoadedModel, ndjson: &str) -> Vec<Outcome> {
    let list = format!("[{}]", ndjson.lines().collect::<Vec<_>>().join(","));
    let Ok(rows) = json::read_rows(&model.row_schema, &list, ErrorDetail::Whole) else { panic!("{list}") };
    let mut errors: Vec<Vec<FieldError>> = rows.iter().map(|row| row.errors.clone()).collect();
    let validate = |(row, errors): (_, &mut Vec<FieldError>)| {
        let row: &json::Row = row;
        model.row_schema.validate(&row.values, &model.predictor, ErrorDetail::Whole, errors)
    };
    let cells: Vec<_> = rows.iter().zip(&mut errors).map(validate).collect();
    let predictions = model.predict_many(&cells, true);
    let outcome = |(prediction, errors): (&Prediction, &Vec<FieldError>)| {
        if errors.is_empty() { outcome(prediction) } else { Err(error_text(errors)) }
    };
    predictions.iter().zip(&errors).map(outcome).collect()
}

fn of_arrow(model: &LoadedModel, stream: &[u8]) -> Vec<Outcome> {
    use arrow_array::{Array, Float64Array, StringArray};

    let mut out = Vec::new();
    arrow::score(model, stream, &mut out, &(), ()).unwrap();
    let reader = arrow_ipc::reader::StreamReader::try_new(out.as_slice(), None).unwrap();
    let first = reader.schema().index_of("predicted_price").unwrap();
    let batches = reader.map(Result::unwrap);
    let rows = batches.flat_map(|batch| {
        let (problem, numbers) = batch.columns()[first..].split_last().unwrap();
        let problem = problem.as_any().downcast_ref::<StringArray>().unwrap();
        let row = |row: usize| {
            if problem.is_valid(row) {
                return Err(problem.value(row).to_owned());
            }
            let number = |column: &arrow_array::ArrayRef| {
                let value = column.as_any().downcast_ref::<Float64Array>().unwrap().value(row);
                if value.is_finite() { value.to_bits() } else { f64::NAN.to_bits() }
            };
            Ok(numbers.iter().map(number).collect())
        };
        (0..batch.num_rows()).map(row).collect::<Vec<_>>()
    });
    rows.collect()
}

proptest! {
    #![proptest_config(property_config::property_config(300))]

    #[test]
    fn formats_have_the_same_predictions_and_errors(
        setup in setup(),
        training in vec(raw_row(false), 3..12),
        rows in vec(changed_row(), 1..20),
        form in any::<u64>(),
    ) {
        let Some(model) = loaded_model(&setup, &training) else { return Ok(()) };
        let rows: Vec<Texts> = rows.iter().map(|row| texts(row, form)).collect();
        let expected = one_by_one(&model, &rows);
        prop_assert_eq!(&of_csv(&model, &csv_text(&rows, &[])), &expected);
        for is_typed in [false, true] {
            let ndjson = ndjson_text(&rows, is_typed, form);
            prop_assert_eq!(&of_ndjson(&model, &ndjson), &expected, "{}", ndjson);
            prop_assert_eq!(&of_json_list(&model, &ndjson), &expected, "{}", ndjson);
            let stream = arrow_stream(&rows, &[], is_typed, (form % 7 + 1) as usize);
            prop_assert_eq!(&of_arrow(&model, &stream), &expected);
        }
    }

    #[test]
    fn valid_cells_have_the_prediction_of_their_table(
        setup in setup(),
        training in vec(raw_row(false), 3..12),
        rows in vec(raw_row(false), 1..20),
    ) {
        let Some(model) = loaded_model(&setup, &training) else { return Ok(()) };
        let cells: Vec<_> = rows.iter().map(cells).collect();
        let many = model.predict_many(&cells, true);
        // a level that is in no training row
        let Ok(together) = model.predictor.predict(&table(&rows)) else { return Ok(()) };
        let mut scratch = Scratch::default();
        for ((cells, prediction), together) in cells.iter().zip(&many).zip(together) {
            let alone = model.predictor.predict_row(cells, 0.8, &mut scratch).unwrap();
            prop_assert_eq!(outcome(prediction), outcome(&alone));
            prop_assert!(together.to_bits() == alone.value.to_bits() || together.is_nan() && alone.value.is_nan());
        }
    }
}

proptest! {
    #![proptest_config(property_config::property_config(8))]

    #[test]
    fn rows_of_many_blocks_have_the_predictions_of_few(
        setup in setup(),
        training in vec(raw_row(false), 6..12),
        rows in vec(changed_row(), 1..12),
        count in 4000_usize..12_000,
    ) {
        let Some(model) = loaded_model(&setup, &training) else { return Ok(()) };
        let rows: Vec<Texts> = rows.iter().map(|row| texts(row, 0)).collect();
        let expected: Vec<Outcome> = one_by_one(&model, &rows).into_iter().cycle().take(count).collect();
        let rows: Vec<Texts> = rows.into_iter().cycle().take(count).collect();
        prop_assert!(of_csv(&model, &csv_text(&rows, &[])) == expected);
        prop_assert!(of_ndjson(&model, &ndjson_text(&rows, true, 0)) == expected);
        prop_assert!(of_arrow(&model, &arrow_stream(&rows, &[], true, count)) == expected);
    }
}
