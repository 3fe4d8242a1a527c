//! What is reported of a table: columns, rows, and the page.

pub(crate) mod column;
pub(crate) mod page;
pub(crate) mod table;
