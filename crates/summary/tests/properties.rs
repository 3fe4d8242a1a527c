//! Properties of summaries: any order and any partition of a stream gives the same answers, and they agree with exact ones.

#[path = "../../testkit/shared/property_config.rs"]
mod property_config;

use std::collections::BTreeMap;

use fastrand::Rng;
use proptest::{collection::vec, prelude::*, sample::select};
use summary::{Frequencies, Moments, Quantiles};

/// Cuts a shuffled list into parts, summarizes each, and merges the summaries in a random order.
fn merge_at_random<T: Clone, S>(items: &[T], seed: u64, collect: impl Fn(&[T]) -> S, merge: impl Fn(S, S) -> S) -> S {
    let mut rng = Rng::with_seed(seed);
    let mut items = items.to_vec();
    rng.shuffle(&mut items);
    let parts = rng.usize(1..6);
    let mut cuts: Vec<usize> = (1..parts).map(|_| rng.usize(0..=items.len())).chain([0, items.len()]).collect();
    cuts.sort_unstable();
    let mut summaries: Vec<S> = cuts.windows(2).map(|cut| collect(&items[cut[0]..cut[1]])).collect();
    while summaries.len() > 1 {
        let first = summaries.swap_remove(rng.usize(0..summaries.len()));
        let second = summaries.swap_remove(rng.usize(0..summaries.len()));
        summaries.push(merge(first, second));
    }
    summaries.remove(0)
}

fn quantiles(values: &[f64]) -> Quantiles {
    let mut quantiles = Quantiles::default();
    values.iter().for_each(|value| quantiles.add(*value));
    quantiles
}

fn merged_quantiles(values: &[f64], seed: u64) -> Quantiles {
    merge_at_random(values, seed, quantiles, |mut first, second| {
        first.merge(&second);
        first
    })
}

/// The values at the ranks below and above a probability, and the share of the second one (Hyndman and Fan's type 7).
fn neighbours(sorted: &[f64], probability: f64) -> (f64, f64, f64) {
    let position = probability * (sorted.len() - 1) as f64;
    (sorted[position.floor() as usize], sorted[position.ceil() as usize], position.fract())
}

const PROBABILITIES: [f64; 9] = [0.0, 0.001, 0.05, 0.25, 0.5, 0.75, 0.9, 0.999, 1.0];

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (0_u32..50).prop_map(f64::from),
        2 => select(vec![0.0, -0.0, 65_535.0, 65_536.0, 65_535.5, -1.0, 1e300, -1e300, f64::MAX, f64::MIN, f64::MIN_POSITIVE]),
        2 => -1e6..1e6_f64,
        1 => any::<f64>().prop_map(|value| if value.is_finite() { value } else { 0.5 }),
    ]
}

proptest! {
    #![proptest_config(property_config::property_config(1000))]

    #[test]
    fn few_values_are_exact_in_any_order_and_partition(values in vec(value(), 1..200), seed in any::<u64>()) {
        let (whole, merged) = (quantiles(&values), merged_quantiles(&values, seed));
        let mut sorted: Vec<f64> = values.iter().map(|value| value + 0.0).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let listed: Vec<f64> =
            whole.sorted().into_iter().flat_map(|(value, count)| std::iter::repeat_n(value, count as usize)).collect();
        prop_assert_eq!(&listed, &sorted);
        prop_assert_eq!(merged.sorted(), whole.sorted());
        sorted.dedup();
        prop_assert_eq!((whole.count(), whole.distinct()), (values.len() as u64, Some(sorted.len())));
        prop_assert_eq!((merged.count(), merged.distinct()), (whole.count(), whole.distinct()));
        let found = whole.at(&PROBABILITIES).unwrap();
        prop_assert_eq!(merged.at(&PROBABILITIES), Some(found.clone()));
        for (probability, found) in PROBABILITIES.into_iter().zip(found) {
            let (low, high, share) = neighbours(&listed, probability);
            let between = if (high - low).is_finite() { low + (high - low) * share } else { low * (1.0 - share) + high * share };
            prop_assert_eq!(found, between);
        }
    }
}

/// Many values of a random shape: around an offset of any size, both signs, with zeros and other values that repeat.
fn many_values(seed: u64) -> Vec<f64> {
    let mut rng = Rng::with_seed(seed);
    let (scale, offset) = (10_f64.powi(rng.i32(-6..9)), rng.f64() * 10_f64.powi(rng.i32(-3..4)) - 1.0);
    let repeated = [0.0, scale, scale * rng.f64(), -scale, offset];
    let (share, wide, whole) = (rng.f64() * 0.5, rng.bool(), rng.bool());
    (0..rng.usize(150_000..260_000))
        .map(|_| {
            if rng.f64() < share {
                return repeated[rng.usize(0..repeated.len())];
            }
            let unit = if wide { (rng.f64() * 40.0 - 20.0).exp() * if rng.bool() { 1.0 } else { -1.0 } } else { rng.f64() };
            if whole { ((offset + unit) * 1e7).round() } else { scale * (offset + unit) }
        })
        .collect()
}

