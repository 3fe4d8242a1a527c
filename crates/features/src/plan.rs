//! The validated `engineer` section: columns, derived features, their order, and encodings.

use rustc_hash::{FxHashMap, FxHashSet};
use schema::{ColumnType, Encoding, EngineerSection, NumberImpute, Schema, SettingError, Table, UnknownCategory, Values};
use serde_json::Value;

use crate::{
    derived_features::{DerivedFeature, compile, order, parse_all, reject_target_readers, unknown_name},
    expression::Program,
    inputs::Inputs,
};

/// A validated `engineer` section, before the fit.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) schema: Schema,
    pub(crate) reference_year: Option<i32>,
    /// Names and expressions in the order of the configuration.
    pub(crate) derive: Vec<(String, String)>,
    pub(crate) inputs: Inputs,
    /// Numeric features as indices into `inputs`, in the order of the feature file.
    pub(crate) numbers: Vec<usize>,
    /// Category columns with their encodings.
    pub(crate) categories: Vec<(String, Encoding)>,
    pub(crate) number_impute: NumberImpute,
    pub(crate) constants: Vec<(String, Value)>,
    pub(crate) max_levels: usize,
    pub(crate) unknown: UnknownCategory,
}

impl Plan {
    /// Validates `section` against `schema`.
    ///
    /// # Errors
    /// If the section is invalid; the error names the key and the position in the expression. Causes: a syntax error, an unknown column, a
    /// cycle, a feature that reads the target (with the chain), or an unsuitable encoding.
    ///
    /// ```
    /// use features::Plan;
    /// use schema::{PipelineConfig, Schema};
    ///
    /// let config = PipelineConfig::parse(
    ///     "table: {target: price, columns: {price: {type: float}, sqft: {type: float}}}
    /// engineer: {derive: {per_sqft: price / sqft}}",
    /// )?;
    /// let error = Plan::from_section(&Schema::from_section(&config.table)?, &config.engineer).unwrap_err();
    /// assert!(error.to_string().contains("per_sqft reads price, the target"), "{error}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_section(schema: &Schema, section: &EngineerSection) -> Result<Self, SettingError> {
        let derived = parse_all(schema, section)?;
        reject_target_readers(schema, &derived)?;
        let order = order(&derived)?;

        let raw = schema.columns().iter().enumerate().filter(|(index, column)| {
            *index != schema.target_index() && (column.spec.kind.is_number() || column.spec.kind == ColumnType::Date)
        });
        let mut inputs = Inputs::from_raw_columns(raw.map(|(_, column)| column.name.clone()));
        for index in order {
            let DerivedFeature { name, expression } = &derived[index];
            let program = compile(schema, section, &inputs, (name, &section.derive.0[index].1), expression)?;
            inputs.push(name, program);
        }

