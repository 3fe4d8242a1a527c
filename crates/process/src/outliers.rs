//! Outlier bounds, outside of which training rows are removed.

use schema::{Schema, SettingError, TrimSection};
use serde::Serialize;
use summary::Quantiles;

/// A validated rule for outliers and its columns.
#[derive(Clone, Debug)]
pub(crate) struct OutlierBounds {
    rule: TrimRule,
    pub(crate) columns: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
enum TrimRule {
    Iqr { factor: f64 },
    Quantile { lower: f64, upper: f64 },
}

/// Outlier bounds of one column, fitted on training rows.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Bounds {
    /// Name of the column.
    pub(crate) column: String,
    /// Lower bound.
    pub(crate) low: f64,
    /// Upper bound.
    pub(crate) high: f64,
}

impl OutlierBounds {
    /// The rule of `section`, if any.
    pub(crate) fn from_section(section: &TrimSection, schema: &Schema) -> Result<Option<Self>, SettingError> {
        let (rule, key, columns) = match (&section.iqr, &section.quantile) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return Err(SettingError::new(&["process", "trim"], "iqr and quantile cannot both be set; keep one"));
            }
            (Some(iqr), None) if iqr.factor.is_finite() && iqr.factor > 0.0 => {
                (TrimRule::Iqr { factor: iqr.factor }, "iqr", &iqr.columns)
            }
            (Some(iqr), None) => {
                let message = format!("{} is not above 0", iqr.factor);
                return Err(SettingError::new(&["process", "trim", "iqr", "factor"], message));
            }
            (None, Some(quantile)) => {
                let (lower, upper) = (quantile.lower, quantile.upper);
                if !(0.0..1.0).contains(&lower) || !(0.0..=1.0).contains(&upper) || lower >= upper {
                    let message = format!("lower {lower} and upper {upper} are not two quantiles in ascending order");
                    return Err(SettingError::new(&["process", "trim", "quantile"], message));
                }
                (TrimRule::Quantile { lower, upper }, "quantile", &quantile.columns)
            }
        };
        for name in columns {
            if schema.column(name).is_none_or(|column| !column.spec.kind.is_number()) {
                let message = format!("\"{name}\" is not a float or integer column");
                return Err(SettingError::new(&["process", "trim", key, "columns"], message));
            }
        }
        let target = || vec![schema.target().name.clone()];
        Ok(Some(Self { rule, columns: if columns.is_empty() { target() } else { columns.clone() } }))
    }

    /// The bounds for the quantiles of each column. Many values have quantiles with an error, by which bounds are wider: a value that equals
    /// the exact bound is within them.
    pub(crate) fn fit(&self, counted: &[Quantiles]) -> Vec<Bounds> {
        let bound = |(column, quantiles): (&String, &Quantiles)| {
            let below = |value: f64| value - value.abs() * quantiles.relative_error();
            let above = |value: f64| value + value.abs() * quantiles.relative_error();
            let (low, high) = match self.rule {
                TrimRule::Iqr { factor } => {
                    let quartiles = quantiles.at(&[0.25, 0.75])?;
                    let distance = factor * (quartiles[1] - quartiles[0]);
                    (below(quartiles[0]) - distance, above(quartiles[1]) + distance)
                }
                TrimRule::Quantile { lower, upper } => {
                    let limits = quantiles.at(&[lower, upper])?;
                    (below(limits[0]), above(limits[1]))
                }
            };
            Some(Bounds { column: column.clone(), low, high })
        };
        self.columns.iter().zip(counted).filter_map(bound).collect()
    }
}

impl Bounds {
    /// True if a value is within the bounds or missing.
    pub(crate) fn contains(&self, value: f64) -> bool {
        value.is_nan() || (self.low..=self.high).contains(&value)
    }
}

#[cfg(test)]
mod tests {
    use schema::PipelineConfig;

    use super::*;

    /// The bounds that a section `trim` has for these values of the target.
    fn bounds(trim: &str, values: impl Iterator<Item = f64>) -> Bounds {
        let text = format!("table:\n  target: y\n  columns:\n    y: {{type: float}}\nprocess:\n  trim: {trim}\n");
        let config = PipelineConfig::parse(&text).unwrap();
        let schema = Schema::from_section(&config.table).unwrap();
        let bounds = OutlierBounds::from_section(&config.process.trim, &schema).unwrap().unwrap();
        let mut quantiles = Quantiles::default();
        values.for_each(|value| quantiles.add(value));
        bounds.fit(&[quantiles]).remove(0)
    }

    #[test]
    fn values_at_a_bound_are_within_it_among_few_and_among_many_values() {
        for (rows, step) in [(1000, 300.0), (400_000, 0.75)] {
            // a fifth of the values is the least one, a fifth the largest one, neither of which is the middle of a bin
            let value = |row: u32| match row % 5 {
                0 => 1000.0,
                1 => 500_020.0,
                _ => 1000.0 + f64::from(row) * step,
            };
            for trim in ["{quantile: {lower: 0.1, upper: 0.9}}", "{quantile: {lower: 0, upper: 1}}"] {
                let bounds = bounds(trim, (0..rows).map(value));
                assert!(bounds.contains(1000.0) && bounds.contains(500_020.0), "{bounds:?}");
                assert!(!bounds.contains(999.0) && !bounds.contains(501_000.0), "{bounds:?}");
            }
        }
    }

    #[test]
    fn a_value_of_most_rows_is_within_the_quartiles() {
        let value = |row: u32| if row.is_multiple_of(4) { f64::from(row) } else { 1000.0 };
        assert!(bounds("{iqr: {factor: 1.5}}", (0..800_000).map(value)).contains(1000.0));
    }
}
