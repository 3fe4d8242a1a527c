//! Summarises a stream in two parts and merges them. Run `cargo run --release --example merge_parts`.

#![allow(clippy::print_stdout, reason = "it is a program")]

use summary::Quantiles;

fn main() {
    let values: Vec<f64> = (0..100_000_u32).map(|row| f64::from(row * 7919 % 100_003).sqrt()).collect();
    let summarise = |values: &[f64]| {
        let mut quantiles = Quantiles::default();
        values.iter().for_each(|value| quantiles.add(*value));
        quantiles
    };
    let (first, second) = values.split_at(30_000);
    let mut merged = summarise(first);
    merged.merge(&summarise(second));
    let probabilities = [0.05, 0.5, 0.95];
    println!("{:?} of {} values in two parts", merged.at(&probabilities), merged.count());
    println!("{:?} in one", summarise(&values).at(&probabilities));
}