        for name in &section.drop {
            if inputs.index_of(name).is_none() && schema.column(name).is_none() {
                return Err(SettingError::new(&["engineer", "drop"], unknown_name(name, schema, &inputs)));
            }
        }
        let dropped: FxHashSet<&str> = section.drop.iter().map(String::as_str).collect();
        let is_feature = |name: &str| !dropped.contains(name);
        let is_date = |name: &str| schema.column(name).is_some_and(|column| column.spec.kind == ColumnType::Date);
        let raw_then_derived =
            schema.columns().iter().map(|column| column.name.as_str()).chain(section.derive.iter().map(|(name, _)| name));
        let numbers = raw_then_derived
            .filter(|name| is_feature(name) && !is_date(name))
            .filter_map(|name| inputs.index_of(name))
            .collect();
        let plan = Self {
            schema: schema.clone(),
            reference_year: section.reference_year,
            derive: section.derive.0.clone(),
            numbers,
            categories: categories(schema, section, &dropped)?,
            inputs,
            number_impute: section.impute.number,
            constants: section.impute.constants.0.clone(),
            max_levels: section.encode.max_levels,
            unknown: section.unknown_category,
        };
        plan.check_constants()?;
        if plan.numbers.is_empty() && plan.categories.is_empty() {
            return Err(SettingError::new(
                &["engineer"],
                "no features are left: all columns are dropped, ids, dates or texts",
            ));
        }
        Ok(plan)
    }

    /// Raw columns that features use: all except the target, ids and texts.
    pub fn columns(&self) -> impl Iterator<Item = &schema::Column> {
        let schema = &self.schema;
        schema.columns().iter().enumerate().filter_map(|(index, column)| {
            let feature = index != schema.target_index() && !matches!(column.spec.kind, ColumnType::Id | ColumnType::Text);
            feature.then_some(column)
        })
    }

    /// Computes the numeric inputs of `table`, by index. An absent column is missing in all rows.
    pub(crate) fn compute(&self, table: &Table) -> Vec<Vec<f64>> {
        let mut columns: Vec<Vec<f64>> = Vec::with_capacity(self.inputs.names().len());
        for name in self.inputs.raw() {
            columns.push(match table.get(name) {
                Some(Values::Number(values)) => values.clone(),
                _ => vec![f64::NAN; table.rows()],
            });
        }
        for program in self.inputs.programs() {
            columns.push(program.run(&columns, table.rows()));
        }
        columns
    }

    /// The inputs in their order of computation, with the programs of derived ones.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = (&str, Option<&Program>)> {
        self.inputs.names().iter().enumerate().map(|(place, name)| (name.as_str(), self.inputs.program(place)))
    }

    /// Fixed values for imputation, by column or feature.
    pub(crate) fn constants(&self) -> FxHashMap<&str, &Value> {
        self.constants.iter().map(|(name, value)| (name.as_str(), value)).collect()
    }

    fn check_constants(&self) -> Result<(), SettingError> {
        let categories: FxHashSet<&str> = self.categories.iter().map(|(column, _)| column.as_str()).collect();
        for (name, value) in &self.constants {
            let error = |message: String| Err(SettingError::new(&["engineer", "impute", "constants", name], message));
            let category = categories.contains(name.as_str());
            if self.inputs.index_of(name).is_some() {
                if value.as_f64().is_none() {
                    return error(format!("{value} is not a number, and {name} is numeric"));
                }
            } else if !category {
                return error(unknown_name(name, &self.schema, &self.inputs));
            } else if let (Some(level), Some(column)) = (value.as_str(), self.schema.column(name)) {
                if !column.spec.levels.is_empty() && !column.spec.levels.iter().any(|known| known == level) {
                    return error(column.unknown_level(level).to_string());
                }
            } else {
                return error(format!("{value} is not text, and {name} is a category"));
            }
        }
        Ok(())
    }
}

/// Largest value of `engineer.encode.max_levels`.
const MAX_ENCODED_LEVELS: usize = 10_000;

