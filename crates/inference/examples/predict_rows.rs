//! Predicts the rows of a CSV table: `cargo run --release --example predict_rows -- MODEL PREPROCESSOR <rows.csv`, with the files `model.bin`
//! of `train` and `preprocessor.bin` of `engineer`. `train predict` does more: intervals, contributions, a quarantine file.

#![allow(clippy::print_stderr, reason = "it is a program")]

use std::{
    env,
    error::Error,
    io::{self, BufWriter},
    path::Path,
};

use inference::{formats::csv, loaded_model::LoadedModel};
use predictor::{LoadedParts, ModelInfo, Predictor};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [model, preprocessor] = arguments.as_slice() else { return Err("usage: predict_rows MODEL PREPROCESSOR".into()) };
    let predictor = Predictor::read(Path::new(model), Path::new(preprocessor))?;
    let info = ModelInfo { source: model.clone(), ..ModelInfo::default() };
    let model = LoadedModel::for_tables(LoadedParts { predictor, reference: None, info }, Some(0.9));
    let summary = csv::score(&model, io::stdin().lock(), BufWriter::new(io::stdout().lock()), &())?;
    eprintln!("{} rows predicted, {} invalid", summary.rows, summary.refused);
    Ok(())
}
