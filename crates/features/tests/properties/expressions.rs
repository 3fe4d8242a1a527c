//! Expressions mean what their text says: precedence, associativity, functions and missing values.

use features::{Fitter, Plan, Preprocessor, RowBuffers};
use proptest::{collection::vec, prelude::*};
use schema::{CellValue, EngineerSection, NumberImpute, OrderedMap, PipelineConfig, Schema, Table, Values};

use crate::tree::{DATE, NUMBERS, REFERENCE_YEAR, Row, Style, Tree, evaluate, redundant, render, row, tree};

/// A preprocessor with the features `f0`, `f1`, ... of these expressions; missing values stay missing.
fn preprocessor(expressions: &[&str]) -> Result<Preprocessor, String> {
    let columns: String = NUMBERS.iter().map(|(name, _)| format!("    {name}: {{type: float}}\n")).collect();
    let text = format!("table:\n  target: y\n  columns:\n    y: {{type: float}}\n{columns}    {DATE}: {{type: date}}\n");
    let schema = Schema::from_section(&PipelineConfig::parse(&text).unwrap().table).unwrap();
    let derive = (0..).zip(expressions).map(|(place, text)| (format!("f{place}"), (*text).to_owned())).collect();
    let mut section =
        EngineerSection { reference_year: Some(REFERENCE_YEAR), derive: OrderedMap(derive), ..EngineerSection::default() };
    section.impute.number = NumberImpute::None;
    let plan = Plan::from_section(&schema, &section).map_err(|error| error.to_string())?;
    Fitter::new(&plan).finish().map_err(|error| error.to_string())
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(rows.len());
    for (place, (name, _)) in NUMBERS.iter().enumerate() {
        table.push(*name, Values::Number(rows.iter().map(|row| row.numbers[place].unwrap_or(f64::NAN)).collect()));
    }
    table.push(DATE, Values::Number(rows.iter().map(|row| row.date.unwrap_or(f64::NAN)).collect()));
    table
}

fn cells(row: &Row) -> Vec<CellValue<'static>> {
    row.numbers.iter().chain([&row.date]).map(|value| value.map_or(CellValue::Missing, CellValue::Number)).collect()
}

/// Checks the values of an expression in a table and in single rows.
fn check_values(preprocessor: &Preprocessor, tree: &Tree, rows: &[Row]) -> Result<(), TestCaseError> {
    let feature = preprocessor.feature_names().iter().position(|name| name == "f0").unwrap();
    let columns = preprocessor.transform(&table(rows)).unwrap();
    let (mut buffers, mut features) = (RowBuffers::default(), Vec::new());
    for (place, row) in rows.iter().enumerate() {
        let found = columns[feature][place];
        let expected = evaluate(tree, row);
        // zeros of both signs are equal
        let equal = expected.map_or(found.is_nan(), |expected| expected == found);
        prop_assert!(equal, "{:?} instead of {:?} for {:?}", found, expected, row);
        preprocessor.transform_row(&cells(row), &mut buffers, &mut features).unwrap();
        prop_assert_eq!(features[feature].to_bits(), found.to_bits());
    }
    Ok(())
}

proptest! {
    #![proptest_config(crate::property_config::property_config(2000))]

    #[test]
    fn an_expression_means_its_tree(tree in tree(), mut style in redundant(), rows in vec(row(), 1..6)) {
        let (minimal, redundant) = (render(&tree, 0, &mut Style::minimal()), render(&tree, 0, &mut style));
        let preprocessor = preprocessor(&[&minimal, &redundant]).map_err(TestCaseError::fail)?;
        let program = |name: &str| preprocessor.inputs().find(|(input, _)| *input == name).and_then(|(_, program)| program);
        prop_assert!(program("f0").is_some());
        prop_assert_eq!(program("f0"), program("f1"), "{} and {}", minimal, redundant);
        check_values(&preprocessor, &tree, &rows)?;
    }
}

proptest! {
    #![proptest_config(crate::property_config::property_config(10_000))]

    #[test]
    fn any_text_is_an_expression_or_an_error(parts in vec(prop_oneof![
        6 => prop::sample::select(vec!["a", "min", "(", ")", "+", "-", "*", "/", "^", ",", "1", ".5", "2e", "e3", "`", "max(", "log(", " "]),
        1 => any::<char>().prop_map(|character| &*character.to_string().leak()),
    ], 0..7)) {
        let text = parts.concat();
        if let Err(message) = preprocessor(&[&text]) {
            prop_assert!(message.starts_with("engineer.derive.f0: "), "{}", message);
        }
    }
}

#[test]
fn the_second_evaluator_agrees_with_known_dates() {
    let row = Row { numbers: [None; 4], date: Some(16_356.0) };
    let parts = ["year", "month", "day", "weekday"].map(|part| evaluate(&Tree::Calendar(part), &row));
    // 2014-10-13 was a Monday
    assert_eq!(parts, [2014.0, 10.0, 13.0, 1.0].map(Some));
}
