//! Derive → impute → encode: the one program that turns a row of the raw table into features.
//!
//! [`Fitter`] learns it from training rows, [`Preprocessor`] applies it: to the columns of a batch in `engineer`, to one row
//! where a prediction is asked for; it is the same code. The target is not among its inputs, so no feature can read it.

mod calendar;
mod derive;
mod encode;
mod expression;
mod fit;
mod inputs;
mod parse;
mod plan;
mod preprocessor;
mod row;

/// What the file of a preprocessor is called in its envelope, and the version of [`PreprocessorFile`].
pub const PREPROCESSOR: (&str, u32) = ("preprocessor", 2);

pub use calendar::Part;
pub use encode::{CategoryEncoder, Encoder};
pub use expression::{Binary, Program, Step, Unary};
pub use fit::Fitter;
pub use parse::Operator;
pub use plan::Plan;
pub use preprocessor::{NumberFeature, Preprocessor, PreprocessorFile, RowError};
pub use row::{Cell, RowBuffers};
