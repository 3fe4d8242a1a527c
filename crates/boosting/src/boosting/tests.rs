//! Tests of whole fits: against an exhaustive search of splits, and of the effect of each setting.

use fastrand::Rng;

use crate::boosting::*;
use crate::{
    parameters::EarlyStopping,
    tree::{
        ensemble::{NodeView, SplitCondition},
        traversal::EnsembleOutput,
    },
};

struct Table {
    columns: Vec<Vec<f64>>,
    y: Vec<f64>,
}

/// Numbers with missing values, small integers, codes of categories, and a target that depends on all.
fn table(rows: usize, seed: u64) -> Table {
    let mut rng = Rng::with_seed(seed);
    let mut columns = vec![Vec::new(); 4];
    let mut y = Vec::new();
    for _ in 0..rows {
        let (a, b, code) = (rng.f64(), rng.u32(0..6), rng.u32(0..20));
        let missing = rng.f64() < 0.1;
        let effect = [5.0, -3.0, 8.0, 0.0, 2.0][(code % 5) as usize];
        columns[0].push(if missing { f64::NAN } else { a });
        columns[1].push(f64::from(b));
        columns[2].push(f64::from(code));
        columns[3].push(rng.f64());
        y.push(20.0 + if missing { 12.0 } else { 10.0 * a } + f64::from(b) * a + effect + 0.2 * rng.f64());
    }
    Table { columns, y }
}

fn parameters() -> BoostingParameters {
    BoostingParameters { iterations: 30, min_samples_leaf: 5, ..BoostingParameters::default() }
}

fn predicted(model: &BoostedTrees, columns: &[Vec<f64>]) -> Vec<f64> {
    model.trees.predict(columns, columns[0].len(), EnsembleOutput { base: model.base, factor: 1.0 })
}

fn rmse(model: &BoostedTrees, table: &Table) -> f64 {
    let errors = predicted(model, &table.columns).into_iter().zip(&table.y).map(|(p, y)| (p - y).powi(2));
    (errors.sum::<f64>() / table.y.len() as f64).sqrt()
}

#[test]
fn the_first_split_is_the_best_possible_one() {
    let Table { columns, y } = table(300, 1);
    let columns = vec![columns[1].clone(), columns[3].clone()];
    let stump = BoostingParameters {
        iterations: 1,
        learning_rate: 1.0,
        max_leaves: Some(2),
        min_samples_leaf: 7,
        ..BoostingParameters::default()
    };
    let model = fit(&columns, &y, None, &stump).unwrap();
    let NodeView::Split { feature, rule: SplitCondition::AtMost(threshold), .. } = model.trees.view(0) else {
        panic!("a split")
    };
    let mean = |rows: &[usize]| rows.iter().map(|row| y[*row]).sum::<f64>() / rows.len() as f64;
    let mut best = (f64::NEG_INFINITY, 0, 0.0, 0.0, 0.0);
    for (place, column) in columns.iter().enumerate() {
        for value in column {
            let (left, right): (Vec<usize>, Vec<usize>) = (0..300).partition(|row| column[*row] <= *value);
            if left.len() >= 7 && right.len() >= 7 {
                let (a, b) = (mean(&left), mean(&right));
                let gain = (left.len() * right.len()) as f64 * (a - b).powi(2);
                if gain > best.0 {
                    best = (gain, place, *value, a, b);
                }
            }
        }
    }
    let next = columns[best.1].iter().copied().filter(|value| *value > best.2).fold(f64::INFINITY, f64::min);
    // bins hold one or two values: the threshold is half way between them or near it
    assert!(feature == best.1 && threshold >= best.2 - 0.01 && threshold < next + 0.01, "{feature} {threshold} {best:?}");
    let leaves = [1, 2].map(|node| match model.trees.view(node) {
        NodeView::Leaf { value } => value + model.base,
        NodeView::Split { .. } => f64::NAN,
    });
    assert!((leaves[0] - best.3).abs() < 0.1 && (leaves[1] - best.4).abs() < 0.1, "{leaves:?} {best:?}");
}

