//! Properties of predictions: a row has the same prediction alone, in its table, in any part of it, and from the stored files.

#[path = "../../../testkit/shared/property_config.rs"]
mod property_config;

mod models;

use std::path::Path;

use artifact::{Digest, encode_envelope};
use features::PREPROCESSOR;
use model::MODEL;
use predictor::{Prediction, Predictor, Scratch};
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::models::{RawRow, cells, predictor, raw_row, setup, table};

/// The bits of a number; all missing values are equal.
fn bits(value: f64) -> u64 {
    if value.is_nan() { u64::MAX } else { value.to_bits() }
}

fn prediction_bits(prediction: &Prediction) -> [u64; 3] {
    let (low, high) = prediction.interval.unwrap_or_default();
    [prediction.value, low, high].map(bits)
}

/// The predictions of rows one by one; an error names the column.
fn one_by_one(predictor: &Predictor, rows: &[RawRow]) -> Vec<Result<[u64; 3], String>> {
    let mut scratch = Scratch::default();
    rows.iter()
        .map(|row| {
            let prediction = predictor.predict_row(&cells(row), 0.8, &mut scratch);
            prediction.map(|prediction| prediction_bits(&prediction)).map_err(|error| error.to_string())
        })
        .collect()
}

proptest! {
    #![proptest_config(property_config::property_config(600))]

    #[test]
    fn a_row_has_the_prediction_of_its_table(
        setup in setup(),
        training in vec(raw_row(false), 3..12),
        rows in vec(raw_row(true), 1..20),
        cuts in vec(any::<Index>(), 0..4),
    ) {
        let Some(predictor) = predictor(&setup, &training) else { return Ok(()) };
        let alone = one_by_one(&predictor, &rows);
        let whole = table(&rows);

        // the first row that is rejected
        if let Some(first) = alone.iter().position(Result::is_err) {
            let error = predictor.predict(&whole).unwrap_err();
            prop_assert!(alone[error.row].is_err());
            let only = predictor.predict(&whole.select_rows(&[first])).unwrap_err();
            prop_assert_eq!(Err(only.to_string()), alone[first].clone());
        }

        // the others, in blocks of any size
        let valid: Vec<usize> = (0..rows.len()).filter(|row| alone[*row].is_ok()).collect();
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(valid.len() + 1)).chain([0, valid.len()]).collect();
        ends.sort_unstable();
        let explainer = predictor.explainer();
        for block in ends.windows(2).map(|ends| &valid[ends[0]..ends[1]]) {
            let part = whole.select_rows(block);
            let predictions = predictor.predict(&part).unwrap();
            let features = predictor.features(&part).unwrap();
            let interval = predictor.model().file().interval.as_ref();
            let bounds = interval.map(|interval| interval.bounds(&features, &predictions, 0.8));
            for (place, row) in block.iter().enumerate() {
                let interval = bounds.as_ref().map(|bounds| bounds[place]);
                let found = prediction_bits(&Prediction { value: predictions[place], interval });
                prop_assert_eq!(&Ok(found), &alone[*row], "{:?}", rows[*row]);
                if let Ok(explainer) = &explainer {
                    let explained = predictor.explain_row(explainer, &cells(&rows[*row]), 0.8, &mut Scratch::default()).unwrap();
                    prop_assert_eq!(prediction_bits(&explained.0), found);
                }
            }
        }

        // the stored files give the same predictions
        let preprocessor = encode_envelope(PREPROCESSOR.into(), predictor.preprocessor().file()).unwrap();
        let mut file = predictor.model().file().clone();
        file.preprocessor = Digest::of_bytes(&preprocessor).hex().to_owned();
        let model = encode_envelope(MODEL.into(), &file).unwrap();
        let stored = Predictor::from_bytes((Path::new("model.bin"), &model), (Path::new("preprocessor.bin"), &preprocessor)).unwrap();
        prop_assert_eq!(one_by_one(&stored, &rows), alone);
    }
}
