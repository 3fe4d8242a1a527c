//! Reads the featured table into training and test rows.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use cli::Progress;
use model::Matrix;
use schema::{SPLIT_COLUMN, TEST, TRAIN};
use table_io::{Block, ColumnKind, TableSource};

use crate::config::Config;

/// The rows of one split.
pub(crate) struct SplitSide {
    pub(crate) x: Matrix,
    pub(crate) y: Vec<f64>,
}

/// The featured table, by split.
pub(crate) struct Dataset {
    pub(crate) features: Vec<String>,
    pub(crate) train: SplitSide,
    pub(crate) test: SplitSide,
    /// The lines of the test rows in the featured table.
    pub(crate) test_lines: Vec<u64>,
}

/// The columns to read of a featured table.
pub(crate) struct TableSelection<'a> {
    pub(crate) path: &'a Path,
    pub(crate) target: &'a str,
    /// Selects features by name, among those of the table.
    pub(crate) choose: &'a (dyn Fn(&[String]) -> anyhow::Result<Vec<String>> + Sync),
    /// The column of sample weights.
    pub(crate) weight: Option<&'a str>,
    /// The name of the algorithm, if it does not support missing values.
    pub(crate) refuses_missing: Option<&'static str>,
}

/// Reads the configured features and `target`.
///
/// # Errors
/// If a column is missing, a cell is invalid, or a split is empty.
pub(crate) fn read(config: &Config, target: &str, progress: &Progress) -> anyhow::Result<Dataset> {
    let choose = |available: &[String]| {
        let features = config.section.features(available);
        features.map_err(|message| anyhow::anyhow!("{}: {message}", config.config_path.display()))
    };
    let refuses_missing = (!config.parameters.accepts_missing()).then(|| config.algorithm.name());
    let weight = config.section.sample_weight.as_deref();
    read_selection(&TableSelection { path: &config.data, target, choose: &choose, weight, refuses_missing }, progress)
}

/// Reads the selected columns.
///
/// # Errors
/// If a column is missing, a cell is invalid, or a split is empty.
pub(crate) fn read_selection(table: &TableSelection, progress: &Progress) -> anyhow::Result<Dataset> {
    let TableSelection { path, target, .. } = *table;
    let mut source = TableSource::open(path)?;
    let names = source.names().to_vec();
    for required in [target, SPLIT_COLUMN].into_iter().chain(table.weight) {
        ensure!(
            names.iter().any(|name| name == required),
            "{}:1: column \"{required}\" is not in the header",
            path.display()
        );
    }
    let available: Vec<String> = names
        .iter()
        .filter(|name| *name != target && *name != SPLIT_COLUMN && Some(name.as_str()) != table.weight)
        .cloned()
        .collect();
    let features = (table.choose)(&available)?;

    let bar = progress.bar("reading", source.expected_blocks());
    // the features, a weight if there is one, and the target
    let width = features.len() + usize::from(table.weight.is_some()) + 1;
    let mut columns = [vec![Vec::new(); width], vec![Vec::new(); width]];
    let mut test_lines = Vec::new();
    let selection: Vec<&str> = features.iter().map(String::as_str).chain(table.weight).chain([target]).collect();
    source.for_each_block(
        |block| BlockRows::from_block(block, &selection, table),
        |tables| {
            bar.advance(tables.len() as u64);
            for rows in tables {
                test_lines.extend(rows.test_lines);
                for (place, values) in rows.columns.into_iter().enumerate() {
                    for (value, train) in values.into_iter().zip(&rows.train) {
                        columns[usize::from(!train)][place].push(value);
                    }
                }
            }
            Ok(())
        },
    )?;
    let [train, test] = columns.map(|mut columns| {
        let y = columns.pop().unwrap_or_default();
        let weights = table.weight.and_then(|_| columns.pop());
        SplitSide { x: Matrix::new(columns).with_weights(weights), y }
    });
    ensure!(!train.y.is_empty(), "{}: has no training row (split = {TRAIN})", path.display());
    ensure!(!test.y.is_empty(), "{}: has no test row (split = {TEST})", path.display());
    Ok(Dataset { features, train, test, test_lines })
}

/// The selected columns of a block.
struct BlockRows {
    /// Whether each row is a training row.
    train: Vec<bool>,
    /// The lines of the test rows.
    test_lines: Vec<u64>,
    columns: Vec<Vec<f64>>,
}

impl BlockRows {
    /// The columns `selection` of `block`, the target last. A feature may be missing if the algorithm supports that.
    fn from_block(block: &Block, selection: &[&str], of: &TableSelection) -> anyhow::Result<Self> {
        let (target, path) = (selection.last(), of.path);
        let table = block.typed(&|name| if name == SPLIT_COLUMN { ColumnKind::Text } else { ColumnKind::Number })?;
        let mut columns = Vec::with_capacity(selection.len());
        for name in selection {
            let values = table.numbers(name).with_context(|| format!("column \"{name}\" cannot be read"))?;
            let weighs = Some(*name) == of.weight;
            if let Some(row) = values.iter().position(|value| weighs && !(*value >= 0.0 && value.is_finite())) {
                bail!(
                    "{}:{}: column \"{name}\", the sample_weight, is {}; a weight must be a number of at least 0",
                    path.display(),
                    block.line(row),
                    values[row]
                );
            }
            let missing = Some(name) != target && of.refuses_missing.is_none();
            if let Some(row) = values.iter().position(|value| !(value.is_finite() || missing && value.is_nan())) {
                let advice = match of.refuses_missing {
                    Some(algorithm) if Some(name) != target => {
                        format!(
                            "{algorithm} does not support missing values: use trees, or another engineer.impute.number than none"
                        )
                    }
                    _ => "Run `engineer` again".to_owned(),
                };
                bail!("{}:{}: column \"{name}\" is missing. {advice}", path.display(), block.line(row));
            }
            columns.push(values);
        }
        let train = block.train_rows(&table)?;
        let test_lines = (0..train.len()).filter(|row| !train[*row]).map(|row| block.line(row)).collect();
        Ok(Self { train, test_lines, columns })
    }
}
