//! Rows as clients send them: reading, validation and prediction of JSON, CSV and NDJSON. Run `just kernels`.

use std::{io, path::Path};

use divan::{Bencher, counter::ItemsCount};
use inference::{
    formats::{csv, json, ndjson},
    loaded_model::LoadedModel,
    validation::ErrorDetail,
};
use predictor::{LoadedParts, ModelInfo, Predictor, Scratch};

/// Rows of a table.
const ROWS: usize = 2000;

const ROW: &str = r#"{"sqft":2000,"bedrooms":3,"bathrooms":2,"location":"Suburb","year_built":1990,"condition":"Good"}"#;

fn main() {
    divan::main();
}

fn model() -> LoadedModel {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../package/golden");
    let predictor = Predictor::read(&folder.join("model_v1.bin"), &folder.join("preprocessor_v1.bin")).expect("a model");
    let info = ModelInfo { coverage: 0.9, ..ModelInfo::default() };
    LoadedModel::for_tables(LoadedParts { predictor, reference: None, info }, None)
}

#[divan::bench]
fn read_and_validate_a_row(bencher: Bencher) {
    let model = model();
    bencher.counter(ItemsCount::new(1_usize)).bench(|| {
        let mut row = json::read_row(&model.row_schema, ROW.as_bytes()).ok().expect("a row");
        model.row_schema.validate(&row.values, &model.predictor, ErrorDetail::Whole, &mut row.errors).len()
    });
}

#[divan::bench]
fn predict_a_row(bencher: Bencher) {
    let model = model();
    let mut row = json::read_row(&model.row_schema, ROW.as_bytes()).ok().expect("a row");
    let cells = model.row_schema.validate(&row.values, &model.predictor, ErrorDetail::Whole, &mut row.errors);
    let mut scratch = Scratch::default();
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| model.predict_row(&cells, &mut scratch).is_ok());
}

#[divan::bench]
fn read_a_list(bencher: Bencher) {
    let (model, list) = (model(), format!("[{}{ROW}]", format!("{ROW},").repeat(ROWS - 1)));
    bencher
        .counter(ItemsCount::new(ROWS))
        .bench(|| json::read_rows(&model.row_schema, &list, ErrorDetail::Whole).map_or(0, |rows| rows.len()));
}

#[divan::bench]
fn predict_ndjson(bencher: Bencher) {
    let (model, lines) = (model(), format!("{ROW}\n").repeat(ROWS));
    bencher
        .counter(ItemsCount::new(ROWS))
        .bench(|| ndjson::score(&model, lines.as_bytes(), io::sink(), &()).expect("predictions").rows);
}

#[divan::bench]
fn predict_csv(bencher: Bencher) {
    let header = "sqft,bedrooms,bathrooms,location,year_built,condition\n";
    let (model, table) = (model(), [header, &"2000,3,2,Suburb,1990,Good\n".repeat(ROWS)].concat());
    bencher
        .counter(ItemsCount::new(ROWS))
        .bench(|| csv::score(&model, table.as_bytes(), io::sink(), &()).expect("predictions").rows);
}
