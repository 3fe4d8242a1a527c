//! A row has the same features alone, in its table, and in any part of it.

use features::{Fitter, Plan, Preprocessor, PreprocessorFile, RowBuffers};
use proptest::{collection::vec, prelude::*, sample::select};
use schema::{Categories, CellValue, ColumnType, MISSING_LEVEL, PipelineConfig, Schema, Table, Values};
use serde_json::{Value, json};

use crate::tree::{NUMBERS, REFERENCE_YEAR, Row, Style, Tree, redundant, render, row, tree};

/// Category columns: name, listed levels, and whether they are ordered.
const CATEGORIES: [(&str, &[&str], bool); 3] =
    [("state", &["Poor", "Fair", "Good"], true), ("place", &["Rural", "Urban", "Other"], false), ("kind", &[], false)];
/// Levels that occur in cells; some are not listed in the schema.
const LEVELS: [&str; 8] = ["Poor", "Fair", "Good", "Rural", "Urban", "Other", "other", "ÉTAGE é"];

/// The values of one row: those of an expression, and an index into [`LEVELS`] for each category.
type FullRow = (Row, [Option<usize>; 3]);

fn full_row() -> impl Strategy<Value = FullRow> {
    let level = |place: usize| {
        let listed: Vec<usize> = (0..LEVELS.len()).filter(|level| CATEGORIES[place].1.contains(&LEVELS[*level])).collect();
        let listed = if listed.is_empty() { (0..LEVELS.len()).collect() } else { listed };
        prop_oneof![6 => select(listed).prop_map(Some), 2 => Just(None), 1 => (0..LEVELS.len()).prop_map(Some)]
    };
    (row(), [level(0), level(1), level(2)])
}

/// A configuration: its derived features, and the rest of the section `engineer`.
#[derive(Debug)]
struct Setup {
    trees: Vec<(Tree, Style)>,
    number: &'static str,
    unknown: &'static str,
    max_levels: usize,
    encodings: [Option<&'static str>; 3],
    drop: Vec<bool>,
    constants: bool,
}

fn setup() -> impl Strategy<Value = Setup> {
    let encoding = |known: Vec<&'static str>| prop::option::of(select(known));
    let encodings = (
        encoding(vec!["one_hot", "ordinal", "native"]),
        encoding(vec!["one_hot", "native"]),
        encoding(vec!["one_hot", "native"]),
    );
    (
        vec((tree(), redundant()), 0..4),
        select(vec!["median", "mean", "none"]),
        select(vec!["reject", "other"]),
        1_usize..6,
        encodings,
        vec(any::<bool>(), 4),
        any::<bool>(),
    )
        .prop_map(|(trees, number, unknown, max_levels, (state, place, kind), drop, constants)| Setup {
            trees,
            number,
            unknown,
            max_levels,
            encodings: [state, place, kind],
            drop,
            constants,
        })
}

/// The configuration as a file: the schema has the columns in an order that is not that of the table.
fn pipeline(setup: &mut Setup) -> Value {
    let mut columns = serde_json::Map::new();
    columns.insert("id".into(), json!({"type": "id"}));
    for (name, levels, ordered) in CATEGORIES {
        columns.insert(name.into(), json!({"type": "category", "levels": levels, "ordered": ordered}));
    }
    columns.insert("sold".into(), json!({"type": "date"}));
    columns.insert("price".into(), json!({"type": "float"}));
    for (name, _) in NUMBERS {
        columns.insert(name.into(), json!({"type": "float"}));
    }
    let mut derive = serde_json::Map::new();
    for (place, (tree, style)) in setup.trees.iter_mut().enumerate() {
        let before = if place == 0 { String::new() } else { format!("if_missing(f{}, 1) + ", place - 1) };
        derive.insert(format!("f{place}"), json!(format!("{before}{}", render(tree, 2, style))));
    }
    let drop: Vec<&str> = NUMBERS.iter().zip(&setup.drop).filter(|(_, drop)| **drop).map(|((name, _), _)| *name).collect();
    let encodings: serde_json::Map<String, Value> = CATEGORIES
        .iter()
        .zip(setup.encodings)
        .filter_map(|((name, ..), encoding)| encoding.map(|encoding| ((*name).to_owned(), json!(encoding))))
        .collect();
    let mut constants = serde_json::Map::new();
    if setup.constants {
        constants.extend([("a".to_owned(), json!(-0.5)), ("place".into(), json!("Urban")), ("kind".into(), json!("Urban"))]);
    }
    json!({
        "table": {"target": "price", "columns": columns},
        "engineer": {
            "reference_year": REFERENCE_YEAR,
            "derive": derive,
            "drop": drop,
            "impute": {"number": setup.number, "constants": constants},
            "encode": {"max_levels": setup.max_levels, "columns": encodings},
            "unknown_category": setup.unknown,
        },
    })
}

fn table(rows: &[FullRow]) -> Table {
    let mut table = Table::new(rows.len());
    table.push("sold", Values::Number(rows.iter().map(|(row, _)| row.date.unwrap_or(f64::NAN)).collect()));
    for (place, (name, _)) in NUMBERS.iter().enumerate() {
        table.push(*name, Values::Number(rows.iter().map(|(row, _)| row.numbers[place].unwrap_or(f64::NAN)).collect()));
    }
    // codes of the levels in the order in which they occur
    for (place, (name, ..)) in CATEGORIES.iter().enumerate() {
        let mut levels: Vec<String> = Vec::new();
        let mut code = |level: usize| {
            let known = levels.iter().position(|known| known == LEVELS[level]);
            known.unwrap_or_else(|| {
                levels.push(LEVELS[level].to_owned());
                levels.len() - 1
            }) as u32
        };
        let codes = rows.iter().map(|(_, levels)| levels[place].map_or(MISSING_LEVEL, &mut code)).collect();
        table.push(*name, Values::Category(Categories { codes, levels }));
    }
    table
}

fn cells(preprocessor: &Preprocessor, (row, levels): &FullRow) -> Vec<CellValue<'static>> {
    let number = |value: Option<f64>| value.map_or(CellValue::Missing, CellValue::Number);
    let cell = |column: &schema::Column| match column.spec.kind {
        ColumnType::Category => {
            let place = CATEGORIES.iter().position(|(name, ..)| *name == column.name).unwrap();
            levels[place].map_or(CellValue::Missing, |level| CellValue::Level(LEVELS[level].into()))
        }
        ColumnType::Date => number(row.date),
        _ => number(row.numbers[NUMBERS.iter().position(|(name, _)| *name == column.name).unwrap()]),
    };
    preprocessor.columns().map(cell).collect()
}

