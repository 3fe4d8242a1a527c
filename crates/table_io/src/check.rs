//! Validation of the cells of a block by the schema.

use std::{borrow::Cow, collections::BTreeMap};

use csv_records::{Malformed, QuarantinedRow, fields, push_quarantined};
use polars::prelude::*;
use rustc_hash::FxHashMap;
use schema::{Categories, Column, ColumnType, MISSING_LEVEL, Rule, Schema, Table, Values, Violation};
use serde::{Deserialize, Serialize};

use crate::{
    error::FrameError,
    source::{Block, Content},
};

/// Largest number of further errors of a row in its reason.
const MAX_FURTHER_ERRORS: usize = 20;
/// A column with more than one unparsed cell in this number of cells is parsed as text, because single look-ups are slower.
const CELLS_PER_UNPARSED_CELL: usize = 50;

/// A validated block.
#[derive(Debug)]
pub struct CheckedBlock {
    /// Columns in the order of the schema; `None` for a column that the table lacks.
    pub columns: Vec<Option<CheckedColumn>>,
    /// Line of each row (row number in Parquet), from 1.
    pub lines: Vec<u64>,
    /// True for each row whose cells are all valid.
    pub good: Vec<bool>,
    /// Invalid rows and malformed records, by line.
    pub rejected: Vec<Rejected>,
}

/// The cells of one column. In invalid rows, invalid cells are missing.
#[derive(Debug, Deserialize, Serialize)]
pub enum CheckedColumn {
    /// Numbers and dates (days since 1970-01-01); NaN is missing.
    Number(Vec<f64>),
    /// Categories in the spelling of the schema.
    Category(Categories),
    /// Ids and texts, trimmed.
    Text(Vec<Option<Box<str>>>),
}

/// An invalid row.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    /// Line (row number in Parquet), from 1.
    pub line: u64,
    /// The first invalid column; empty for a malformed record.
    pub column: String,
    /// The cell in the file.
    pub value: String,
    /// The rule that is broken.
    pub rule: Rule,
    /// The reason, including those of further columns.
    pub reason: String,
    /// The row in the file (for Parquet, its cells joined by commas).
    pub record: String,
}

impl CheckedBlock {
    /// Numbers and categories as a table for `features`.
    pub fn to_table(&self, schema: &Schema) -> Table {
        let mut table = Table::new(self.good.len());
        for (column, checked) in schema.columns().iter().zip(&self.columns) {
            match checked {
                Some(CheckedColumn::Number(values)) => table.push(&column.name, Values::Number(values.clone())),
                Some(CheckedColumn::Category(values)) => table.push(&column.name, Values::Category(values.clone())),
                Some(CheckedColumn::Text(_)) | None => {}
            }
        }
        table
    }
}

/// The rows `chosen` as a data frame for the cleaned table: integers without decimals, dates in ISO 8601.
///
/// # Errors
/// If polars rejects the columns (a bug of this program).
pub fn to_data_frame(schema: &Schema, columns: &[Option<CheckedColumn>], chosen: &[usize]) -> Result<DataFrame, FrameError> {
    let present = schema.columns().iter().zip(columns);
    let columns =
        present.filter_map(|(column, checked)| Some(to_series(column, checked.as_ref()?, chosen).into())).collect();
    DataFrame::new(chosen.len(), columns).map_err(|error| FrameError::content(std::path::Path::new("table"), error))
}