#[test]
fn the_result_does_not_depend_on_threads_or_runs() {
    let Table { columns, y } = table(40_000, 2);
    let weights: Vec<f64> = (0..40_000).map(|row| 1.0 + f64::from(row % 3)).collect();
    for (loss, weights, subsample) in [
        (Loss::Squared, None, 1.0),
        (Loss::Squared, Some(weights.as_slice()), 0.7),
        (Loss::Absolute, None, 0.5),
        (Loss::Huber { alpha: 0.9 }, None, 1.0),
        (Loss::Gamma, None, 1.0),
    ] {
        let parameters = BoostingParameters {
            loss,
            subsample,
            iterations: 5,
            features_per_split: 0.7,
            categorical: vec![false, false, true, false],
            early_stopping: Some(EarlyStopping { rounds: 3, fraction: 0.1, tolerance: 0.0 }),
            ..parameters()
        };
        let at = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| fit(&columns, &y, weights, &parameters).unwrap())
        };
        let one = at(1);
        assert!(one.trees.len() >= 3);
        for threads in [1, 2, 3, 7] {
            assert_eq!(at(threads), one, "{loss:?} at {threads} threads");
        }
    }
}

#[test]
fn missing_values_and_categories_are_fitted_without_encoding() {
    let (train, test) = (table(4000, 3), table(1000, 4));
    let model = fit(&train.columns, &train.y, None, &BoostingParameters { iterations: 100, ..parameters() }).unwrap();
    let native = BoostingParameters { iterations: 100, categorical: vec![false, false, true, false], ..parameters() };
    let with_sets = fit(&train.columns, &train.y, None, &native).unwrap();
    let (numbers, sets) = (rmse(&model, &test), rmse(&with_sets, &test));
    // the target's standard deviation is above 5; unordered codes need more splits as numbers than as sets
    assert!(sets < 0.6 && sets < numbers, "{sets} {numbers}");
    let effect_of_missing = |model: &BoostedTrees| {
        let row = |a: f64| predicted(model, &[vec![a], vec![0.0], vec![3.0], vec![0.5]])[0];
        row(f64::NAN) - row(0.1)
    };
    assert!(effect_of_missing(&with_sets) > 8.0, "{}", effect_of_missing(&with_sets));
}

#[test]
fn predictions_are_monotone_where_required() {
    let Table { columns, y } = table(2000, 5);
    for (loss, direction) in [(Loss::Squared, 1), (Loss::Squared, -1), (Loss::Absolute, 1), (Loss::Gamma, -1)] {
        let parameters = BoostingParameters { loss, monotone: vec![direction, 0, 0, 0], ..parameters() };
        let model = fit(&columns, &y, None, &parameters).unwrap();
        let mut changes = false;
        for row in [0, 17, 33, 61, 98, 250, 777, 1500] {
            let steps: Vec<f64> = (0..=100).map(|step| f64::from(step) / 100.0).collect();
            let complement = (1..4).map(|feature| vec![columns[feature][row]; 101]);
            let line = predicted(&model, &[steps].into_iter().chain(complement).collect::<Vec<_>>());
            let monotone_line = line.windows(2).all(|pair| (pair[1] - pair[0]) * f64::from(direction) >= 0.0);
            assert!(monotone_line, "{loss:?} {direction}: {line:?}");
            changes |= line[0] != line[100];
        }
        assert!(changes || direction < 0);
    }
}

