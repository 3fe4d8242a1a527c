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

    /// The bounds for the quantiles of each column.
    pub(crate) fn fit(&self, counted: &[Quantiles]) -> Vec<Bounds> {
        let bound = |(column, quantiles): (&String, &Quantiles)| {
            let (low, high) = match self.rule {
                TrimRule::Iqr { factor } => {
                    let quartiles = quantiles.at(&[0.25, 0.75])?;
                    let distance = factor * (quartiles[1] - quartiles[0]);
                    (quartiles[0] - distance, quartiles[1] + distance)
                }
                TrimRule::Quantile { lower, upper } => {
                    let limits = quantiles.at(&[lower, upper])?;
                    (limits[0], limits[1])
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