fn categories(
    schema: &Schema,
    section: &EngineerSection,
    dropped: &FxHashSet<&str>,
) -> Result<Vec<(String, Encoding)>, SettingError> {
    for (name, encoding) in section.encode.columns.iter() {
        let error = |message: String| Err(SettingError::new(&["engineer", "encode", "columns", name], message));
        match schema.column(name) {
            None => return error(unknown_name(name, schema, &Inputs::default())),
            Some(column) if column.spec.kind != ColumnType::Category => {
                return error(format!("{name} is of type {}, not a category", column.spec.kind.name()));
            }
            Some(column) if *encoding == Encoding::Ordinal && !column.spec.ordered => {
                return error(format!("ordinal needs `ordered: true` and levels from low to high in table.columns.{name}"));
            }
            Some(_) => {}
        }
    }
    if section.encode.max_levels == 0 {
        return Err(SettingError::new(&["engineer", "encode", "max_levels"], "must be at least 1"));
    }
    if section.encode.max_levels > MAX_ENCODED_LEVELS {
        let message = format!("{} is more than {MAX_ENCODED_LEVELS}", section.encode.max_levels);
        return Err(SettingError::new(&["engineer", "encode", "max_levels"], message));
    }
    let encodings: FxHashMap<&str, Encoding> =
        section.encode.columns.iter().map(|(name, encoding)| (name, *encoding)).collect();
    let columns = schema
        .columns()
        .iter()
        .filter(|column| column.spec.kind == ColumnType::Category && !dropped.contains(column.name.as_str()));
    Ok(columns
        .map(|column| {
            let default = if column.spec.ordered { Encoding::Ordinal } else { Encoding::OneHot };
            (column.name.clone(), encodings.get(column.name.as_str()).copied().unwrap_or(default))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::PipelineConfig;

    fn check(engineer: &str) -> Result<Plan, String> {
        let text = format!(
            "table:\n  target: price\n  columns:\n    price: {{type: float}}\n    sqft: {{type: float}}\n    year_built: {{type: integer}}\n    \
             sold: {{type: date}}\n    location: {{type: category, levels: [Rural, Urban]}}\n    id: {{type: id}}\nengineer:\n{engineer}"
        );
        let config = PipelineConfig::parse(&text).unwrap();
        let schema = Schema::from_section(&config.table).unwrap();
        Plan::from_section(&schema, &config.engineer).map_err(|error| error.to_string())
    }

    #[test]
    fn features_that_read_the_target_are_rejected_with_the_chain() {
        let tail = ", the target. A feature computed from the target is not available for predictions. Remove it";
        assert_eq!(
            check("  derive:\n    price_per_sqft: price / sqft\n").unwrap_err(),
            format!("engineer.derive.price_per_sqft: price_per_sqft reads price{tail}")
        );
        assert_eq!(
            check("  derive:\n    luxury: dear * 2\n    dear: log(sqft + max(1, price))\n").unwrap_err(),
            format!("engineer.derive.luxury: luxury reads dear, and dear reads price{tail}")
        );
    }

    #[test]
    fn invalid_sections_are_an_error() {
        for (engineer, expected) in [
            (
                "  derive: {a: b + 1, b: c * 2, c: b - 1}\n",
                "engineer.derive.b: features depend on each other in a cycle: b → c → b",
            ),
            ("  derive: {a: a + 1}\n", "engineer.derive.a: features depend on each other in a cycle: a → a"),
            (
                "  derive: {a: sqfeet / 2}\n",
                "engineer.derive.a: there is no column \"sqfeet\" (did you mean \"sqft\"?) at character 1\n  sqfeet / 2\n  ^",
            ),
            ("  derive: {a: sqft +}\n", "engineer.derive.a: a value is missing at character 7\n  sqft +\n        ^"),
            (
                "  derive: {a: location * 2}\n",
                "engineer.derive.a: \"location\" is of type category; expressions accept only numbers and dates at character 1\n  \
                 location * 2\n  ^",
            ),
            (
                "  derive: {a: reference_year - year_built}\n",
                "engineer.derive.a: engineer.reference_year is not set at character 1\n  reference_year - year_built\n  ^",
            ),
            (
                "  derive: {a: year(sqft)}\n",
                "engineer.derive.a: year needs a column of type date at character 1\n  year(sqft)\n  ^",
            ),
            ("  derive: {sqft: '1'}\n", "engineer.derive.sqft: the name \"sqft\" is taken; choose another"),
            ("  drop: [sqfd]\n", "engineer.drop: there is no column \"sqfd\" (did you mean \"sqft\"?)"),
            (
                "  encode: {columns: {location: ordinal}}\n",
                "engineer.encode.columns.location: ordinal needs `ordered: true` and levels from low to high in table.columns.location",
            ),
            (
                "  impute: {constants: {sqft: many}}\n",
                "engineer.impute.constants.sqft: \"many\" is not a number, and sqft is numeric",
            ),
            (
                "  impute: {constants: {location: Urbane}}\n",
                "engineer.impute.constants.location: \"Urbane\" is not one of the levels Rural, Urban; nearest: Urban",
            ),
            (
                "  drop: [sqft, year_built, location]\n",
                "engineer: no features are left: all columns are dropped, ids, dates or texts",
            ),
        ] {
            assert_eq!(check(engineer).unwrap_err(), expected);
        }
    }

    #[test]
    fn derived_features_can_be_in_any_order() {
        let plan = check("  reference_year: 2026\n  derive:\n    b: a * 2\n    a: reference_year - year_built\n").unwrap();
        let mut table = Table::new(1);
        table.push("year_built", Values::Number(vec![2000.0]));
        let inputs = plan.compute(&table);
        let value = |name: &str| inputs[plan.inputs.index_of(name).unwrap()][0];
        assert_eq!((value("a"), value("b")), (26.0, 52.0));
        let features: Vec<&str> = plan.numbers.iter().map(|place| plan.inputs.names()[*place].as_str()).collect();
        assert_eq!(features, ["sqft", "year_built", "b", "a"]);
    }
}
