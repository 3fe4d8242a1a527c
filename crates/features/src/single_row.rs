//! Transformation of one row without a table: the same bits, but much faster.

use schema::{CellValue, ColumnType, UnknownCategory};

use crate::{
    encoder::CategoryEncoder,
    preprocessor::{Preprocessor, RowError, unknown_level},
};

/// Buffers that are reused from row to row.
#[derive(Clone, Debug, Default)]
pub struct RowBuffers {
    inputs: Vec<f64>,
    stack: Vec<f64>,
}

impl Preprocessor {
    /// Transforms one row to features, in the order of [`feature_names`](Self::feature_names), with the same bits as
    /// [`transform`](Self::transform). `cells` are the values of [`columns`](Self::columns), in order; `features` is cleared first.
    ///
    /// # Errors
    /// With the first cell that has an unknown level, if these are rejected.
    ///
    /// # Panics
    /// If there are fewer `cells` than columns (a mistake of the caller).
    pub fn transform_row(
        &self,
        cells: &[CellValue],
        buffers: &mut RowBuffers,
        features: &mut Vec<f64>,
    ) -> Result<(), RowError> {
        let RowBuffers { inputs, stack } = buffers;
        inputs.clear();
        // the first inputs are the columns that are numbers or dates, in the order of the schema
        for (column, cell) in self.columns().zip(cells) {
            if column.spec.kind != ColumnType::Category {
                inputs.push(if let CellValue::Number(value) = cell { *value } else { f64::NAN });
            }
        }
        for program in self.plan.inputs.programs() {
            let value = program.value(|place| inputs[place], stack);
            inputs.push(value);
        }
        features.clear();
        for (place, feature) in self.places.iter().zip(&self.file.numbers) {
            let value = inputs[*place];
            features.push(if value.is_finite() { value } else { feature.fill });
        }
        let to_other = self.file.unknown == UnknownCategory::Other;
        for (category, place) in self.file.categories.iter().zip(&self.category_places) {
            let level = if let CellValue::Level(level) = &cells[*place] { Some(level.as_ref()) } else { None };
            if !category.encode_cell(level, to_other, features) {
                return Err(unknown_level(0, category, level.unwrap_or_default()));
            }
        }
        Ok(())
    }

    /// The cells with an unknown level: index in [`columns`](Self::columns), and error.
    pub fn unknown_levels_of_row(&self, cells: &[CellValue]) -> Vec<(usize, RowError)> {
        self.unknown_cells(cells).map(|(place, category, level)| (place, unknown_level(0, category, level))).collect()
    }

    /// The indices of cells with an unknown level, without messages.
    pub fn unknown_places_of_row(&self, cells: &[CellValue]) -> Vec<usize> {
        self.unknown_cells(cells).map(|(place, ..)| place).collect()
    }

    fn unknown_cells<'a>(&'a self, cells: &'a [CellValue]) -> impl Iterator<Item = (usize, &'a CategoryEncoder, &'a str)> {
        self.file.categories.iter().zip(&self.category_places).filter_map(|(category, place)| match cells.get(*place) {
            Some(CellValue::Level(level)) if !category.knows(level) => Some((*place, category, level.as_ref())),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use schema::{Categories, MISSING_LEVEL, PipelineConfig, Schema, Table, Values};

    use super::*;
    use crate::{fit::Fitter, plan::Plan};

    const CONFIG: &str = "table:
  target: price
  columns:
    id: {type: id}
    rooms: {type: integer}
    place: {type: category, levels: [Rural, Urban]}
    price: {type: float}
    sold: {type: date}
    state: {type: category, levels: [Poor, Good], ordered: true}
    kind: {type: category}
engineer:
  derive: {year: year(sold), ratio: rooms / (year - 2000)}
  drop: [rooms]
  encode: {columns: {kind: native}}
";

    #[test]
    fn a_row_has_the_same_features_alone_and_in_a_table() {
        for (unknown, numbers) in [("reject", "median"), ("other", "median"), ("other", "none")] {
            let text = format!("{CONFIG}  unknown_category: {unknown}\n  impute: {{number: {numbers}}}\n");
            let config = PipelineConfig::parse(&text).unwrap();
            let plan = Plan::from_section(&Schema::from_section(&config.table).unwrap(), &config.engineer).unwrap();
            let rooms = [3.0, f64::NAN, 5.0, 0.0, 7.0];
            let sold = [10_957.0, 16_356.0, f64::NAN, 12_000.0, 20_000.0];
            let levels = ["Rural", "Urban", "Good", "x", "y", "Atlantis"].map(String::from);
            let codes = [[0, 1, MISSING_LEVEL, 0, 5], [2, MISSING_LEVEL, 2, 2, 2], [3, 4, 3, MISSING_LEVEL, 4]];
            let mut table = Table::new(5);
            table.push("rooms", Values::Number(rooms.to_vec()));
            table.push("sold", Values::Number(sold.to_vec()));
            for (name, codes) in ["place", "state", "kind"].iter().zip(codes) {
                table.push(*name, Values::Category(Categories { codes: codes.to_vec(), levels: levels.to_vec() }));
            }
            let mut fitter = Fitter::new(&plan);
            fitter.update(&table.select_rows(&[0, 1, 2, 3]), &[true; 4]);
            let preprocessor = fitter.finish().unwrap();

            let number = |value: f64| if value.is_nan() { CellValue::Missing } else { CellValue::Number(value) };
            let level =
                |code: u32| levels.get(code as usize).map_or(CellValue::Missing, |level| CellValue::Level(level.into()));
            let (mut buffers, mut features) = (RowBuffers::default(), Vec::new());
            for row in 0..5 {
                let cells = [
                    number(rooms[row]),
                    level(codes[0][row]),
                    number(sold[row]),
                    level(codes[1][row]),
                    level(codes[2][row]),
                ];
                let names: Vec<&str> = preprocessor.columns().map(|column| column.name.as_str()).collect();
                assert_eq!(names, ["rooms", "place", "sold", "state", "kind"]);
                let alone = preprocessor.transform_row(&cells, &mut buffers, &mut features);
                match preprocessor.transform(&table.select_rows(&[row])) {
                    Ok(columns) => {
                        assert_eq!(alone, Ok(()));
                        assert_eq!(features.len(), preprocessor.feature_names().len());
                        for (alone, column) in features.iter().zip(columns) {
                            assert_eq!(alone.to_bits(), column[0].to_bits());
                        }
                    }
                    Err(rejection) => {
                        assert_eq!(alone, Err(rejection.clone()));
                        assert_eq!(preprocessor.unknown_levels_of_row(&cells), [(1, rejection)]);
                        assert_eq!(preprocessor.unknown_places_of_row(&cells), [1]);
                    }
                }
            }
        }
    }
}
