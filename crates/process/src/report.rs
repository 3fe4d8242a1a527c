//! The report of the stage: columns, rows, and the page.

pub(crate) mod column;
pub(crate) mod page;
pub(crate) mod table;
