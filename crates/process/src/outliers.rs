//! Fences beyond which a training row is left out.

use schema::{Schema, SettingError, TrimSection};
use serde::Serialize;
use summary::Quantiles;

/// A checked trim rule and the columns it looks at.
#[derive(Clone, Debug)]
pub(crate) struct Fences {
    rule: Rule,
    pub(crate) columns: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
enum Rule {
    Iqr { factor: f64 },
    Quantile { lower: f64, upper: f64 },
}

/// The fences of one column, learned from training rows.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Fence {
    /// The column.
    pub(crate) column: String,
    /// Training rows below this are left out.
    pub(crate) low: f64,
    /// Training rows above this are left out.
    pub(crate) high: f64,
}

impl Fences {
    /// The rule that `section` asks for, if any.
    pub(crate) fn check(section: &TrimSection, schema: &Schema) -> Result<Option<Self>, SettingError> {
        let (rule, key, columns) = match (&section.iqr, &section.quantile) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return Err(SettingError::new(&["process", "trim"], "iqr and quantile cannot both be set; keep one"));
            }
            (Some(iqr), None) if iqr.factor.is_finite() && iqr.factor > 0.0 => {
                (Rule::Iqr { factor: iqr.factor }, "iqr", &iqr.columns)
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
                (Rule::Quantile { lower, upper }, "quantile", &quantile.columns)
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

    /// The fences around what was counted, a [`Quantiles`] a column.
    pub(crate) fn place(&self, counted: &[Quantiles]) -> Vec<Fence> {
        let fence = |(column, quantiles): (&String, &Quantiles)| {
            let (low, high) = match self.rule {
                Rule::Iqr { factor } => {
                    let quartiles = quantiles.at(&[0.25, 0.75])?;
                    let reach = factor * (quartiles[1] - quartiles[0]);
                    (quartiles[0] - reach, quartiles[1] + reach)
                }
                Rule::Quantile { lower, upper } => {
                    let limits = quantiles.at(&[lower, upper])?;
                    (limits[0], limits[1])
                }
            };
            Some(Fence { column: column.clone(), low, high })
        };
        self.columns.iter().zip(counted).filter_map(fence).collect()
    }
}

impl Fence {
    /// Whether a value lies within.
    pub(crate) fn holds(&self, value: f64) -> bool {
        value.is_nan() || (self.low..=self.high).contains(&value)
    }
}
