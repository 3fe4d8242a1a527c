//! Fits a preprocessor to a small table and transforms it. Run `cargo run --release --example transform_rows`.

#![allow(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;

use features::{Fitter, Plan};
use schema::{Categories, MISSING_LEVEL, PipelineConfig, Schema, Table, Values};

const CONFIG: &str = "\
table:
  target: price
  columns:
    price: {type: float}
    sqft: {type: float}
    year_built: {type: integer}
    place: {type: category}
engineer:
  reference_year: 2026
  derive: {age: reference_year - year_built}
  drop: [year_built]
";

fn main() -> Result<(), Box<dyn Error>> {
    let config = PipelineConfig::parse(CONFIG)?;
    let plan = Plan::from_section(&Schema::from_section(&config.table)?, &config.engineer)?;
    let mut table = Table::new(4);
    table.push("sqft", Values::Number(vec![900.0, f64::NAN, 2000.0, 1300.0]));
    table.push("year_built", Values::Number(vec![1990.0, 2001.0, 1976.0, 2020.0]));
    let levels = vec!["Rural".to_owned(), "Urban".to_owned()];
    table.push("place", Values::Category(Categories { codes: vec![0, 1, 1, MISSING_LEVEL], levels }));

    // the last row is a test row: nothing is fitted on it
    let mut fitter = Fitter::new(&plan);
    fitter.update(&table, &[true, true, true, false]);
    let preprocessor = fitter.finish()?;

    for (name, values) in preprocessor.feature_names().iter().zip(preprocessor.transform(&table)?) {
        println!("{name}: {values:?}");
    }
    Ok(())
}
