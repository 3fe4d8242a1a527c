//! Judges every cell of a block by the schema.

use std::{borrow::Cow, collections::BTreeMap};

use polars::prelude::*;
use rustc_hash::FxHashMap;
use schema::{Categories, Column, ColumnType, MISSING_LEVEL, Rule, Schema, Table, Values, Violation};
use serde::{Deserialize, Serialize};

use crate::{
    csv_blocks::Malformed,
    error::FrameError,
    header::split_record,
    source::{Block, Content},
};

/// How many faults of a row are named behind the first.
const NAMED_FAULTS: usize = 20;
/// One unread cell in so many is too many to look up.
const MANY_UNREAD: usize = 50;

/// A block after the schema has judged every cell.
#[derive(Debug)]
pub struct Checked {
    /// A column a column of the schema, in its order; `None` for one that the table lacks.
    pub columns: Vec<Option<CheckedColumn>>,
    /// Per row the line (in Parquet the row) on which it starts.
    pub lines: Vec<u64>,
    /// Per row whether every cell is good.
    pub good: Vec<bool>,
    /// Rows that break the schema and records that are not well formed, by line.
    pub rejected: Vec<Rejected>,
}

/// The cells of one column. Where a row is not good, its cell is missing.
#[derive(Debug, Deserialize, Serialize)]
pub enum CheckedColumn {
    /// Numbers and dates (days since 1970-01-01); NaN is missing.
    Number(Vec<f64>),
    /// Categories as the schema spells them.
    Category(Categories),
    /// Ids and texts, trimmed.
    Text(Vec<Option<Box<str>>>),
}

/// A row that breaks the schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    /// The line (in Parquet the row) on which it starts.
    pub line: u64,
    /// The first column at fault; empty where the record as a whole is.
    pub column: String,
    /// The cell as it stands in the file.
    pub value: String,
    /// The rule that it breaks.
    pub rule: Rule,
    /// What is wrong; further columns at fault are named here too.
    pub reason: String,
    /// The whole row as it stands in the file (of Parquet: its cells with commas between).
    pub record: String,
}

impl Checked {
    /// Numbers and categories, for `features`. Where a row is not good its cells are missing.
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

/// The rows that are `chosen`, as `process` writes them: whole numbers without a point, dates in ISO 8601.
///
/// # Errors
/// If polars refuses the columns: that would be a mistake here.
pub fn to_frame(schema: &Schema, columns: &[Option<CheckedColumn>], chosen: &[usize]) -> Result<DataFrame, FrameError> {
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

struct Fault {
    row: usize,
    column: usize,
    value: String,
    violation: Violation,
}

impl Block {
    /// Judges every cell by `schema`. A level that is not listed is a fault unless `keep_unknown_levels`.
    ///
    /// # Errors
    /// If the block cannot be parsed at all.
    pub fn check(&self, schema: &Schema, keep_unknown_levels: bool) -> Result<Checked, FrameError> {
        self.check_columns(schema, &|_| true, keep_unknown_levels)
    }

    /// The same without the target, which is not looked at even if it is there.
    ///
    /// # Errors
    /// If the block cannot be parsed at all.
    pub fn check_inputs(&self, schema: &Schema, keep_unknown_levels: bool) -> Result<Checked, FrameError> {
        self.check_columns(schema, &|index| index != schema.target_index(), keep_unknown_levels)
    }

    fn check_columns(
        &self,
        schema: &Schema,
        wanted: &dyn Fn(usize) -> bool,
        keep_unknown_levels: bool,
    ) -> Result<Checked, FrameError> {
        let frame = self.parse_leniently(schema).map_err(|error| FrameError::content(&self.path, error))?;
        let places: FxHashMap<&str, usize> = self.names.iter().map(String::as_str).zip(0..).collect();
        let judged: Vec<Option<(CheckedColumn, Vec<Fault>)>> = schema
            .columns()
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let place = places.get(column.name.as_str()).copied().filter(|_| wanted(index))?;
                let cells = frame.columns()[place].as_materialized_series();
                Some(match cells.f64() {
                    Ok(numbers) => self.judge_numbers(index, column, numbers, place),
                    Err(_) => judge(index, column, cells.str().ok()?, keep_unknown_levels),
                })
            })
            .collect();
        let mut good = vec![true; frame.height()];
        let (mut columns, mut faults) = (Vec::new(), Vec::new());
        for judged in judged {
            columns.push(judged.map(|(column, found)| {
                faults.extend(found);
                column
            }));
        }
        faults.sort_by_key(|fault| (fault.row, fault.column));
        faults.iter().for_each(|fault| good[fault.row] = false);
        let mut rejected: Vec<Rejected> =
            faults.chunk_by(|a, b| a.row == b.row).map(|faults| self.reject(schema, &frame, faults)).collect();
        if let Content::Csv(block) = &self.content {
            rejected.extend(block.malformed.iter().map(|malformed| self.reject_malformed(malformed)));
            rejected.sort_by_key(|rejected| rejected.line);
        }
        let lines = (0..frame.height()).map(|row| self.line(row)).collect();
        Ok(Checked { columns, lines, good, rejected })
    }

