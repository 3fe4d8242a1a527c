//! Reads the featured table.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use cli::Progress;
use frame::{Block, Kind, Source};
use model::Matrix;
use schema::{SPLIT_COLUMN, TEST, TRAIN};

use crate::Config;

/// The rows on one side of the split.
pub(crate) struct Side {
    pub(crate) x: Matrix,
    pub(crate) y: Vec<f64>,
}

/// The featured table, divided.
pub(crate) struct Dataset {
    pub(crate) features: Vec<String>,
    pub(crate) train: Side,
    pub(crate) test: Side,
}

/// Reads the features that the configuration chooses, and `target`.
pub(crate) fn read(config: &Config, target: &str, progress: &Progress) -> anyhow::Result<Dataset> {
    let path = &config.data;
    let mut source = Source::open(path)?;
    let names = source.names().to_vec();
    for required in [target, SPLIT_COLUMN] {
        ensure!(
            names.iter().any(|name| name == required),
            "{}:1: column \"{required}\" is not in the header",
            path.display()
        );
    }
    let available: Vec<String> = names.iter().filter(|name| *name != target && *name != SPLIT_COLUMN).cloned().collect();
    let features = config
        .section
        .features(&available)
        .map_err(|message| anyhow::anyhow!("{}: {message}", config.config_path.display()))?;

    let bar = progress.bar("reading", source.expected_blocks());
    let mut columns = [vec![Vec::new(); features.len() + 1], vec![Vec::new(); features.len() + 1]];
    let wanted: Vec<&str> = features.iter().map(String::as_str).chain([target]).collect();
    source.for_each_block(
        |block| numbers(block, &wanted, path),
        |tables| {
            bar.advance(tables.len() as u64);
            for (train, numbers) in tables {
                for (place, values) in numbers.into_iter().enumerate() {
                    for (value, train) in values.into_iter().zip(&train) {
                        columns[usize::from(!train)][place].push(value);
                    }
                }
            }
            Ok(())
        },
    )?;
    let [train, test] = columns.map(|mut columns| {
        let y = columns.pop().unwrap_or_default();
        Side { x: Matrix::new(columns), y }
    });
    ensure!(!train.y.is_empty(), "{}: has no training row (split = {TRAIN})", path.display());
    ensure!(!test.y.is_empty(), "{}: has no test row (split = {TEST})", path.display());
    Ok(Dataset { features, train, test })
}

/// Per row of a block whether it is learned from, and the numbers of the `wanted` columns, none of them missing.
fn numbers(block: &Block, wanted: &[&str], path: &Path) -> anyhow::Result<(Vec<bool>, Vec<Vec<f64>>)> {
    let table = block.typed(&|name| if name == SPLIT_COLUMN { Kind::Text } else { Kind::Number })?;
    let mut columns = Vec::with_capacity(wanted.len());
    for name in wanted {
        let values = table.numbers(name).with_context(|| format!("column \"{name}\" cannot be read"))?;
        if let Some(row) = values.iter().position(|value| !value.is_finite()) {
            bail!("{}:{}: column \"{name}\" is missing. Run `engineer` again", path.display(), block.line(row));
        }
        columns.push(values);
    }
    Ok((block.train_rows(&table)?, columns))
}