fn to_series(column: &Column, checked: &CheckedColumn, rows: &[usize]) -> Series {
    let name: PlSmallStr = column.name.as_str().into();
    match checked {
        CheckedColumn::Number(values) => {
            let cells = || rows.iter().map(|row| values[*row]);
            let present = || cells().map(|value| Some(value).filter(|value| !value.is_nan()));
            let complete = !cells().any(f64::is_nan);
            match column.spec.kind {
                ColumnType::Date => {
                    StringChunked::from_iter_options(name, present().map(|days| days.map(schema::iso_date))).into_series()
                }
                ColumnType::Integer if complete => {
                    Int64Chunked::from_vec(name, cells().map(|value| value as i64).collect()).into_series()
                }
                ColumnType::Integer => {
                    Int64Chunked::from_iter_options(name, present().map(|value| value.map(|value| value as i64)))
                        .into_series()
                }
                _ if complete => Float64Chunked::from_vec(name, cells().collect()).into_series(),
                _ => Float64Chunked::from_iter_options(name, present()).into_series(),
            }
        }
        CheckedColumn::Category(values) => {
            let cells = rows.iter().map(|row| values.levels.get(values.codes[*row] as usize).map(String::as_str));
            StringChunked::from_iter_options(name, cells).into_series()
        }
        CheckedColumn::Text(values) => {
            StringChunked::from_iter_options(name, rows.iter().map(|row| values[*row].as_deref())).into_series()
        }
    }
}

struct CellError {
    row: usize,
    column: usize,
    value: String,
    violation: Violation,
}

impl Block {
    /// Validates all cells by `schema`. A level that is not listed is invalid unless `keep_unknown_levels`.
    ///
    /// # Errors
    /// If the block cannot be parsed.
    pub fn validate(&self, schema: &Schema, keep_unknown_levels: bool) -> Result<CheckedBlock, FrameError> {
        let frame = self.parse_leniently(schema).map_err(|error| FrameError::content(&self.path, error))?;
        let places: FxHashMap<&str, usize> = self.names.iter().map(String::as_str).zip(0..).collect();
        let validated: Vec<Option<(CheckedColumn, Vec<CellError>)>> = schema
            .columns()
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let place = places.get(column.name.as_str()).copied()?;
                let cells = frame.columns()[place].as_materialized_series();
                Some(match cells.f64() {
                    Ok(numbers) => self.validate_numbers(index, column, numbers, place),
                    Err(_) => validate_texts(index, column, cells.str().ok()?, keep_unknown_levels),
                })
            })
            .collect();
        let mut good = vec![true; frame.height()];
        let (mut columns, mut errors) = (Vec::new(), Vec::new());
        for validated in validated {
            columns.push(validated.map(|(column, found)| {
                errors.extend(found);
                column
            }));
        }
        errors.sort_by_key(|cell_error| (cell_error.row, cell_error.column));
        errors.iter().for_each(|cell_error| good[cell_error.row] = false);
        let mut rejected: Vec<Rejected> =
            errors.chunk_by(|a, b| a.row == b.row).map(|errors| self.reject(schema, &frame, errors)).collect();
        if let Content::Csv(block) = &self.content {
            rejected.extend(block.malformed().iter().map(|malformed| self.reject_malformed(malformed)));
            rejected.sort_by_key(|rejected| rejected.line);
        }
        let lines = (0..frame.height()).map(|row| self.line(row)).collect();
        Ok(CheckedBlock { columns, lines, good, rejected })
    }

    /// Parses numbers with polars where possible, and everything else as text. A column with many unparsed cells is parsed as text, too,
    /// because looking them up one by one is slower.
    fn parse_leniently(&self, schema: &Schema) -> PolarsResult<DataFrame> {
        let is_csv = matches!(self.content, Content::Csv(_));
        let readable = |name: &str| {
            let column = schema.column(name).filter(|column| column.spec.kind.is_number() && !column.has_numeric_missing());
            is_csv && column.is_some()
        };
        let frame = self.parse(true, &|name| if readable(name) { DataType::Float64 } else { DataType::String })?;
        let unread = |name: &str| {
            let cells = frame.column(name);
            cells
                .is_ok_and(|cells| cells.dtype().is_float() && cells.null_count() * CELLS_PER_UNPARSED_CELL > frame.height())
        };
        if !frame.columns().iter().any(|column| unread(column.name())) {
            return Ok(frame);
        }
        self.parse(true, &|name| if readable(name) && !unread(name) { DataType::Float64 } else { DataType::String })
    }

    /// Validates cells that polars parsed as numbers; unparsed cells are looked up in the text.
    fn validate_numbers(
        &self,
        index: usize,
        column: &Column,
        cells: &Float64Chunked,
        place: usize,
    ) -> (CheckedColumn, Vec<CellError>) {
        let mut errors = Vec::new();
        let validate_texts = |(row, cell): (usize, Option<f64>)| {
            let validated = match cell.filter(|value| value.is_finite()) {
                Some(value) => column.check_number(value).map(Some),
                None => column.number(&self.cell(row, place)),
            };
            validated.map_or_else(
                |violation| {
                    errors.push(CellError { row, column: index, value: self.cell(row, place), violation });
                    f64::NAN
                },
                |value| value.unwrap_or(f64::NAN),
            )
        };
        let values = cells.iter().enumerate().map(validate_texts).collect();
        (CheckedColumn::Number(values), errors)
    }

    /// The text of a cell of a CSV block.
    fn cell(&self, row: usize, place: usize) -> String {
        let Content::Csv(block) = &self.content else { return String::new() };
        fields(block.record(row)).into_iter().nth(place).unwrap_or_default().into_owned()
    }

    /// Row `row` of a CSV file, or its `cells` (texts of Parquet) joined by commas.
    fn record_text<'a>(&self, row: usize, cells: impl Iterator<Item = &'a str>) -> String {
        match &self.content {
            Content::Csv(block) => block.record(row).to_owned(),
            Content::Parquet { .. } => cells.collect::<Vec<_>>().join(","),
        }
    }

    fn reject(&self, schema: &Schema, frame: &DataFrame, errors: &[CellError]) -> Rejected {
        let name = |cell_error: &CellError| schema.columns()[cell_error.column].name.clone();
        let mut reason = errors[0].violation.reason.clone();
        for cell_error in errors.iter().skip(1).take(MAX_FURTHER_ERRORS) {
            reason.push_str(&format!("; and {}: {}", name(cell_error), cell_error.violation.reason));
        }
        if errors.len() > MAX_FURTHER_ERRORS + 1 {
            reason.push_str(&format!("; and {} more columns", errors.len() - MAX_FURTHER_ERRORS - 1));
        }
        let row = errors[0].row;
        let cells = frame.columns().iter().filter_map(|column| column.str().ok());
        let record = self.record_text(row, cells.map(|cells| cells.get(row).unwrap_or("")));
        let (value, rule) = (errors[0].value.clone(), errors[0].violation.rule);
        Rejected { line: self.line(row), column: name(&errors[0]), value, rule, reason, record }
    }
}

