//! The `engineer` section checked against the table: which columns are read, what is derived from them and in what order.

use rustc_hash::{FxHashMap, FxHashSet};
use schema::{ColumnType, Encoding, EngineerSection, NumberImpute, Schema, SettingError, Table, UnknownCategory, Values};
use serde_json::Value;

use crate::{
    derive::{Derived, compile, order, parse_all, refuse_target, unknown_name},
    expression::Program,
    inputs::Inputs,
};

/// A checked `engineer` section: nothing is learned yet.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) schema: Schema,
    pub(crate) reference_year: Option<i32>,
    /// In the order of the configuration: name and text.
    pub(crate) derive: Vec<(String, String)>,
    pub(crate) inputs: Inputs,
    /// Numeric features, by place in `inputs`, in the order of the feature file.
    pub(crate) numbers: Vec<usize>,
    /// Category features: column, encoding.
    pub(crate) categories: Vec<(String, Encoding)>,
    pub(crate) number_impute: NumberImpute,
    pub(crate) constants: Vec<(String, Value)>,
    pub(crate) max_levels: usize,
    pub(crate) unknown: UnknownCategory,
}

impl Plan {
    /// Checks `section` against `schema`.
    ///
    /// # Errors
    /// Names the key at fault and points into the expression: a syntax error, an unknown column, a cycle, a feature that
    /// reads the target (with the chain by which it does), an encoding that does not fit.
    pub fn check(schema: &Schema, section: &EngineerSection) -> Result<Self, SettingError> {
        let derived = parse_all(schema, section)?;
        refuse_target(schema, &derived)?;
        let order = order(&derived)?;

        let raw = schema.columns().iter().enumerate().filter(|(index, column)| {
            *index != schema.target_index() && (column.spec.kind.is_number() || column.spec.kind == ColumnType::Date)
        });
        let mut inputs = Inputs::of_raw(raw.map(|(_, column)| column.name.clone()));
        for index in order {
            let Derived { name, expression } = &derived[index];
            let program = compile(schema, section, &inputs, (name, &section.derive.0[index].1), expression)?;
            inputs.push(name, program);
        }

        for name in &section.drop {
            if inputs.place(name).is_none() && schema.column(name).is_none() {
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
            .filter_map(|name| inputs.place(name))
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
                "no feature is left: every column is dropped, an id, a date or text",
            ));
        }
        Ok(plan)
    }

    /// The raw columns that features are made of: all but the target, ids and texts.
    pub fn columns(&self) -> impl Iterator<Item = &schema::Column> {
        let schema = &self.schema;
        schema.columns().iter().enumerate().filter_map(|(index, column)| {
            let feature = index != schema.target_index() && !matches!(column.spec.kind, ColumnType::Id | ColumnType::Text);
            feature.then_some(column)
        })
    }

    /// The numeric inputs of `table`, raw and derived, in the order of `inputs`. A column that is absent is missing in
    /// every row.
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

    /// The inputs in the order in which they can be computed, derived ones with their programs.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = (&str, Option<&Program>)> {
        self.inputs.names().iter().enumerate().map(|(place, name)| (name.as_str(), self.inputs.program(place)))
    }

    /// What replaces a missing value, by the name of the column or the feature.
    pub(crate) fn constants(&self) -> FxHashMap<&str, &Value> {
        self.constants.iter().map(|(name, value)| (name.as_str(), value)).collect()
    }

    fn check_constants(&self) -> Result<(), SettingError> {
        let categories: FxHashSet<&str> = self.categories.iter().map(|(column, _)| column.as_str()).collect();
        for (name, value) in &self.constants {
            let fault = |message: String| Err(SettingError::new(&["engineer", "impute", "constants", name], message));
            let category = categories.contains(name.as_str());
            if self.inputs.place(name).is_some() {
                if value.as_f64().is_none() {
                    return fault(format!("{value} is not a number, and {name} is numeric"));
                }
            } else if !category {
                return fault(unknown_name(name, &self.schema, &self.inputs));
            } else if let (Some(level), Some(column)) = (value.as_str(), self.schema.column(name)) {
                if !column.spec.levels.is_empty() && !column.spec.levels.iter().any(|known| known == level) {
                    return fault(column.unknown_level(level).to_string());
                }
            } else {
                return fault(format!("{value} is not text, and {name} is a category"));
            }
        }
        Ok(())
    }
}