/// Fits the configuration to training rows; `None` if a column has no value in them.
fn fit(setup: &mut Setup, training: &[FullRow]) -> Option<Preprocessor> {
    let text = pipeline(setup).to_string();
    let parsed = PipelineConfig::parse(&text).unwrap();
    let schema = Schema::from_section(&parsed.table).unwrap();
    let plan = Plan::from_section(&schema, &parsed.engineer).unwrap_or_else(|error| panic!("{error}: {text}"));
    let mut fitter = Fitter::new(&plan);
    fitter.update(&table(training), &vec![true; training.len()]);
    match fitter.finish() {
        Ok(preprocessor) => Some(preprocessor),
        Err(error) => {
            assert!(error.to_string().contains("has no value in any training row"), "{error}: {text}");
            None
        }
    }
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Checks the features of each row, or its error, against those of the table that holds only valid rows, and of single-row tables.
fn check_rows(preprocessor: &Preprocessor, rows: &[FullRow]) -> Result<(), TestCaseError> {
    let whole = table(rows);
    let unknown = preprocessor.unknown_levels(&whole);
    let (mut buffers, mut features) = (RowBuffers::default(), Vec::new());
    let (mut valid, mut expected) = (Vec::new(), Vec::new());
    for (place, row) in rows.iter().enumerate() {
        let cells = cells(preprocessor, row);
        let single = preprocessor.transform(&whole.select_rows(&[place]));
        let alone = preprocessor.transform_row(&cells, &mut buffers, &mut features);
        prop_assert_eq!(single.as_ref().err(), alone.as_ref().err());
        let found: Vec<_> =
            preprocessor.unknown_levels_of_row(&cells).into_iter().map(|(_, error)| error.to_string()).collect();
        let of_row = unknown.iter().filter(|error| error.row == place).map(ToString::to_string);
        prop_assert_eq!(found, of_row.collect::<Vec<_>>());
        if let Ok(single) = single {
            prop_assert_eq!(bits(&features), single.iter().map(|column| column[0].to_bits()).collect::<Vec<_>>());
            prop_assert_eq!(features.len(), preprocessor.feature_names().len());
            valid.push(place);
            expected.push(bits(&features));
        }
    }
    if valid.len() < rows.len() {
        let error = preprocessor.transform(&whole).unwrap_err();
        prop_assert!(!valid.contains(&error.row), "{}", error);
    }
    valid.reverse();
    expected.reverse();
    let together = preprocessor.transform(&whole.select_rows(&valid)).unwrap();
    for (place, expected) in expected.iter().enumerate() {
        prop_assert_eq!(expected, &together.iter().map(|column| column[place].to_bits()).collect::<Vec<_>>());
    }
    Ok(())
}

proptest! {
    #![proptest_config(crate::property_config::property_config(1000))]

    #[test]
    fn a_row_has_the_features_of_its_table(
        mut setup in setup(),
        training in vec(full_row(), 4..16),
        rows in vec(full_row(), 1..8),
    ) {
        if let Some(preprocessor) = fit(&mut setup, &training) {
            check_rows(&preprocessor, &rows)?;
            // and so does the stored form
            let text = serde_json::to_string(preprocessor.file()).unwrap();
            if setup.number != "none" {
                let file: PreprocessorFile = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(&file, preprocessor.file());
                check_rows(&Preprocessor::from_file(file).unwrap(), &rows)?;
            }
        }
    }
}

#[test]
fn the_mean_of_the_largest_numbers_is_imputed() {
    let text = "table: {target: y, columns: {y: {type: float}, a: {type: float}}}\nengineer: {impute: {number: mean}}\n";
    let parsed = PipelineConfig::parse(text).unwrap();
    let plan = Plan::from_section(&Schema::from_section(&parsed.table).unwrap(), &parsed.engineer).unwrap();
    let mut fitter = Fitter::new(&plan);
    let mut training = Table::new(4);
    training.push("a", Values::Number(vec![f64::MAX, f64::MAX, f64::MAX, f64::NAN]));
    fitter.update(&training, &[true; 4]);
    assert_eq!(fitter.finish().unwrap().file().numbers[0].fill, f64::MAX);
}
