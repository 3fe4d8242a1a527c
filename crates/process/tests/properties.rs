//! Properties of the split: other rows and their order do not change the split of a row, groups stay together, and equal rows are duplicates.

#[path = "../../testkit/shared/property_config.rs"]
mod property_config;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use clap::Parser;
use cli::Progress;
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};

const HEADER: &str = "block,area,place,kind,built,sold,price";

/// The content of a row; numbers stand for values from short lists, so that many rows are equal.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Content {
    block: Option<u8>,
    area: Option<i8>,
    place: Option<u8>,
    kind: Option<u8>,
    built: Option<u16>,
    sold: Option<u8>,
    price: Option<u16>,
    is_valid: bool,
}

/// A row: its content, and a number by which its spelling is chosen.
type Row = (Content, u64);

fn content() -> impl Strategy<Value = Content> {
    let option = |end: u8| prop::option::weighted(0.8, 0..end);
    let area = prop::option::weighted(0.8, -2_i8..3);
    let built = prop::option::weighted(0.8, 1990_u16..1993);
    let price = prop::option::weighted(0.9, 0_u16..5);
    (option(5), area, option(2), option(3), built, option(2), price, prop::bool::weighted(0.95)).prop_map(
        |(block, area, place, kind, built, sold, price, is_valid)| Content {
            block,
            area,
            place,
            kind,
            built,
            sold,
            price,
            is_valid,
        },
    )
}

/// Two tables with many rows in common.
fn tables() -> impl Strategy<Value = [Vec<Row>; 2]> {
    let picks = || vec((any::<Index>(), any::<u64>()), 20..120);
    (vec(content(), 10..50), picks(), picks()).prop_map(|(contents, first, second)| {
        [first, second].map(|picks| picks.into_iter().map(|(at, spelling)| (at.get(&contents).clone(), spelling)).collect())
    })
}

/// The record of a row. Equal contents have many spellings.
fn record((content, spelling): &Row) -> String {
    let mut left = *spelling;
    let mut choose = |count: u64| {
        let choice = left % count;
        left /= count;
        choice as usize
    };
    let mut missing = || ["", "NA", " null", "?"][choose(4)].to_owned();
    let mut cells: Vec<Option<Vec<String>>> = Vec::new();
    cells.push(content.block.map(|block| vec![format!("B{block}"), format!(" B{block} ")]));
    cells.push(content.area.map(|area| match area {
        0 => ["0", "-0", "0.0", "-0.0", "0e5"].map(str::to_owned).to_vec(),
        area => {
            let value = f64::from(area) / 2.0;
            vec![format!("{value}"), format!("{value:.3}"), format!(" {value} "), format!("{}e-1", area * 5)]
        }
    }));
    cells.push(content.place.map(|place| {
        let name = ["Rural", "Urban"][usize::from(place)];
        vec![
            name.to_owned(),
            name.to_uppercase(),
            format!(" {} ", name.to_lowercase()),
            ["land", "town"][usize::from(place)].to_owned(),
        ]
    }));
    cells.push(content.kind.map(|kind| vec![["é", "b c", "x"][usize::from(kind)].to_owned()]));
    cells.push(content.built.map(|built| vec![built.to_string(), format!(" {built}")]));
    cells.push(content.sold.map(|sold| vec![format!("2020-01-0{}", sold + 1)]));
    cells.push(content.price.map(|price| vec![price.to_string(), format!("{price}.0"), format!("{price}.00 ")]));
    let mut texts: Vec<String> = Vec::new();
    for spellings in cells {
        texts.push(spellings.map_or_else(&mut missing, |spellings| spellings[*spelling as usize % spellings.len()].clone()));
    }
    if !content.is_valid {
        texts[4] = "soon".into();
    }
    texts.join(",")
}

/// The settings of a run.
#[derive(Clone, Debug)]
struct Settings {
    seed: u64,
    test: f64,
    key: Option<&'static str>,
}

fn settings() -> impl Strategy<Value = Settings> {
    let key = select(vec![None, Some("block"), Some("place"), Some("area"), Some("sold")]);
    (any::<u64>(), 0.2..0.8_f64, key).prop_map(|(seed, test, key)| Settings { seed, test, key })
}

/// The rows of an output, each with its split and in order, where zero has no sign; and the counts of the run.
type Output = (Vec<(String, String)>, BTreeMap<String, u64>);

