//! A model on the test rows of a cleaned table, and beside another one: what `train promote` and `package` decide by.

mod comparison;
mod test_rows;

pub use comparison::{Comparison, check_champion, compare};
pub use test_rows::{TestRow, figures, for_each_test_block, predict_test_rows};
