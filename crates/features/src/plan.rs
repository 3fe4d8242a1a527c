//! The `engineer` section checked against the table: which columns are read, what is derived from them and in what order.

use schema::{ColumnType, Encoding, EngineerSection, NumberImpute, Schema, SettingError, Table, UnknownCategory, Values};
use serde_json::Value;

use crate::{
    derive::{Derived, compile, order, parse_all, refuse_target, unknown_name},
    expression::Program,
};

/// A checked `engineer` section: nothing is learned yet.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) schema: Schema,
    pub(crate) reference_year: Option<i32>,
    /// In the order of the configuration: name and text.
    pub(crate) derive: Vec<(String, String)>,
    /// Numeric inputs: raw columns first, then derived ones in the order in which they can be computed.
    pub(crate) inputs: Vec<String>,
    /// Per derived input: its place in `inputs` and its program over the inputs before it.
    pub(crate) programs: Vec<(usize, Program)>,
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
        let mut inputs: Vec<String> = raw.map(|(_, column)| column.name.clone()).collect();
        let mut programs = Vec::new();
        for index in order {
            let Derived { name, expression } = &derived[index];
            let program = compile(schema, section, &inputs, name, expression)?;
            programs.push((inputs.len(), program));
            inputs.push(name.clone());
        }

        for name in &section.drop {
            if !inputs.contains(name) && schema.column(name).is_none() {
                return Err(SettingError::new(&["engineer", "drop"], unknown_name(name, schema, &inputs)));
            }
        }
        let is_feature = |name: &str| !section.drop.iter().any(|dropped| dropped == name);
        let is_date = |name: &str| schema.column(name).is_some_and(|column| column.spec.kind == ColumnType::Date);
        let place = |name: &str| inputs.iter().position(|input| input == name);
        let raw_then_derived =
            schema.columns().iter().map(|column| column.name.as_str()).chain(section.derive.iter().map(|(name, _)| name));
        let numbers = raw_then_derived.filter(|name| is_feature(name) && !is_date(name)).filter_map(place).collect();
        let plan = Self {
            schema: schema.clone(),
            reference_year: section.reference_year,
            derive: section.derive.0.clone(),
            numbers,
            categories: categories(schema, section)?,
            inputs,
            programs,
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
        let mut columns: Vec<Vec<f64>> = Vec::with_capacity(self.inputs.len());
        for name in &self.inputs[..self.inputs.len() - self.programs.len()] {
            columns.push(match table.get(name) {
                Some(Values::Number(values)) => values.clone(),
                _ => vec![f64::NAN; table.rows()],
            });
        }
        for (_, program) in &self.programs {
            let inputs: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
            columns.push(program.run(&inputs, table.rows()));
        }
        columns
    }

    /// The inputs in the order in which they can be computed, derived ones with their programs.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = (&str, Option<&Program>)> {
        let program = |place: usize| self.programs.iter().find(|(derived, _)| *derived == place).map(|(_, program)| program);
        self.inputs.iter().enumerate().map(move |(place, name)| (name.as_str(), program(place)))
    }

    /// The fixed number that replaces a missing value of `name`, if one is configured.
    pub(crate) fn constant(&self, name: &str) -> Option<&Value> {
        self.constants.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn check_constants(&self) -> Result<(), SettingError> {
        for (name, value) in &self.constants {
            let fault = |message: String| Err(SettingError::new(&["engineer", "impute", "constants", name], message));
            let category = self.categories.iter().any(|(column, _)| column == name);
            if self.inputs.contains(name) {
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

fn categories(schema: &Schema, section: &EngineerSection) -> Result<Vec<(String, Encoding)>, SettingError> {
    for (name, encoding) in section.encode.columns.iter() {
        let fault = |message: String| Err(SettingError::new(&["engineer", "encode", "columns", name], message));
        match schema.column(name) {
            None => return fault(unknown_name(name, schema, &[])),
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
    let is_feature = |name: &String| !section.drop.contains(name);
    let columns =
        schema.columns().iter().filter(|column| column.spec.kind == ColumnType::Category && is_feature(&column.name));
    Ok(columns
        .map(|column| {
            let natural = if column.spec.ordered { Encoding::Ordinal } else { Encoding::OneHot };
            (column.name.clone(), section.encode.columns.get(&column.name).copied().unwrap_or(natural))
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
        let of = |name: &str| inputs[plan.inputs.iter().position(|input| input == name).unwrap()][0];
        assert_eq!((of("a"), of("b")), (26.0, 52.0));
        let features: Vec<&str> = plan.numbers.iter().map(|place| plan.inputs[*place].as_str()).collect();
        assert_eq!(features, ["sqft", "year_built", "b", "a"]);
    }
}
