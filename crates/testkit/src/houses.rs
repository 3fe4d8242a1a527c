//! The house table that ships with the project, made up from a seed.
//!
//! A clean row: location and year are drawn, size is log-normal around the location's typical size, bedrooms and bathrooms follow
//! from size, condition from age. The price is
//!
//! ```text
//! 150 · (sqft − 300) · place · state · (1 − 0.0025 · min(age, 80)) · (1 + 0.04 · (bathrooms − 2)) · noise
//! ```
//!
//! rounded to 1,000, where `place` and `state` are the factors in [`LOCATIONS`] and [`CONDITIONS`], waterfront houses above
//! 3,000 square feet gain 15 %, age is counted from 2026 and `noise` is log-normal with a spread of 6 %: no model can explain
//! more than what is left.
//!
//! Dirt, in shares of all rows: 2 % repeat one of the last rows; 3 % have a missing cell (empty, `NA` or `?`); 3 % spell a level
//! otherwise; 0.6 % have no price; 0.5 % hold something impossible.

use std::io::{self, Write};

use clap::ValueEnum;
use fastrand::Rng;

/// The table's header.
pub const HEADER: &str = "price,sqft,bedrooms,bathrooms,location,year_built,condition";

/// Name, weight, factor on the price, typical size, typical year.
const LOCATIONS: [(&str, f64, f64, f64, f64); 6] = [
    ("Downtown", 0.17, 1.45, 2150.0, 1988.0),
    ("Mountain", 0.07, 1.60, 2500.0, 2000.0),
    ("Rural", 0.17, 0.85, 1700.0, 1964.0),
    ("Suburb", 0.30, 1.10, 1900.0, 1975.0),
    ("Urban", 0.21, 1.25, 1950.0, 1984.0),
    ("Waterfront", 0.08, 2.10, 3000.0, 2003.0),
];

/// Name, factor on the price.
const CONDITIONS: [(&str, f64); 4] = [("Poor", 0.82), ("Fair", 0.93), ("Good", 1.0), ("Excellent", 1.10)];

struct House {
    price: f64,
    sqft: f64,
    bedrooms: f64,
    bathrooms: f64,
    location: usize,
    year_built: f64,
    condition: usize,
}

/// How dirty the table is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Dirt {
    /// As described above
    #[default]
    Full,
    /// Missing cells are empty and nothing is impossible, so that every numeric column reads as numbers without a schema
    Readable,
}

/// Writes a header and `rows` rows to `out`; the same rows for the same seed.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write_houses(out: &mut impl Write, rows: u64, seed: u64, dirt: Dirt) -> io::Result<()> {
    let mut rng = Rng::with_seed(seed);
    let mut recent: Vec<String> = Vec::new();
    writeln!(out, "{HEADER}")?;
    for _ in 0..rows {
        let line = if recent.len() > 10 && rng.f64() < 0.02 {
            recent[rng.usize(..recent.len())].clone()
        } else {
            spoil(cells(&draw(&mut rng)), &mut rng, dirt).join(",")
        };
        writeln!(out, "{line}")?;
        if recent.len() < 100 {
            recent.push(line);
        } else {
            recent[rng.usize(..100)] = line;
        }
    }
    Ok(())
}

fn draw(rng: &mut Rng) -> House {
    let mut weight = rng.f64();
    let location = LOCATIONS.iter().position(|(_, share, ..)| {
        weight -= share;
        weight < 0.0
    });
    let location = location.unwrap_or(LOCATIONS.len() - 1);
    let (_, _, place, typical_size, typical_year) = LOCATIONS[location];
    let year_built = (typical_year + 16.0 * normal(rng)).round().clamp(1900.0, 2024.0);
    let age = 2026.0 - year_built;
    let sqft = (typical_size * (0.24 * normal(rng) + 0.001 * (year_built - 1980.0)).exp()).round().clamp(520.0, 9000.0);
    let bedrooms = (sqft / 800.0 + 0.5 * normal(rng)).round().clamp(1.0, 8.0);
    let bathrooms =
        ((0.65 * bedrooms + 0.004 * (year_built - 1970.0) + 0.35 * normal(rng)) * 2.0).round().clamp(2.0, 14.0) / 2.0;
    let condition = (2.6 - 0.022 * age + 0.55 * normal(rng)).round().clamp(0.0, 3.0) as usize;
    let view = if LOCATIONS[location].0 == "Waterfront" && sqft > 3000.0 { 1.15 } else { 1.0 };
    let price = 150.0
        * (sqft - 300.0)
        * place
        * view
        * CONDITIONS[condition].1
        * (1.0 - 0.0025 * age.min(80.0))
        * (1.0 + 0.04 * (bathrooms - 2.0))
        * (0.06 * normal(rng)).exp();
    House { price: (price / 1000.0).round() * 1000.0, sqft, bedrooms, bathrooms, location, year_built, condition }
}

fn cells(house: &House) -> Vec<String> {
    vec![
        format!("{}", house.price),
        format!("{}", house.sqft),
        format!("{}", house.bedrooms),
        format!("{:.1}", house.bathrooms),
        LOCATIONS[house.location].0.to_owned(),
        format!("{}", house.year_built),
        CONDITIONS[house.condition].0.to_owned(),
    ]
}

fn spoil(mut cells: Vec<String>, rng: &mut Rng, dirt: Dirt) -> Vec<String> {
    let fate = rng.f64();
    if fate < 0.03 {
        let column = 1 + rng.usize(..6);
        let token = ["", "NA", "?"][rng.usize(..3)];
        cells[column] = String::from(if dirt == Dirt::Full { token } else { "" });
    } else if fate < 0.06 {
        let column = [4, 6][rng.usize(..2)];
        cells[column] = match rng.usize(..4) {
            0 => cells[column].to_uppercase(),
            1 => cells[column].to_lowercase(),
            2 => format!(" {} ", cells[column]),
            _ => match cells[column].as_str() {
                "Suburb" => "Suburban".to_owned(),
                "Waterfront" => "Water front".to_owned(),
                "Excellent" => "Exc.".to_owned(),
                other => other.to_lowercase(),
            },
        };
    } else if fate < 0.066 {
        cells[0] = String::new();
    } else if fate < 0.071 && dirt == Dirt::Full {
        let (column, value) = [(1, "-1200"), (2, "99"), (3, "two"), (4, "Atlantis"), (5, "2999"), (0, "1")][rng.usize(..6)];
        cells[column] = String::from(value);
    }
    cells
}

/// A standard normal number, by Box and Muller.
fn normal(rng: &mut Rng) -> f64 {
    let (radius, angle) = (1.0 - rng.f64(), rng.f64());
    (-2.0 * radius.ln()).sqrt() * (2.0 * std::f64::consts::PI * angle).cos()
}
