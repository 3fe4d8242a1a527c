//! Reads the training rows for a search.

use std::time::Instant;

use anyhow::ensure;
use artifact::{FileEntry, lock_to_read};
use cli::Progress;
use model::SearchSection;

use crate::{
    args::SearchArgs,
    inputs::{
        engineer_outputs::EngineerOutputs,
        featured_table::{TableSelection, read_selection},
    },
    search::objective::Objective,
};

/// The featured table as a search reads it.
pub(crate) struct SearchInputs {
    pub(crate) objective: Objective,
    pub(crate) data: FileEntry,
    pub(crate) target: String,
}

/// Reads the training rows. The test rows are not kept.
///
/// # Errors
/// If the table is not one of `engineer`, has another target than the configured one, or too few rows.
pub(crate) fn read_inputs(
    args: &SearchArgs,
    section: &SearchSection,
    deadline: Instant,
    progress: &Progress,
) -> anyhow::Result<SearchInputs> {
    let _locks = lock_to_read(&args.data, &|folder| progress.waiting(folder));
    let engineer = EngineerOutputs::read(&args.data)?;
    let preprocessor = engineer.preprocessor()?;
    let target = preprocessor.schema().target().name.clone();
    ensure!(
        section.target_variable.as_ref().is_none_or(|configured| *configured == target),
        "{}: search.target_variable: \"{}\" is not the target of this table, which is \"{target}\"",
        args.config.display(),
        section.target_variable.as_deref().unwrap_or_default()
    );
    let all = |available: &[String]| Ok(available.to_vec());
    let selection = TableSelection { path: &args.data, target: &target, choose: &all, weight: None, refuses_missing: None };
    let dataset = read_selection(&selection, progress)?;
    let rows = dataset.train.y.len();
    ensure!(
        rows >= 2 * section.folds,
        "{}: {rows} training rows are too few for {} folds; set search.folds",
        args.data.display(),
        section.folds
    );
    let categorical = dataset.features.iter().map(|feature| preprocessor.is_categorical(feature)).collect();
    let objective = Objective {
        x: dataset.train.x,
        y: dataset.train.y,
        features: dataset.features,
        categorical,
        metric: section.metric.clone(),
        folds: section.folds,
        seed: section.seed,
        deadline,
    };
    Ok(SearchInputs { objective, data: engineer.data, target })
}