#[test]
fn each_loss_is_minimised_by_its_statistic() {
    let Table { columns, y } = table(3000, 6);
    let skewed: Vec<f64> = y.iter().enumerate().map(|(row, y)| if row % 20 == 0 { y + 200.0 } else { *y }).collect();
    let of =
        |loss: Loss| fit(&columns, &skewed, None, &BoostingParameters { loss, iterations: 80, ..parameters() }).unwrap();
    for alpha in [0.1, 0.5, 0.8] {
        let p = predicted(&of(Loss::Quantile { alpha }), &columns);
        let below = p.iter().zip(&skewed).filter(|(p, y)| *y <= *p).count() as f64 / 3000.0;
        assert!((below - alpha).abs() < 0.05, "{alpha}: {below}");
    }
    let error = |model: &BoostedTrees| {
        let p = predicted(model, &columns);
        p.iter().zip(&y).map(|(p, y)| (p - y).abs()).sum::<f64>() / 3000.0
    };
    let squared = error(&of(Loss::Squared));
    for loss in [Loss::Absolute, Loss::Huber { alpha: 0.9 }] {
        assert!(error(&of(loss)) < 0.5 * squared, "{loss:?}");
    }
    for loss in [Loss::Poisson, Loss::Gamma] {
        let model = fit(&columns, &y, None, &BoostingParameters { loss, iterations: 80, ..parameters() }).unwrap();
        let p: Vec<f64> = predicted(&model, &columns).into_iter().map(f64::exp).collect();
        let mean = (p.iter().sum::<f64>() / y.iter().sum::<f64>() - 1.0).abs();
        assert!(mean < 0.01, "{loss:?}: {mean}");
    }
}

#[test]
fn an_integer_weight_equals_repeated_rows() {
    let Table { columns, y } = table(200, 7);
    let weights: Vec<f64> = (0..200).map(|row| f64::from(row % 3)).collect();
    let repeated: Vec<usize> = (0..200).flat_map(|row| vec![row; row % 3]).collect();
    let pick = |values: &[f64]| repeated.iter().map(|row| values[*row]).collect::<Vec<f64>>();
    let limited_tree =
        |min_samples_leaf| BoostingParameters { iterations: 10, max_leaves: Some(6), min_samples_leaf, ..parameters() };
    let weighted = fit(&columns, &y, Some(&weights), &limited_tree(1)).unwrap();
    let columns_repeated: Vec<Vec<f64>> = columns.iter().map(|column| pick(column)).collect();
    let by_rows = fit(&columns_repeated, &pick(&y), None, &limited_tree(1)).unwrap();
    for (a, b) in predicted(&weighted, &columns_repeated).iter().zip(predicted(&by_rows, &columns_repeated)) {
        assert!((a - b).abs() < 1e-6 * b.abs(), "{a} {b}");
    }
}

#[test]
fn early_stopping_keeps_the_best_trees() {
    let (train, test) = (table(600, 8), table(2000, 9));
    let noisy: Vec<f64> =
        train.y.iter().enumerate().map(|(row, y)| y + 6.0 * f64::from((row * 7919 % 13) as u32) / 13.0).collect();
    let stopping = Some(EarlyStopping { rounds: 10, fraction: 0.2, tolerance: 0.0 });
    let many = BoostingParameters { iterations: 2000, learning_rate: 0.2, min_samples_leaf: 1, ..parameters() };
    let stopped =
        fit(&train.columns, &noisy, None, &BoostingParameters { early_stopping: stopping, ..many.clone() }).unwrap();
    assert!((5..400).contains(&stopped.trees.len()), "{}", stopped.trees.len());
    let all = fit(&train.columns, &noisy, None, &BoostingParameters { iterations: 500, ..many }).unwrap();
    assert!(rmse(&stopped, &test) < rmse(&all, &test));
}