/// The most `engineer.encode.max_levels` may be.
const MAX_LEVELS: usize = 10_000;

fn categories(
    schema: &Schema,
    section: &EngineerSection,
    dropped: &FxHashSet<&str>,
) -> Result<Vec<(String, Encoding)>, SettingError> {
    for (name, encoding) in section.encode.columns.iter() {
        let fault = |message: String| Err(SettingError::new(&["engineer", "encode", "columns", name], message));
        match schema.column(name) {
            None => return fault(unknown_name(name, schema, &Inputs::default())),
            Some(column) if column.spec.kind != ColumnType::Category => {
                return fault(format!("{name} is of type {}, not a category", column.spec.kind.name()));
            }
            Some(column) if *encoding == Encoding::Ordinal && !column.spec.ordered => {
                return fault(format!("ordinal needs `ordered: true` and levels from low to high in table.columns.{name}"));
            }
            Some(_) => {}
        }
    }
    if section.encode.max_levels == 0 {
        return Err(SettingError::new(&["engineer", "encode", "max_levels"], "must be at least 1"));
    }
    if section.encode.max_levels > MAX_LEVELS {
        let message = format!("{} is more than {MAX_LEVELS}", section.encode.max_levels);
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
            let natural = if column.spec.ordered { Encoding::Ordinal } else { Encoding::OneHot };
            (column.name.clone(), encodings.get(column.name.as_str()).copied().unwrap_or(natural))
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
        let schema = Schema::check(&config.table).unwrap();
        Plan::check(&schema, &config.engineer).map_err(|error| error.to_string())
    }

    #[test]
    fn a_feature_that_reads_the_target_is_refused_with_the_chain() {
        let tail = ", the target. A feature made from the target is not there when a price is asked for; remove it";
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
    fn mistakes_are_named() {
        for (engineer, expected) in [
            (
                "  derive: {a: b + 1, b: c * 2, c: b - 1}\n",
                "engineer.derive.b: features are derived from each other in a circle: b → c → b",
            ),
            ("  derive: {a: a + 1}\n", "engineer.derive.a: features are derived from each other in a circle: a → a"),
            (
                "  derive: {a: sqfeet / 2}\n",
                "engineer.derive.a: there is no column \"sqfeet\" (did you mean \"sqft\"?) at character 1\n  sqfeet / 2\n  ^",
            ),
            ("  derive: {a: sqft +}\n", "engineer.derive.a: a value is missing at character 7\n  sqft +\n        ^"),
            (
                "  derive: {a: location * 2}\n",
                "engineer.derive.a: \"location\" is of type category: only numbers and dates can be computed with at character 1\n  \
                 location * 2\n  ^",
            ),
            (
                "  derive: {a: reference_year - year_built}\n",
                "engineer.derive.a: engineer.reference_year is not set at character 1\n  reference_year - year_built\n  ^",
            ),
            (
                "  derive: {a: year(sqft)}\n",
                "engineer.derive.a: year takes a column of type date at character 1\n  year(sqft)\n  ^",
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
                "engineer: no feature is left: every column is dropped, an id, a date or text",
            ),
        ] {
            assert_eq!(check(engineer).unwrap_err(), expected);
        }
    }

    #[test]
    fn derived_features_may_be_written_in_any_order() {
        let plan = check("  reference_year: 2026\n  derive:\n    b: a * 2\n    a: reference_year - year_built\n").unwrap();
        let mut table = Table::new(1);
        table.push("year_built", Values::Number(vec![2000.0]));
        let inputs = plan.compute(&table);
        let of = |name: &str| inputs[plan.inputs.place(name).unwrap()][0];
        assert_eq!((of("a"), of("b")), (26.0, 52.0));
        let features: Vec<&str> = plan.numbers.iter().map(|place| plan.inputs.names()[*place].as_str()).collect();
        assert_eq!(features, ["sqft", "year_built", "b", "a"]);
    }
}
