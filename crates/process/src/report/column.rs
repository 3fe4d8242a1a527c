//! Description of one column in the report.

use schema::ColumnType;
use serde::Serialize;

use crate::profile::{ColumnProfile, TargetMean};

/// Probabilities of the quantiles.
const PROBABILITIES: [f64; 9] = [0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0];
/// Number of bins of a histogram.
const BINS: usize = 20;
/// Largest number of levels.
const MAX_LEVELS: usize = 20;
/// Divisor of values for a histogram, because [`BINS`] times the largest range is infinite; a power of two is exact.
const RANGE_DIVISOR: f64 = 64.0;

/// One column of the cleaned table.
#[derive(Debug, Serialize)]
pub(crate) struct ColumnReport {
    pub(crate) name: String,
    pub(crate) r#type: &'static str,
    pub(crate) count: u64,
    pub(crate) missing: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) number: Option<NumberReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) date: Option<DateReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) category: Option<CategoryReport>,
    pub(crate) relation_to_target: Relation,
}

/// Description of a number.
#[derive(Debug, Serialize)]
pub(crate) struct NumberReport {
    pub(crate) mean: Option<f64>,
    pub(crate) std: Option<f64>,
    pub(crate) distinct: Option<usize>,
    pub(crate) quantiles: Vec<(f64, f64)>,
    pub(crate) histogram: Histogram,
}

/// Description of a date; days in ISO 8601.
#[derive(Debug, Serialize)]
pub(crate) struct DateReport {
    pub(crate) distinct: Option<usize>,
    pub(crate) quantiles: Vec<(f64, String)>,
    pub(crate) histogram: Histogram,
}

/// `counts[i]` values in `edges[i]..edges[i + 1]`, the last bin closed; dates are days since 1970-01-01.
#[derive(Debug, Serialize)]
pub(crate) struct Histogram {
    pub(crate) edges: Vec<f64>,
    pub(crate) counts: Vec<u64>,
}

/// Description of a category.
#[derive(Debug, Serialize)]
pub(crate) struct CategoryReport {
    pub(crate) distinct: usize,
    /// The most frequent levels.
    pub(crate) top: Vec<LevelReport>,
}

/// A level of a category.
#[derive(Debug, Serialize)]
pub(crate) struct LevelReport {
    pub(crate) level: String,
    pub(crate) count: u64,
    /// Mean of the target over training rows; absent for the target itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target_mean: Option<f64>,
}

/// Relation of a column to the target, over training rows.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Relation {
    /// Pearson's, over training rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) correlation: Option<f64>,
    /// Spearman's, over the first 5,000 training rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rank_correlation: Option<f64>,
    /// Eta squared, over training rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) explained_variance: Option<f64>,
    /// The mean of the target in groups of the column's values, over the first 5,000 training rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) target_means: Vec<TargetMean>,
}

impl ColumnReport {
    /// Describes a column; the target is not related to itself.
    pub(crate) fn new(column: &ColumnProfile, is_target: bool) -> Self {
        let number = column.kind.is_number().then(|| NumberReport {
            mean: column.moments().mean(),
            std: column.moments().standard_deviation(),
            distinct: column.quantiles.distinct(),
            quantiles: quantiles(column),
            histogram: histogram(column),
        });
        let iso = |(probability, days): (f64, f64)| (probability, schema::iso_date(days));
        let date = (column.kind == ColumnType::Date).then(|| DateReport {
            distinct: column.quantiles.distinct(),
            quantiles: quantiles(column).into_iter().map(iso).collect(),
            histogram: histogram(column),
        });
        let category = (column.kind == ColumnType::Category).then(|| category(column, is_target));
        let relation_to_target = match column.kind {
            _ if is_target => Relation::default(),
            ColumnType::Category => Relation { explained_variance: column.explained_variance(), ..Relation::default() },
            _ => Relation {
                correlation: column.correlation(),
                rank_correlation: column.rank_correlation(),
                explained_variance: None,
                target_means: column.target_means(),
            },
        };
        Self {
            name: column.name.clone(),
            r#type: column.kind.name(),
            count: column.count,
            missing: column.missing,
            number,
            date,
            category,
            relation_to_target,
        }
    }
}

fn quantiles(column: &ColumnProfile) -> Vec<(f64, f64)> {
    let quantiles = column.quantiles.at(&PROBABILITIES);
    quantiles.map_or_else(Vec::new, |at| PROBABILITIES.into_iter().zip(at).collect())
}

fn category(column: &ColumnProfile, is_target: bool) -> CategoryReport {
    let top = column.levels.most_frequent().into_iter().take(MAX_LEVELS).map(|(level, count)| LevelReport {
        level: level.to_owned(),
        count,
        target_mean: column.target_mean(level).filter(|_| !is_target),
    });
    CategoryReport { distinct: column.levels.distinct(), top: top.collect() }
}

fn histogram(column: &ColumnProfile) -> Histogram {
    let sorted = column.quantiles.sorted();
    let (Some((low, _)), Some((high, _))) = (sorted.first(), sorted.last()) else {
        return Histogram { edges: vec![], counts: vec![] };
    };
    let (low, high) = (low / RANGE_DIVISOR, high / RANGE_DIVISOR);
    let width = ((high - low) / BINS as f64).max(f64::MIN_POSITIVE);
    let mut counts = vec![0; BINS];
    for (value, count) in &sorted {
        counts[(((value / RANGE_DIVISOR - low) / width) as usize).min(BINS - 1)] += count;
    }
    let edge = |bin: usize| RANGE_DIVISOR * (low + (high - low) * bin as f64 / BINS as f64);
    Histogram { edges: (0..=BINS).map(edge).collect(), counts }
}
