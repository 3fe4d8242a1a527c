//! `<output>.report.json`: what came in, where it went, and what each column looks like.

use schema::ColumnType;
use serde::{Deserialize, Serialize};

use crate::{
    Balance,
    profile::{ColumnProfile, Profile},
    quarantine::QuarantineSummary,
    trim::Fence,
};

const PROBABILITIES: [f64; 9] = [0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0];
const BINS: usize = 20;
const TOP: usize = 20;
/// A correlation, or the root of the explained share, from here on is suspicious.
const SUSPICIOUS: f64 = 0.99;
/// Fewer training rows prove nothing.
const ENOUGH_ROWS: u64 = 20;

/// The report.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    format_version: u32,
    input: String,
    target: String,
    balance: Balance,
    quarantine: QuarantineSummary,
    /// The first lines without a target.
    without_target_lines: Vec<u64>,
    trim: Vec<Fence>,
    suspected_leakage: Vec<Leak>,
    columns: Vec<ColumnReport>,
}

/// A column that predicts the target too well alone.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Leak {
    pub(crate) column: String,
    pub(crate) evidence: String,
}

#[derive(Debug, Serialize)]
struct ColumnReport {
    name: String,
    r#type: &'static str,
    count: u64,
    missing: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<NumberReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<CategoryReport>,
    relation_to_target: Relation,
}

#[derive(Debug, Serialize)]
struct NumberReport {
    mean: Option<f64>,
    std: Option<f64>,
    distinct: Option<usize>,
    quantiles: Vec<(f64, f64)>,
    histogram: Histogram,
}

/// `counts[i]` values in `edges[i]..edges[i + 1]`, the last bin closed.
#[derive(Debug, Serialize)]
struct Histogram {
    edges: Vec<f64>,
    counts: Vec<u64>,
}

#[derive(Debug, Serialize)]
struct CategoryReport {
    distinct: usize,
    top: Vec<(String, u64)>,
}

#[derive(Debug, Default, Serialize)]
struct Relation {
    /// Pearson's, over training rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation: Option<f64>,
    /// Spearman's, over the first 5,000 training rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    rank_correlation: Option<f64>,
    /// Eta squared, over training rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    explained_variance: Option<f64>,
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
            format_version: 1,
            // the name alone: the folder differs from machine to machine, and the manifest has it
            input: input.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            target: target.to_owned(),
            balance,
            quarantine,
            without_target_lines,
            trim: fences,
            suspected_leakage: features().filter_map(suspect).collect(),
            columns: profile.columns.iter().map(|column| describe(column, column.name == target)).collect(),
        }
    }

    /// Columns that predict the target too well alone.
    pub(crate) fn leaks(&self) -> &[Leak] {
        &self.suspected_leakage
    }
}

fn describe(column: &ColumnProfile, is_target: bool) -> ColumnReport {
    let number = column.kind.is_number().then(|| NumberReport {
        mean: column.moments().mean(),
        std: column.moments().deviation(),
        distinct: column.quantiles.distinct(),
        quantiles: column
            .quantiles
            .at(&PROBABILITIES)
            .map_or_else(Vec::new, |at| PROBABILITIES.into_iter().zip(at).collect()),
        histogram: histogram(column),
    });
    let category = (column.kind == ColumnType::Category).then(|| {
        let mut top: Vec<(String, u64)> = column.levels.iter().map(|(name, level)| (name.clone(), level.count)).collect();
        top.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let distinct = top.len();
        top.truncate(TOP);
        CategoryReport { distinct, top }
    });
    let relation_to_target = match column.kind {
        _ if is_target => Relation::default(),
        ColumnType::Category => Relation { explained_variance: column.explained(), ..Relation::default() },
        _ => Relation {
            correlation: column.correlation(),
            rank_correlation: column.rank_correlation(),
            explained_variance: None,
        },
    };
    ColumnReport {
        name: column.name.clone(),
        r#type: column.kind.name(),
        count: column.count,
        missing: column.missing,
        number,
        category,
        relation_to_target,
    }
}

fn histogram(column: &ColumnProfile) -> Histogram {
    let sorted = column.quantiles.sorted();
    let (Some((low, _)), Some((high, _))) = (sorted.first(), sorted.last()) else {
        return Histogram { edges: vec![], counts: vec![] };
    };
    let width = ((high - low) / BINS as f64).max(f64::MIN_POSITIVE);
    let mut counts = vec![0; BINS];
    for (value, count) in &sorted {
        counts[(((value - low) / width) as usize).min(BINS - 1)] += count;
    }
    Histogram { edges: (0..=BINS).map(|bin| low + (high - low) * bin as f64 / BINS as f64).collect(), counts }
}

fn suspect(column: &ColumnProfile) -> Option<Leak> {
    let leak = |evidence| Some(Leak { column: column.name.clone(), evidence });
    if column.kind == ColumnType::Category {
        let (explained, rows) = (column.explained()?, column.target.rows());
        let few_levels = column.levels.len() as u64 * 5 <= rows;
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