/// Runs `process` on these records; `None` if all rows of the output would be in one split.
fn process(folder: &Path, settings: &Settings, records: &[String]) -> Option<Output> {
    let text = format!("{HEADER}\n{}\n", records.join("\n"));
    let pipeline = format!(
        "table:\n  target: price\n  columns:\n    price: {{type: float}}\n    block: {{type: id}}\n    area: {{type: float}}\n    \
         place: {{type: category, levels: [Rural, Urban], aliases: {{land: Rural, town: Urban}}}}\n    kind: {{type: category}}\n    \
         built: {{type: integer}}\n    sold: {{type: date}}\nprocess:\n  max_quarantined: 1\n  split: {{seed: {}, test: {}{}}}\n",
        settings.seed,
        settings.test,
        settings.key.map_or(String::new(), |key| format!(", key: {key}"))
    );
    let path = |name: &str| folder.join(name).display().to_string();
    fs::write(path("raw.csv"), text).unwrap();
    fs::write(path("pipeline.yaml"), pipeline).unwrap();
    let (input, output, config) = (path("raw.csv"), path("clean.csv"), path("pipeline.yaml"));
    let words = ["process", "--input", &input, "--output", &output, "--pipeline-config", &config, "--quiet"];
    let args = process::Args::parse_from(words);
    if let Err(error) = process::main(&args, &Progress::new(args.global())) {
        let message = error.to_string();
        assert!(message.contains("rows left is a t") || message.contains("row(s) left after cleaning"), "{message}");
        return None;
    }
    let text = fs::read_to_string(&output).unwrap();
    let rows = text.lines().skip(1).map(|line| line.rsplit_once(',').unwrap());
    let rows = rows.map(|(content, split)| (content.replace("-0.0", "0.0"), split.to_owned())).collect();
    let manifest = artifact::Manifest::read_beside(Path::new(&output)).unwrap().unwrap();
    Some((rows, manifest.rows))
}

/// Checks that equal rows are duplicates of the first one, and that no row is lost.
fn check_duplicates(rows: &[Row], (output, counts): &Output) -> Result<(), TestCaseError> {
    let kept: Vec<&Content> =
        rows.iter().map(|(content, _)| content).filter(|content| content.is_valid && content.price.is_some()).collect();
    let distinct: BTreeSet<&Content> = kept.iter().copied().collect();
    prop_assert_eq!(output.len(), distinct.len());
    prop_assert_eq!(output.iter().map(|(content, _)| content).collect::<BTreeSet<_>>().len(), distinct.len());
    prop_assert_eq!(counts["duplicates"] as usize, kept.len() - distinct.len());
    // rows in the order of their first occurrence: their years of construction are written as they are
    let mut seen = BTreeSet::new();
    let first = kept.iter().filter(|content| seen.insert(**content));
    let expected: Vec<String> =
        first.map(|content| content.built.map_or(String::new(), |built| built.to_string())).collect();
    let found: Vec<String> = output.iter().map(|(content, _)| content.split(',').nth(5).unwrap().to_owned()).collect();
    prop_assert_eq!(found, expected);
    Ok(())
}

proptest! {
    #![proptest_config(property_config::property_config(25))]

    #[test]
    fn a_row_keeps_its_split_among_other_rows(settings in settings(), [rows, others] in tables()) {
        let folder = tempfile::tempdir().unwrap();
        let run = |rows: &[Row]| process(folder.path(), &settings, &rows.iter().map(record).collect::<Vec<_>>());
        let (Some(before), Some(after)) = (run(&rows), run(&others)) else { return Ok(()) };
        check_duplicates(&rows, &before)?;
        check_duplicates(&others, &after)?;

        let splits: BTreeMap<&String, &String> = before.0.iter().map(|(content, split)| (content, split)).collect();
        for (content, split) in &after.0 {
            if let Some(known) = splits.get(content) {
                prop_assert_eq!(*known, split, "{}", content);
            }
        }
        // columns of the output are those of the configuration
        let place = ["price", "block", "area", "place", "kind", "built", "sold"].iter().position(|name| Some(*name) == settings.key);
        if let Some(place) = place {
            let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
            for (content, split) in before.0.iter().chain(&after.0) {
                groups.entry(content.split(',').nth(place).unwrap()).or_default().insert(split);
            }
            // rows without a key are no group
            groups.remove("");
            prop_assert!(groups.values().all(|splits| splits.len() == 1), "{:?}", groups);
        }
    }
}

proptest! {
    #![proptest_config(property_config::property_config(12))]

    #[test]
    fn the_share_of_test_rows_is_near_the_setting(seed in any::<u64>(), test in 0.02..0.98_f64, first in 0_u32..1000, groups in any::<bool>()) {
        let count = 4000;
        let records: Vec<String> = (first..first + count).map(|row| format!("B{row},{row}.5,Rural,x,1990,2020-01-01,{}", row % 7)).collect();
        let settings = Settings { seed, test, key: groups.then_some("block") };
        let folder = tempfile::tempdir().unwrap();
        let (output, _) = process(folder.path(), &settings, &records).unwrap();
        let found = output.iter().filter(|(_, split)| split == "test").count() as f64;
        // five standard deviations of a binomial distribution
        let (expected, deviation) = (f64::from(count) * test, (f64::from(count) * test * (1.0 - test)).sqrt());
        prop_assert!((found - expected).abs() <= 5.0 * deviation, "{} test rows instead of {}", found, expected);
    }
}
