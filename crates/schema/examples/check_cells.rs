//! Checks cells of a column by its schema. Run `cargo run --release --example check_cells`.

#![allow(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;

use schema::{PipelineConfig, Schema};

fn main() -> Result<(), Box<dyn Error>> {
    let config = PipelineConfig::parse(
        "table:
  target: price
  columns:
    price: {type: float, min: 0}
    sqft: {type: float, min: 200, max: 20000}
    place: {type: category, levels: [Rural, Suburb, Urban]}
",
    )?;
    let schema = Schema::from_section(&config.table)?;
    let sqft = &schema.columns()[1];
    for cell in ["1500", "", "15", "large"] {
        match sqft.number(cell) {
            Ok(Some(value)) => println!("sqft {cell:?}: {value}"),
            Ok(None) => println!("sqft {cell:?}: missing"),
            Err(violation) => println!("sqft {cell:?}: {violation}"),
        }
    }
    let place = &schema.columns()[2];
    for cell in ["urban", "Subrub"] {
        match place.text(cell) {
            Ok(level) => println!("place {cell:?}: {level:?}"),
            Err(violation) => println!("place {cell:?}: {violation}"),
        }
    }
    Ok(())
}
