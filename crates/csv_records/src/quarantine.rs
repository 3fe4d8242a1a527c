//! The file of quarantined rows: a record for each, with the reason.

use crate::field::push_field;

/// The header of a file of quarantined rows.
pub const QUARANTINE_HEADER: &str = "line,column,value,reason,record\n";

/// A row that is not used.
#[derive(Clone, Copy, Debug)]
pub struct QuarantinedRow<'a> {
    /// The line on which it starts; of a table without lines the row, from 1.
    pub line: u64,
    /// The first column at fault; empty where the record as a whole is.
    pub column: &'a str,
    /// The cell at fault as it stands in the file.
    pub value: &'a str,
    /// What is wrong.
    pub reason: &'a str,
    /// The whole row as it stands in the file.
    pub record: &'a str,
}

/// Appends the record of a quarantined row.
pub fn push_quarantined(out: &mut Vec<u8>, row: QuarantinedRow) {
    out.extend_from_slice(row.line.to_string().as_bytes());
    for text in [row.column, row.value, row.reason, row.record] {
        out.push(b',');
        push_field(out, text);
    }
    out.push(b'\n');
}
