//! Evaluation of models on test rows, and comparison with the champion, for `train promote` and `package`.

mod comparison;
mod test_rows;

pub use comparison::{Comparison, compare, validate_champion_section};
pub use test_rows::{TestRow, for_each_test_block, predict_test_rows, test_metrics};