proptest! {
    #![proptest_config(property_config::property_config(40))]

    #[test]
    fn many_values_are_within_the_stated_error_in_any_order_and_partition(seed in any::<u64>(), order in any::<u64>()) {
        let values = many_values(seed);
        let (whole, merged) = (quantiles(&values), merged_quantiles(&values, order));
        prop_assert_eq!(merged.distinct(), whole.distinct());
        prop_assert_eq!(merged.relative_error(), whole.relative_error());
        prop_assert_eq!(merged.sorted(), whole.sorted());
        let mut sorted = values;
        sorted.sort_unstable_by(f64::total_cmp);
        for (probability, found) in PROBABILITIES.into_iter().zip(whole.at(&PROBABILITIES).unwrap()) {
            let (low, high, share) = neighbours(&sorted, probability);
            let (exact, largest) = (low + (high - low) * share, low.abs().max(high.abs()));
            prop_assert!((found - exact).abs() <= largest * whole.relative_error(), "{} at {} instead of {}", found, probability, exact);
        }
    }
}

fn moments(pairs: &[(f64, f64)]) -> Moments {
    let mut moments = Moments::default();
    pairs.iter().for_each(|(x, y)| moments.add(*x, *y));
    moments
}

/// Sums of squared deviations of x and y, of their product, and the means, in two passes.
fn two_passes(pairs: &[(f64, f64)]) -> [f64; 5] {
    let n = pairs.len() as f64;
    let shift = pairs[0];
    let mean_x = shift.0 + pairs.iter().map(|(x, _)| x - shift.0).sum::<f64>() / n;
    let mean_y = shift.1 + pairs.iter().map(|(_, y)| y - shift.1).sum::<f64>() / n;
    let sum = |product: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|(x, y)| product(x - mean_x, y - mean_y)).sum::<f64>();
    [sum(&|x, _| x * x), sum(&|_, y| y * y), sum(&|x, y| x * y), mean_x, mean_y]
}

fn near(found: Option<f64>, expected: f64, tolerance: f64) -> Result<(), TestCaseError> {
    prop_assert!(found.is_some_and(|found| (found - expected).abs() <= tolerance), "{:?} instead of {}", found, expected);
    Ok(())
}

proptest! {
    #![proptest_config(property_config::property_config(1000))]

    #[test]
    fn moments_are_those_of_two_passes(
        units in vec((-1.0..1.0_f64, -1.0..1.0_f64, 0_usize..3), 4..150),
        scale in select(vec![1e-6, 1.0, 1e5]),
        offset in select(vec![0.0, -3.0, 1e4]),
        slope in -2.0..2.0_f64,
        seed in any::<u64>(),
    ) {
        let pairs: Vec<(f64, f64)> =
            units.iter().map(|(x, y, _)| (scale * (offset + x), scale * (slope * x + y - offset))).collect();
        let [xx, yy, xy, mean, _] = two_passes(&pairs);
        let n = pairs.len() as f64;
        for found in [moments(&pairs), merge_at_random(&pairs, seed, moments, |first, second| first.merged(&second))] {
            prop_assert_eq!(found.rows(), pairs.len() as u64);
            near(found.mean(), mean, 1e-10 * scale * (1.0 + offset.abs()))?;
            near(found.standard_deviation(), (xx / (n - 1.0)).sqrt(), 1e-9 * scale)?;
            near(found.correlation(), xy / (xx * yy).sqrt(), 1e-9)?;
        }
        let found = moments(&pairs);
        let mut groups = [(0.0, 0.0, 0_u64); 3];
        for ((x, _), (.., group)) in pairs.iter().zip(&units) {
            let (deviations, sum, rows) = groups[*group];
            groups[*group] = (deviations + x - mean, sum + x - found.shift_x(), rows + 1);
        }
        let groups = groups.iter().filter(|(.., rows)| *rows > 0);
        let between: f64 = groups.clone().map(|(deviations, _, rows)| deviations * deviations / *rows as f64).sum();
        near(found.explained_variance(groups.map(|(_, sum, rows)| (*sum, *rows))), between / xx, 1e-8)?;
    }

    #[test]
    fn frequencies_are_counts_in_any_order_and_partition(codes in vec(0_u32..9, 0..200), seed in any::<u64>()) {
        // the last codes have no level
        let levels: Vec<String> = ["b", "", "é", "a", "A", "a b", "7"].map(String::from).to_vec();
        let count = |codes: &[u32]| {
            let mut frequencies = Frequencies::default();
            let missing = frequencies.add_codes(&levels, codes.iter().copied());
            (frequencies, missing)
        };
        let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
        codes.iter().filter_map(|code| levels.get(*code as usize)).for_each(|level| *expected.entry(level).or_default() += 1);
        let merged = merge_at_random(&codes, seed, count, |mut first, second| {
            first.0.merge(&second.0);
            (first.0, first.1 + second.1)
        });
        prop_assert_eq!(&merged, &count(&codes));
        let (found, missing) = merged;
        prop_assert_eq!(missing as usize, codes.iter().filter(|code| **code as usize >= levels.len()).count());
        prop_assert_eq!(found.levels(), expected.keys().copied().collect::<Vec<_>>());
        prop_assert_eq!(found.distinct(), expected.len());
        let mut by_count: Vec<(&str, u64)> = expected.into_iter().collect();
        by_count.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        prop_assert_eq!(found.most_frequent(), by_count.clone());
        for (level, count) in by_count {
            prop_assert_eq!(found.count(level), count);
        }
    }
}
