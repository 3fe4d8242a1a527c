//! `<output>.report.json`: what came in, where it went, and what each column looks like.

use schema::ColumnType;
use serde::{Deserialize, Serialize};

use crate::{
    outliers::Fence,
    profile::{ColumnProfile, Profile},
    quarantine::QuarantineSummary,
    report::column::ColumnReport,
    row_counts::Balance,
};

/// Version 2 says what the target is at each level and along each number, and what dates there are.
const FORMAT_VERSION: u32 = 2;
/// A correlation, or the root of the explained share, from here on is suspicious.
const SUSPICIOUS: f64 = 0.99;
/// Fewer training rows prove nothing.
const ENOUGH_ROWS: u64 = 20;

/// The report.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    format_version: u32,
    pub(crate) input: String,
    pub(crate) target: String,
    pub(crate) balance: Balance,
    pub(crate) quarantine: QuarantineSummary,
    /// The first lines without a target.
    pub(crate) without_target_lines: Vec<u64>,
    pub(crate) trim: Vec<Fence>,
    pub(crate) suspected_leakage: Vec<Leak>,
    pub(crate) columns: Vec<ColumnReport>,
}

/// A column that predicts the target too well alone.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Leak {
    pub(crate) column: String,
    pub(crate) evidence: String,
}

/// What goes into a report.
pub(crate) struct Findings<'a> {
    pub(crate) input: &'a std::path::Path,
    pub(crate) target: &'a str,
    pub(crate) balance: Balance,
    pub(crate) quarantine: QuarantineSummary,
    pub(crate) without_target_lines: Vec<u64>,
    pub(crate) fences: Vec<Fence>,
    pub(crate) profile: &'a Profile,
}

impl Report {
    /// Draws up the report.
    pub(crate) fn new(findings: Findings) -> Self {
        let Findings { input, target, balance, quarantine, without_target_lines, fences, profile } = findings;
        let features = || profile.columns.iter().filter(|column| column.name != target);
        Self {
            format_version: FORMAT_VERSION,
            // the name alone: the folder differs from machine to machine, and the manifest has it
            input: input.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            target: target.to_owned(),
            balance,
            quarantine,
            without_target_lines,
            trim: fences,
            suspected_leakage: features().filter_map(suspect).collect(),
            columns: profile.columns.iter().map(|column| ColumnReport::of(column, column.name == target)).collect(),
        }
    }

    /// Columns that predict the target too well alone.
    pub(crate) fn leaks(&self) -> &[Leak] {
        &self.suspected_leakage
    }
}

fn suspect(column: &ColumnProfile) -> Option<Leak> {
    let leak = |evidence| Some(Leak { column: column.name.clone(), evidence });
    if column.kind == ColumnType::Category {
        let (explained, rows) = (column.explained()?, column.target.rows());
        let few_levels = column.levels.distinct() as u64 * 5 <= rows;
        return if explained.sqrt() >= SUSPICIOUS && rows >= ENOUGH_ROWS && few_levels {
            leak(format!("its levels explain {:.2} % of the target's variance in {rows} training rows", explained * 100.0))
        } else {
            None
        };
    }
    let rows = column.relation.rows();
    let (correlation, rank) = (column.correlation()?, column.rank_correlation()?);
    if rows < ENOUGH_ROWS {
        None
    } else if correlation.abs() >= SUSPICIOUS {
        leak(format!("its correlation with the target is {correlation:.4} in {rows} training rows"))
    } else if rank.abs() >= SUSPICIOUS {
        let ranked = column.ranked.len();
        leak(format!("its rank correlation with the target is {rank:.4} in {ranked} training rows"))
    } else {
        None
    }
}
