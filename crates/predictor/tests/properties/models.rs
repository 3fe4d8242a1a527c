//! Random models with their preprocessors, and random rows for them.

use features::{Fitter, Plan};
use model::{
    BlendMember, BlendMemberModel, Conformal, Ensemble, Linear, Model, ModelFile, Regressor, SplitCondition, SvrModel,
    TargetTransform, Trees,
};
use predictor::Predictor;
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};
use schema::{Categories, CellValue, MISSING_LEVEL, PipelineConfig, Schema, Table, Values};

/// Levels of category columns; the last ones are not listed in the schema.
pub(crate) const LEVELS: [&str; 6] = ["Rural", "Urban", "Poor", "Good", "é x", "Mars"];

const COLUMNS: &str = "table:
  target: price
  columns:
    id: {type: id}
    place: {type: category, levels: [Rural, Urban]}
    area: {type: float}
    price: {type: float}
    rooms: {type: integer}
    kind: {type: category}
    sold: {type: date}
    state: {type: category, levels: [Poor, Good], ordered: true}
    note: {type: text}
engineer:
  reference_year: 2026
  derive: {age: reference_year - year(sold), ratio: 'area / (rooms - 2) ^ 2', weekday: weekday(sold)}
";

/// The columns that features use, in the order of the schema.
pub(crate) const FIELDS: [&str; 6] = ["place", "area", "rooms", "kind", "sold", "state"];

/// The values of a row.
#[derive(Clone, Debug)]
pub(crate) struct RawRow {
    pub(crate) area: Option<f64>,
    pub(crate) rooms: Option<i32>,
    /// Days since 1970-01-01.
    pub(crate) sold: Option<i32>,
    /// Indices into [`LEVELS`].
    pub(crate) place: Option<usize>,
    pub(crate) kind: Option<usize>,
    pub(crate) state: Option<usize>,
}

/// A row. Only `kind` can have a level that is in no training row, if `is_new`.
pub(crate) fn raw_row(is_new: bool) -> impl Strategy<Value = RawRow> {
    let area = prop_oneof![
        4 => -3.0..5.0_f64,
        3 => select(vec![0.0, -0.0, 0.5, 1.0, 2.0, 1e300, -1e300, f64::MIN_POSITIVE, 5e-324, 1e17]),
    ];
    let kinds = if is_new { LEVELS.len() } else { 4 };
    (
        prop::option::weighted(0.8, area),
        prop::option::weighted(0.8, -3..6),
        prop::option::weighted(0.8, -800..22_000),
        prop::option::weighted(0.8, 0_usize..2),
        prop::option::weighted(0.8, 0..kinds),
        prop::option::weighted(0.8, 2_usize..4),
    )
        .prop_map(|(area, rooms, sold, place, kind, state)| RawRow { area, rooms, sold, place, kind, state })
}

/// A tree: for each split the leaf that it splits, the feature, the threshold, the codes, where missing values go, and two outputs.
type Splits = Vec<(Index, Index, f64, Vec<u32>, bool, [f64; 2])>;

fn splits(count: usize) -> impl Strategy<Value = Splits> {
    let threshold = prop_oneof![2 => -2.0..4.0_f64, 2 => select(vec![0.0, 0.5, 1.0, 2.0, -0.0, 1e10]), 1 => 0.0..60.0_f64];
    let codes = prop::collection::btree_set(0_u32..40, 0..4).prop_map(|codes| codes.into_iter().collect());
    let output = || (-5_i8..5).prop_map(|value| f64::from(value) / 7.0);
    vec((any::<Index>(), any::<Index>(), threshold, codes, any::<bool>(), [output(), output()]), 0..count)
}

