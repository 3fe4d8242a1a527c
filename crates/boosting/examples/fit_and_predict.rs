//! Fits boosted trees to rows with a missing value, and predicts and explains a row. Run `cargo run --release --example fit_and_predict`.

#![allow(clippy::print_stdout, reason = "it is a program")]

use boosting::{BoostingError, BoostingParameters, EnsembleOutput, fit};

fn main() -> Result<(), BoostingError> {
    // two features of 500 houses: area in square feet, and age in years; NaN is a missing value
    let area: Vec<f64> = (0..500).map(|house| 600.0 + f64::from(house * 7 % 500) * 5.0).collect();
    let age: Vec<f64> = (0..500).map(|house| if house % 50 == 0 { f64::NAN } else { f64::from(house % 80) }).collect();
    let price: Vec<f64> = area.iter().zip(&age).map(|(area, age)| 150.0 * area - 500.0 * age.max(0.0)).collect();

    let parameters = BoostingParameters { iterations: 200, ..BoostingParameters::default() };
    let model = fit(&[area, age], &price, None, &parameters)?;

    let (house, output) = ([1500.0, 30.0], EnsembleOutput { base: model.base, factor: 1.0 });
    let mut contributions = [0.0; 2];
    let predicted = model.trees.explainer().explain(&model.trees, &house, output, &mut contributions);
    println!("{} trees predict {predicted:.0} for 1500 square feet and 30 years", model.trees.len());
    println!("mean {:.0}, area {:+.0}, age {:+.0}", model.trees.expected(output), contributions[0], contributions[1]);
    Ok(())
}
