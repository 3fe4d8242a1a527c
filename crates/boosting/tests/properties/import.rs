//! Imported models predict the same numbers as the program that wrote them, and damaged files are errors.

use boosting::{ImportedModel, QuickScorer};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};

use crate::{
    ensemble::{Node, WIDTH, cells, node, rows},
    lightgbm, xgboost,
};

/// Checks the predictions of rows, alone and together.
fn check_predictions(imported: &ImportedModel, rows: &[Vec<f64>], expected: &[f64]) -> Result<(), TestCaseError> {
    let columns: Vec<Vec<f64>> = (0..WIDTH).map(|column| rows.iter().map(|row| row[column]).collect()).collect();
    let together = imported.trees.predict(&columns, rows.len(), imported.sum);
    let scorer = QuickScorer::from_trees(&imported.trees);
    let quick = scorer.as_ref().map(|scorer| scorer.predict(&imported.trees, &columns, rows.len(), imported.sum));
    for (place, (row, expected)) in rows.iter().zip(expected).enumerate() {
        prop_assert_eq!(
            together[place].to_bits(),
            expected.to_bits(),
            "{} instead of {}: {:?}",
            together[place],
            expected,
            row
        );
        prop_assert_eq!(imported.trees.predict_row(row, imported.sum).to_bits(), expected.to_bits());
        if let (Some(scorer), Some(quick)) = (&scorer, &quick) {
            prop_assert_eq!(quick[place].to_bits(), expected.to_bits());
            prop_assert_eq!(scorer.predict_row(&imported.trees, row, imported.sum).to_bits(), expected.to_bits());
        }
    }
    Ok(())
}

fn trees() -> impl Strategy<Value = Vec<Node>> {
    vec(node(), 0..14)
}

fn neighbour(value: f64, step: i8) -> f64 {
    match step {
        -1 => value.next_down(),
        0 => value,
        _ => value.next_up(),
    }
}

/// Neighbours in single precision, and numbers that are rounded to one.
fn single_neighbour(value: f64, step: i8) -> f64 {
    let (value, single) = (value.clamp(f64::MIN, f64::MAX), value as f32);
    match step {
        -1 => f64::midpoint(single.next_down().into(), single.into()).max(f64::MIN),
        0 => single.into(),
        _ => neighbour(f64::midpoint(single.next_down().into(), value), 1),
    }
}

proptest! {
    #![proptest_config(crate::property_config::property_config(1000))]

    #[test]
    fn models_of_lightgbm_predict_the_same(trees in trees(), cells in cells(), is_average in any::<bool>()) {
        let imported = ImportedModel::parse(&lightgbm::write(&trees, "regression", is_average)).unwrap();
        prop_assert_eq!((imported.width, imported.log_link, imported.trees.len()), (WIDTH, false, trees.len()));
        let factor = if is_average && !trees.is_empty() { 1.0 / trees.len() as f64 } else { 1.0 };
        let rows = rows(&cells, &trees, neighbour);
        let expected: Vec<f64> = rows
            .iter()
            .map(|row| trees.iter().fold(0.0, |total, tree| total + lightgbm::output(tree, row)) * factor)
            .collect();
        check_predictions(&imported, &rows, &expected)?;
    }

    #[test]
    fn models_of_xgboost_predict_the_same(
        trees in trees(),
        cells in cells(),
        base in select(vec![0.5, 0.0, -3.25, 1e5]),
        weights in prop::option::of(vec(select(vec![1.0, 0.5, 0.1]), 14)),
    ) {
        let text = xgboost::write(&trees, "reg:squarederror", base, weights.as_deref());
        let imported = ImportedModel::parse(&text).unwrap();
        prop_assert_eq!((imported.width, imported.log_link, imported.trees.len()), (WIDTH, false, trees.len()));
        let rows = rows(&cells, &trees, single_neighbour);
        let weight = |place: usize| weights.as_ref().map_or(1.0, |weights| f64::from(weights[place] as f32));
        let sum = |row: &Vec<f64>| {
            let outputs = trees.iter().enumerate().map(|(place, tree)| f64::from(xgboost::output(tree, row)) * weight(place));
            outputs.fold(base, |total, output| total + output)
        };
        check_predictions(&imported, &rows, &rows.iter().map(sum).collect::<Vec<_>>())?;
    }
}

/// Checks that a text is an error or a model that predicts any row of its width.
fn check_no_panic(text: &str) -> Result<(), TestCaseError> {
    match ImportedModel::parse(text) {
        Err(error) => prop_assert!(!error.0.is_empty()),
        Ok(model) => {
            for value in [f64::NAN, 0.0, 31.0, -1.0, 1e300] {
                let row = vec![value; model.width];
                let columns = vec![vec![value]; model.width];
                let (alone, together) =
                    (model.trees.predict_row(&row, model.sum), model.trees.predict(&columns, 1, model.sum));
                prop_assert_eq!(alone.to_bits(), together[0].to_bits());
            }
        }
    }
    Ok(())
}

/// Changes of a text: where, and what replaces the character.
fn edits() -> impl Strategy<Value = Vec<(Index, &'static str)>> {
    let pieces = vec![
        "",
        "0",
        "9",
        "-",
        ".",
        " ",
        "\n",
        "=",
        "e",
        ",",
        "[",
        "]",
        "\"",
        "{",
        "}",
        "1e9",
        "-1",
        "nan",
        "inf",
        "é",
        "18446744073709551615",
        "null",
        "true",
        "Tree=",
    ];
    vec((any::<Index>(), select(pieces)), 1..4)
}

fn edit(text: &str, edits: &[(Index, &str)]) -> String {
    edits.iter().fold(text.to_owned(), |mut text, (at, piece)| {
        let at = at.index(text.len());
        let start = text.floor_char_boundary(at);
        text.replace_range(start..text.ceil_char_boundary(start + 1), piece);
        text
    })
}

proptest! {
    #![proptest_config(crate::property_config::property_config(1000))]

    #[test]
    fn changed_models_are_errors_or_models(trees in vec(node(), 1..4), edits in edits(), is_lightgbm in any::<bool>()) {
        let text = if is_lightgbm {
            lightgbm::write(&trees, "poisson", false)
        } else {
            xgboost::write(&trees, "count:poisson", 0.5, None)
        };
        check_no_panic(&edit(&text, &edits))?;
    }

    #[test]
    fn truncated_models_are_errors(trees in vec(node(), 1..4), at in any::<Index>()) {
        let text = lightgbm::write(&trees, "gamma", false);
        let end = text.find("end of trees").unwrap() + "end of tree".len();
        prop_assert!(ImportedModel::parse(&text[..at.index(end)]).is_err());
        let text = xgboost::write(&trees, "reg:gamma", 0.5, None);
        prop_assert!(ImportedModel::parse(&text[..at.index(text.len())]).is_err());
    }
}