fn trees(ensemble: &[Splits], native: &[bool]) -> Trees {
    let mut trees = Trees::default();
    for splits in ensemble {
        let mut leaves = vec![trees.begin_tree(0.25, 1.0)];
        for (leaf, feature, threshold, codes, missing_left, outputs) in splits {
            let feature = feature.index(native.len());
            let rule =
                if native[feature] { SplitCondition::OneOf(codes.clone()) } else { SplitCondition::AtMost(*threshold) };
            let leaf = leaves.swap_remove(leaf.index(leaves.len()));
            let left = trees.split(leaf, feature, &rule, *missing_left, outputs.map(|output| (output, 1.0)));
            leaves.extend([left, left + 1]);
        }
    }
    trees
}

/// A configuration and a model.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    number: &'static str,
    unknown: &'static str,
    encodings: &'static str,
    /// Of each feature of the preprocessor, whether the model uses it, and in which order.
    selected: Vec<(bool, u32)>,
    kind: Vec<usize>,
    ensembles: [Vec<Splits>; 2],
    numbers: Vec<f64>,
    log: bool,
    interval: Option<(bool, Vec<i8>)>,
}

pub(crate) fn setup() -> impl Strategy<Value = Setup> {
    let encodings = vec!["", "kind: native", "place: native, kind: native, state: native", "state: one_hot"];
    let ensemble = || prop_oneof![3 => vec(splits(6), 0..20), 1 => vec(splits(20), 0..12)];
    (
        (select(vec!["median", "mean", "none"]), select(vec!["reject", "other"]), select(encodings)),
        vec((prop::bool::weighted(0.8), any::<u32>()), 24),
        vec(0_usize..3, 1..4),
        [ensemble(), ensemble()],
        vec(-2.0..2.0_f64, 80),
        any::<bool>(),
        prop::option::of((any::<bool>(), vec(any::<i8>(), 1..30))),
    )
        .prop_map(|((number, unknown, encodings), selected, kind, ensembles, numbers, log, interval)| Setup {
            number,
            unknown,
            encodings,
            selected,
            kind,
            ensembles,
            numbers,
            log,
            interval,
        })
}

/// A member of the kind of this number: linear, trees, or a support vector machine.
fn member(setup: &Setup, kind: usize, native: &[bool]) -> BlendMemberModel {
    let (width, numbers) = (native.len(), &setup.numbers);
    match kind {
        0 => BlendMemberModel::Linear(Linear { intercept: numbers[0], coefficients: numbers[1..=width].to_vec() }),
        1 => BlendMemberModel::Trees(ensemble(setup, 0, native)),
        _ => BlendMemberModel::Svr(SvrModel {
            means: numbers[..width].to_vec(),
            scales: numbers[width..2 * width].iter().map(|number| number.abs() + 0.1).collect(),
            gamma: 0.05,
            vectors: numbers[..3 * width].to_vec(),
            weights: numbers[..3].to_vec(),
            bias: numbers[3],
        }),
    }
}

fn ensemble(setup: &Setup, place: usize, native: &[bool]) -> Ensemble {
    let trees = trees(&setup.ensembles[place], native);
    Ensemble { base: setup.numbers[4], factor: 1.0 / 3.0, log_link: setup.log && place == 0, trees }
}