#[test]
fn growth_limits_are_respected() {
    let Table { columns, y } = table(1000, 10);
    let limited = BoostingParameters { max_depth: Some(3), max_leaves: Some(6), min_samples_leaf: 40, ..parameters() };
    let model = fit(&columns, &y, None, &limited).unwrap();
    for range in model.trees.ranges() {
        let leaves: Vec<usize> = range.filter(|node| matches!(model.trees.view(*node), NodeView::Leaf { .. })).collect();
        assert!(leaves.len() <= 6 && leaves.iter().all(|leaf| model.trees.cover(*leaf) >= 40.0));
    }
    let strict = fit(&columns, &y, None, &BoostingParameters { min_split_gain: 1e9, ..parameters() }).unwrap();
    assert!(strict.trees.is_empty());
    let largest_output = |l1, l2| {
        let model = fit(&columns, &y, None, &BoostingParameters { l1, l2, iterations: 1, ..parameters() }).unwrap();
        predicted(&model, &columns).iter().map(|p| (p - model.base).abs()).fold(0.0, f64::max)
    };
    assert!(largest_output(0.0, 100.0) < largest_output(0.0, 0.0) && largest_output(100.0, 0.0) < largest_output(0.0, 0.0));
}

#[test]
fn extreme_data_gives_an_error_or_a_valid_model() {
    let gaps = vec![f64::NAN; 30];
    let line: Vec<f64> = (0..30).map(f64::from).collect();
    let levels: Vec<f64> = (0..10_000).map(f64::from).collect();
    let constant = vec![1.0; 30];
    let fit_valid = |columns: &[Vec<f64>], y: &[f64], parameters: &BoostingParameters| {
        let model = fit(columns, y, None, parameters).unwrap();
        model.trees.validate(columns.len()).unwrap();
        assert!(predicted(&model, columns).iter().all(|p| p.is_finite()), "{y:?}");
        model
    };
    let one = BoostingParameters { min_samples_leaf: 1, ..parameters() };
    assert!(fit_valid(std::slice::from_ref(&gaps), &line, &one).trees.is_empty());
    assert!(fit_valid(&[constant], &line, &one).trees.is_empty());
    assert!(fit_valid(&[vec![0.0, 1.0]], &[1.0, 2.0], &one).trees.len() > 1);
    fit_valid(&[vec![0.0]], &[1.0], &one);
    fit_valid(std::slice::from_ref(&line), &[7.0; 30], &one);
    let huge: Vec<f64> = line.iter().map(|value| value * 1e300 / 30.0).collect();
    let tiny: Vec<f64> = line.iter().map(|value| (value + 1.0) * 1e-300).collect();
    for loss in [Loss::Squared, Loss::Absolute, Loss::Huber { alpha: 0.9 }, Loss::Quantile { alpha: 0.1 }] {
        fit_valid(std::slice::from_ref(&line), &huge, &BoostingParameters { loss, ..one.clone() });
        fit_valid(std::slice::from_ref(&line), &tiny, &BoostingParameters { loss, ..one.clone() });
        fit_valid(std::slice::from_ref(&huge), &line, &BoostingParameters { loss, ..one.clone() });
    }
    fit_valid(std::slice::from_ref(&levels), &levels, &BoostingParameters { categorical: vec![true], ..one.clone() });
    fit_valid(std::slice::from_ref(&levels), &levels, &one);
    let error_of = |columns: &[Vec<f64>], y: &[f64], parameters: &BoostingParameters| {
        fit(columns, y, None, parameters).unwrap_err().to_string()
    };
    assert_eq!(error_of(&[], &[], &one), "the table has no row");
    assert_eq!(error_of(std::slice::from_ref(&line), &[f64::NAN; 30], &one), "the target of row 1 is not a finite number");
    assert_eq!(error_of(&[vec![f64::INFINITY; 30]], &line, &one), "feature 0 holds an infinite number");
    let gamma = BoostingParameters { loss: Loss::Gamma, ..one.clone() };
    assert_eq!(error_of(std::slice::from_ref(&line), &line, &gamma), "a gamma loss needs a target above 0");
    assert_eq!(
        error_of(std::slice::from_ref(&line), &line, &BoostingParameters { subsample: 0.0, ..one.clone() }),
        "subsample must be above 0 and at most 1"
    );
    let both = BoostingParameters { monotone: vec![1], categorical: vec![true], ..one };
    assert_eq!(error_of(std::slice::from_ref(&line), &line, &both), "a categorical feature cannot be monotone");
}
