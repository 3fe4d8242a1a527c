//! Features of a row: derive → impute → encode.
//!
//! [`Fitter`] fits a [`Preprocessor`] to training rows. The same preprocessor transforms the batches of `engineer` and the single rows of
//! predictions. The target is not among its inputs, so no feature can read it.

mod calendar;
mod derived_features;
mod encoder;
mod expression;
mod expression_parser;
mod fit;
mod inputs;
mod plan;
mod preprocessor;
mod single_row;

/// Kind of a preprocessor file in its envelope, and the version of [`PreprocessorFile`].
pub const PREPROCESSOR: (&str, u32) = ("preprocessor", 2);

pub use calendar::DatePart;
pub use encoder::{CategoryEncoder, Encoder};
pub use expression::{Binary, Program, Step, Unary};
pub use expression_parser::Operator;
pub use fit::Fitter;
pub use plan::Plan;
pub use preprocessor::{NumberFeature, Preprocessor, PreprocessorFile, RowError};
pub use single_row::RowBuffers;