fn validate_texts(
    index: usize,
    column: &Column,
    cells: &StringChunked,
    keep_unknown: bool,
) -> (CheckedColumn, Vec<CellError>) {
    let mut errors = Vec::new();
    let mut cell_error = |row, value: &str, violation: Violation| {
        errors.push(CellError { row, column: index, value: value.to_owned(), violation });
    };
    let cells_by_row = cells.iter().map(Option::unwrap_or_default).enumerate();
    let checked = match column.spec.kind {
        ColumnType::Float | ColumnType::Integer | ColumnType::Date => {
            let validate_texts = |(row, cell): (usize, &str)| match column.number(cell) {
                Ok(value) => value.unwrap_or(f64::NAN),
                Err(violation) => {
                    cell_error(row, cell, violation);
                    f64::NAN
                }
            };
            CheckedColumn::Number(cells_by_row.map(validate_texts).collect())
        }
        ColumnType::Category => {
            let mut known: FxHashMap<&str, Result<u32, Violation>> = FxHashMap::default();
            let mut codes: FxHashMap<String, u32> = FxHashMap::default();
            let mut categories = Categories { codes: Vec::with_capacity(cells.len()), levels: vec![] };
            for (row, cell) in cells_by_row {
                let code = known.entry(cell).or_insert_with(|| match column.text(cell) {
                    Ok(None) => Ok(MISSING_LEVEL),
                    Ok(Some(level)) => Ok(code_of(&mut codes, &mut categories.levels, level)),
                    Err(violation) if keep_unknown && violation.rule == Rule::Level => {
                        Ok(code_of(&mut codes, &mut categories.levels, Cow::Borrowed(cell.trim())))
                    }
                    Err(violation) => Err(violation),
                });
                categories.codes.push(code.clone().unwrap_or_else(|violation| {
                    cell_error(row, cell, violation);
                    MISSING_LEVEL
                }));
            }
            CheckedColumn::Category(categories)
        }
        ColumnType::Id | ColumnType::Text => {
            let validate_texts = |(row, cell)| match column.text(cell) {
                Ok(text) => text.map(Box::from),
                Err(violation) => {
                    cell_error(row, cell, violation);
                    None
                }
            };
            CheckedColumn::Text(cells_by_row.map(validate_texts).collect())
        }
    };
    (checked, errors)
}

