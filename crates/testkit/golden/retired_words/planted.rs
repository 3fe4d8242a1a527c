//! Exit codes: 1 where the answer
//! is no, 2 on an error.

use std::collections::BTreeMap;

/// Fits on training rows.
pub fn told(given: &str) -> String {
    let found = given.trim(); // a local name and an English word: nobody is told
    format!("{found}: a row that broke off, and one that breaks \
             the schema")
}

/* whoever reads this */
pub(crate) struct TooGood<'a> {
    pub(crate) asked: &'a str,
}

const NO_HURRY: u64 = u64::MAX;
pub const fn given() -> char {
    '"'
}

mod evidence {}
type NotOurs = r#"learns "from" a raw text, anew"#;

/// A name is not a part of one: `found_rows`, `NotFound`, `outlaws`.
fn found_rows(laws_of_motion: BTreeMap<String, f64>) -> bool {
    laws_of_motion.is_empty() && "the answer" == "is no"
}