    /// Numbers as numbers, where polars can read them, and all else as text. A column in which it cannot read many is read as
    /// text, too: looking them up one by one would take longer.
    fn parse_leniently(&self, schema: &Schema) -> PolarsResult<DataFrame> {
        let is_csv = matches!(self.content, Content::Csv(_));
        let readable = |name: &str| {
            let column = schema.column(name).filter(|column| column.spec.kind.is_number() && !column.has_numeric_missing());
            is_csv && column.is_some()
        };
        let frame = self.parse(true, &|name| if readable(name) { DataType::Float64 } else { DataType::String })?;
        let unread = |name: &str| {
            let cells = frame.column(name);
            cells.is_ok_and(|cells| cells.dtype().is_float() && cells.null_count() * MANY_UNREAD > frame.height())
        };
        if !frame.columns().iter().any(|column| unread(column.name())) {
            return Ok(frame);
        }
        self.parse(true, &|name| if readable(name) && !unread(name) { DataType::Float64 } else { DataType::String })
    }

    /// Judges cells that polars read as numbers; what it could not read is looked up in the text.
    fn judge_numbers(
        &self,
        index: usize,
        column: &Column,
        cells: &Float64Chunked,
        place: usize,
    ) -> (CheckedColumn, Vec<Fault>) {
        let mut faults = Vec::new();
        let judge = |(row, cell): (usize, Option<f64>)| {
            let judged = match cell.filter(|value| value.is_finite()) {
                Some(value) => column.check_number(value).map(Some),
                None => column.number(&self.cell(row, place)),
            };
            judged.map_or_else(
                |violation| {
                    faults.push(Fault { row, column: index, value: self.cell(row, place), violation });
                    f64::NAN
                },
                |value| value.unwrap_or(f64::NAN),
            )
        };
        let values = cells.iter().enumerate().map(judge).collect();
        (CheckedColumn::Number(values), faults)
    }

    /// The text of one cell of a CSV block.
    fn cell(&self, row: usize, place: usize) -> String {
        let Content::Csv(block) = &self.content else { return String::new() };
        split_record(&String::from_utf8_lossy(block.record(row))).into_iter().nth(place).unwrap_or_default()
    }

    /// Row `row` as it stands in a CSV file, or its `cells` (of Parquet, all of them are texts) with commas between.
    fn record_text<'a>(&self, row: usize, cells: impl Iterator<Item = &'a str>) -> String {
        match &self.content {
            Content::Csv(block) => String::from_utf8_lossy(block.record(row)).into_owned(),
            Content::Parquet { .. } => cells.collect::<Vec<_>>().join(","),
        }
    }

    fn reject(&self, schema: &Schema, frame: &DataFrame, faults: &[Fault]) -> Rejected {
        let name = |fault: &Fault| schema.columns()[fault.column].name.clone();
        let mut reason = faults[0].violation.reason.clone();
        for fault in faults.iter().skip(1).take(NAMED_FAULTS) {
            reason.push_str(&format!("; and {}: {}", name(fault), fault.violation.reason));
        }
        if faults.len() > NAMED_FAULTS + 1 {
            reason.push_str(&format!("; and {} more columns", faults.len() - NAMED_FAULTS - 1));
        }
        let row = faults[0].row;
        let cells = frame.columns().iter().filter_map(|column| column.str().ok());
        let record = self.record_text(row, cells.map(|cells| cells.get(row).unwrap_or("")));
        let (value, rule) = (faults[0].value.clone(), faults[0].violation.rule);
        Rejected { line: self.line(row), column: name(&faults[0]), value, rule, reason, record }
    }
}

