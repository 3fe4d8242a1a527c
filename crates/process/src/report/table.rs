//! The JSON report, `<output>.report.json`.

use schema::ColumnType;
use serde::{Deserialize, Serialize};

use crate::{
    outliers::Bounds,
    profile::{ColumnProfile, Profile},
    quarantine::QuarantineSummary,
    report::column::ColumnReport,
    row_counts::RowCounts,
};

/// Format version. Version 2 added target means and dates.
const FORMAT_VERSION: u32 = 2;
/// Correlation, or root of the explained variance share, from which on leakage is reported.
const LEAK_CORRELATION: f64 = 0.99;
/// Smallest number of training rows for a leakage finding.
const MIN_ROWS: u64 = 20;

/// The report.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    format_version: u32,
    pub(crate) input: String,
    pub(crate) target: String,
    pub(crate) balance: RowCounts,
    pub(crate) quarantine: QuarantineSummary,
    /// First lines without a target.
    pub(crate) without_target_lines: Vec<u64>,
    pub(crate) trim: Vec<Bounds>,
    pub(crate) suspected_leakage: Vec<ColumnLeak>,
    pub(crate) columns: Vec<ColumnReport>,
}

/// A column that predicts the target almost perfectly.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ColumnLeak {
    pub(crate) column: String,
    pub(crate) evidence: String,
}

/// Inputs of a report.
pub(crate) struct ReportInputs<'a> {
    pub(crate) input: &'a std::path::Path,
    pub(crate) target: &'a str,
    pub(crate) balance: RowCounts,
    pub(crate) quarantine: QuarantineSummary,
    pub(crate) without_target_lines: Vec<u64>,
    pub(crate) bounds: Vec<Bounds>,
    pub(crate) profile: &'a Profile,
}

impl Report {
    /// Creates the report.
    pub(crate) fn new(inputs: ReportInputs) -> Self {
        let ReportInputs { input, target, balance, quarantine, without_target_lines, bounds, profile } = inputs;
        let features = || profile.columns.iter().filter(|column| column.name != target);
        Self {
            format_version: FORMAT_VERSION,
            // the name only, because folders differ between machines; the manifest has the path
            input: input.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            target: target.to_owned(),
            balance,
            quarantine,
            without_target_lines,
            trim: bounds,
            suspected_leakage: features().filter_map(find_leak).collect(),
            columns: profile.columns.iter().map(|column| ColumnReport::new(column, column.name == target)).collect(),
        }
    }

    /// Columns that predict the target almost perfectly.
    pub(crate) fn leaks(&self) -> &[ColumnLeak] {
        &self.suspected_leakage
    }
}

fn find_leak(column: &ColumnProfile) -> Option<ColumnLeak> {
    let leak = |evidence| Some(ColumnLeak { column: column.name.clone(), evidence });
    if column.kind == ColumnType::Category {
        let (explained_variance, rows) = (column.explained_variance()?, column.target.rows());
        let few_levels = column.levels.distinct() as u64 * 5 <= rows;
        return if explained_variance.sqrt() >= LEAK_CORRELATION && rows >= MIN_ROWS && few_levels {
            leak(format!(
                "its levels explain {:.2} % of the target's variance in {rows} training rows",
                explained_variance * 100.0
            ))
        } else {
            None
        };
    }
    let rows = column.relation.rows();
    let (correlation, rank) = (column.correlation()?, column.rank_correlation()?);
    if rows < MIN_ROWS {
        None
    } else if correlation.abs() >= LEAK_CORRELATION {
        leak(format!("its correlation with the target is {correlation:.4} in {rows} training rows"))
    } else if rank.abs() >= LEAK_CORRELATION {
        let ranked = column.ranked.len();
        leak(format!("its rank correlation with the target is {rank:.4} in {ranked} training rows"))
    } else {
        None
    }
}