/// The model of a configuration that was fitted to training rows; `None` if a column has no value in them.
pub(crate) fn predictor(setup: &Setup, training: &[RawRow]) -> Option<Predictor> {
    let text = format!(
        "{COLUMNS}  impute: {{number: {}}}\n  unknown_category: {}\n  encode: {{columns: {{{}}}}}\n",
        setup.number, setup.unknown, setup.encodings
    );
    let config = PipelineConfig::parse(&text).unwrap();
    let schema = Schema::from_section(&config.table).unwrap();
    let plan = Plan::from_section(&schema, &config.engineer).unwrap();
    let mut fitter = Fitter::new(&plan);
    fitter.update(&table(training), &vec![true; training.len()]);
    let preprocessor = fitter.finish().ok()?;
    let mut selected: Vec<(u32, &String)> = preprocessor
        .feature_names()
        .iter()
        .zip(&setup.selected)
        .filter(|(_, (is_used, _))| *is_used)
        .map(|(name, (_, order))| (*order, name))
        .collect();
    selected.sort_unstable();
    let features: Vec<String> = selected.into_iter().map(|(_, name)| name.clone()).collect();
    if features.is_empty() {
        return None;
    }
    let native: Vec<bool> = features.iter().map(|name| preprocessor.is_categorical(name)).collect();
    let regressor = match setup.kind.as_slice() {
        [0] => match member(setup, 0, &native) {
            BlendMemberModel::Linear(linear) => Regressor::Linear(linear),
            _ => unreachable!(),
        },
        [1] => Regressor::Trees(ensemble(setup, 0, &native)),
        [kind] => match member(setup, *kind, &native) {
            BlendMemberModel::Svr(svr) => Regressor::Svr(svr),
            _ => unreachable!(),
        },
        kinds => Regressor::Blend(
            kinds
                .iter()
                .zip(&setup.numbers)
                .map(|(kind, weight)| BlendMember {
                    weight: *weight,
                    transform: if setup.log { TargetTransform::Log } else { TargetTransform::None },
                    regressor: member(setup, *kind, &native),
                })
                .collect(),
        ),
    };
    let interval = setup.interval.as_ref().map(|(has_difficulty, scores)| {
        let mut scores: Vec<f64> = scores.iter().map(|score| f64::from(*score)).collect();
        scores.sort_unstable_by(f64::total_cmp);
        Conformal {
            transform: TargetTransform::None,
            difficulty: has_difficulty.then(|| ensemble(setup, 1, &native)),
            rows: scores.len() as u64,
            scores,
        }
    });
    let file = ModelFile {
        name: "m".into(),
        algorithm: "any".into(),
        target: "price".into(),
        target_transform: TargetTransform::None,
        means: vec![0.5; features.len()],
        features,
        preprocessor: String::new(),
        schema: schema.fingerprint(),
        seed: 1,
        train_rows: training.len() as u64,
        regressor,
        interval,
    };
    Some(Predictor::new(Model::from_file(file).unwrap(), preprocessor).unwrap())
}

/// A table of rows.
pub(crate) fn table(rows: &[RawRow]) -> Table {
    let mut table = Table::new(rows.len());
    let number = |value: &dyn Fn(&RawRow) -> Option<f64>| {
        Values::Number(rows.iter().map(|row| value(row).unwrap_or(f64::NAN)).collect())
    };
    let level = |value: &dyn Fn(&RawRow) -> Option<usize>| {
        let codes = rows.iter().map(|row| value(row).map_or(MISSING_LEVEL, |level| level as u32)).collect();
        Values::Category(Categories { codes, levels: LEVELS.map(String::from).to_vec() })
    };
    table.push("area", number(&|row| row.area));
    table.push("rooms", number(&|row| row.rooms.map(f64::from)));
    table.push("sold", number(&|row| row.sold.map(f64::from)));
    table.push("place", level(&|row| row.place));
    table.push("kind", level(&|row| row.kind));
    table.push("state", level(&|row| row.state));
    table
}

/// The cells of a row, in the order of [`FIELDS`].
pub(crate) fn cells(row: &RawRow) -> Vec<CellValue<'static>> {
    let number = |value: Option<f64>| value.map_or(CellValue::Missing, CellValue::Number);
    let level = |value: Option<usize>| value.map_or(CellValue::Missing, |level| CellValue::Level(LEVELS[level].into()));
    FIELDS
        .iter()
        .map(|name| match *name {
            "place" => level(row.place),
            "area" => number(row.area),
            "rooms" => number(row.rooms.map(f64::from)),
            "kind" => level(row.kind),
            "sold" => number(row.sold.map(f64::from)),
            _ => level(row.state),
        })
        .collect()
}