fn judge(index: usize, column: &Column, cells: &StringChunked, keep_unknown: bool) -> (CheckedColumn, Vec<Fault>) {
    let mut faults = Vec::new();
    let mut fault = |row, value: &str, violation: Violation| {
        faults.push(Fault { row, column: index, value: value.to_owned(), violation });
    };
    let cells_by_row = cells.iter().map(Option::unwrap_or_default).enumerate();
    let checked = match column.spec.kind {
        ColumnType::Float | ColumnType::Integer | ColumnType::Date => {
            let judge = |(row, cell): (usize, &str)| match column.number(cell) {
                Ok(value) => value.unwrap_or(f64::NAN),
                Err(violation) => {
                    fault(row, cell, violation);
                    f64::NAN
                }
            };
            CheckedColumn::Number(cells_by_row.map(judge).collect())
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
                    fault(row, cell, violation);
                    MISSING_LEVEL
                }));
            }
            CheckedColumn::Category(categories)
        }
        ColumnType::Id | ColumnType::Text => {
            let judge = |(row, cell)| match column.text(cell) {
                Ok(text) => text.map(Box::from),
                Err(violation) => {
                    fault(row, cell, violation);
                    None
                }
            };
            CheckedColumn::Text(cells_by_row.map(judge).collect())
        }
    };
    (checked, faults)
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
    /// Every cell as it stands in the file, a column a name in the header.
    ///
    /// # Errors
    /// If the block cannot be parsed at all.
    pub fn texts(&self) -> Result<Vec<Vec<String>>, FrameError> {
        let frame = self.parse(false, &|_| DataType::String).map_err(|error| FrameError::content(&self.path, error))?;
        let texts = |column: &polars::prelude::Column| {
            let cells = column.str().map(|cells| cells.iter().map(|cell| cell.unwrap_or_default().to_owned()).collect());
            cells.unwrap_or_default()
        };
        Ok(frame.columns().iter().map(texts).collect())
    }

    /// Row `row` as rejected for a reason that the schema does not know. `texts` are the cells of this block.
    pub fn reject_row(&self, row: usize, column: &str, reason: &str, texts: &[Vec<String>]) -> Rejected {
        let record = self.record_text(row, texts.iter().map(|cells| cells[row].as_str()));
        let place = self.names.iter().position(|name| name == column);
        let value = place.map_or(String::new(), |place| texts[place][row].clone());
        let (column, reason) = (column.to_owned(), reason.to_owned());
        Rejected { line: self.line(row), column, value, rule: Rule::Other, reason, record }
    }

    /// The names in the header.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How many records are not well formed.
    pub fn malformed_rows(&self) -> u64 {
        self.malformed_records().len() as u64
    }

    /// Per rule how many records of the block break it, and the first of them.
    pub fn malformed_by_rule(&self) -> BTreeMap<Rule, (u64, Rejected)> {
        let mut found = BTreeMap::new();
        for malformed in self.malformed_records() {
            found.entry(malformed.rule).or_insert_with(|| (0, self.reject_malformed(malformed))).0 += 1;
        }
        found
    }

    fn malformed_records(&self) -> &[Malformed] {
        match &self.content {
            Content::Csv(block) => &block.malformed,
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

/// The header of a file of rejected rows.
pub const REJECTED_HEADER: &str = "line,column,value,reason,record\n";

/// Rejected rows as CSV, without a header.
///
/// # Errors
/// If polars refuses the columns: that would be a mistake here.
pub fn rejected_csv(rejected: &[Rejected]) -> Result<Vec<u8>, FrameError> {
    let text = |name: &str, of: &dyn Fn(&Rejected) -> &str| {
        let cells: Vec<Option<&str>> =
            rejected.iter().map(|rejected| Some(of(rejected)).filter(|cell| !cell.is_empty())).collect();
        polars::prelude::Column::new(name.into(), cells)
    };
    let lines: Vec<i64> = rejected.iter().map(|rejected| rejected.line.cast_signed()).collect();
    let columns = vec![
        polars::prelude::Column::new("line".into(), lines),
        text("column", &|rejected| &rejected.column),
        text("value", &|rejected| &rejected.value),
        text("reason", &|rejected| &rejected.reason),
        text("record", &|rejected| &rejected.record),
    ];
    let frame = DataFrame::new(rejected.len(), columns);
    frame
        .and_then(|frame| crate::writer::csv_text(&frame))
        .map_err(|error| FrameError::content(std::path::Path::new("quarantine"), error))
}