fn code_of(codes: &mut FxHashMap<String, u32>, levels: &mut Vec<String>, level: Cow<str>) -> u32 {
    if let Some(code) = codes.get(level.as_ref()) {
        return *code;
    }
    let code = levels.len() as u32;
    levels.push(level.clone().into_owned());
    codes.insert(level.into_owned(), code);
    code
}

impl Block {
    /// All cells as texts, by column of the header.
    ///
    /// # Errors
    /// If the block cannot be parsed.
    pub fn texts(&self) -> Result<Vec<Vec<String>>, FrameError> {
        let frame = self.text_frame()?;
        let texts = |column: &polars::prelude::Column| {
            let cells = column.str().map(|cells| cells.iter().map(|cell| cell.unwrap_or_default().to_owned()).collect());
            cells.unwrap_or_default()
        };
        Ok(frame.columns().iter().map(texts).collect())
    }

    /// All cells as a frame of texts. A missing cell of Parquet is null.
    ///
    /// # Errors
    /// If the block cannot be parsed.
    pub fn text_frame(&self) -> Result<DataFrame, FrameError> {
        self.parse(false, &|_| DataType::String).map_err(|error| FrameError::content(&self.path, error))
    }

    /// Names in the header.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Number of malformed records.
    pub fn malformed_rows(&self) -> u64 {
        self.malformed_records().len() as u64
    }

    /// Number of malformed records and the first of them, by rule.
    pub fn malformed_by_rule(&self) -> BTreeMap<Rule, (u64, Rejected)> {
        let mut by_rule = BTreeMap::new();
        for malformed in self.malformed_records() {
            by_rule.entry(malformed.rule).or_insert_with(|| (0, self.reject_malformed(malformed))).0 += 1;
        }
        by_rule
    }

    fn malformed_records(&self) -> &[Malformed] {
        match &self.content {
            Content::Csv(block) => block.malformed(),
            Content::Parquet { .. } => &[],
        }
    }

    fn reject_malformed(&self, malformed: &Malformed) -> Rejected {
        Rejected {
            line: malformed.line,
            column: malformed.field.and_then(|field| self.names.get(field)).cloned().unwrap_or_default(),
            value: String::new(),
            rule: malformed.rule,
            reason: format!("the record {}", malformed.reason),
            record: malformed.record.clone(),
        }
    }
}

/// Rejected rows as the records of a quarantine file, without its header.
pub fn rejected_csv(rejected: &[Rejected]) -> Vec<u8> {
    let mut out = Vec::new();
    for Rejected { line, column, value, reason, record, .. } in rejected {
        push_quarantined(&mut out, QuarantinedRow { line: *line, column, value, reason, record });
    }
    out
}
