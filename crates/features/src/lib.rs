//! Features of a row: derive → impute → encode.
//!
//! [`Fitter`] fits a [`Preprocessor`] to training rows. The same preprocessor transforms the batches of `engineer` and the single rows of
//! predictions. The target is not among its inputs, so no feature can read it.
//!
//! # Example
//!
//! Fit a preprocessor to a table, then transform a row with a missing value:
//!
//! ```
//! use features::{Fitter, Plan, RowBuffers};
//! use schema::{Categories, CellValue, PipelineConfig, Schema, Table, Values};
//!
//! let config = PipelineConfig::parse(
//!     "table: {target: price, columns: {price: {type: float}, sqft: {type: float}, rooms: {type: integer}, place: {type: category}}}
//! engineer: {derive: {sqft_per_room: sqft / rooms}, drop: [rooms]}",
//! )?;
//! let plan = Plan::from_section(&Schema::from_section(&config.table)?, &config.engineer)?;
//!
//! let mut table = Table::new(3);
//! table.push("sqft", Values::Number(vec![900.0, 1200.0, 2000.0]));
//! table.push("rooms", Values::Number(vec![3.0, 4.0, 5.0]));
//! let levels = vec!["Rural".to_owned(), "Urban".to_owned()];
//! table.push("place", Values::Category(Categories { codes: vec![0, 1, 1], levels }));
//! let mut fitter = Fitter::new(&plan);
//! fitter.update(&table, &[true, true, true]);
//! let preprocessor = fitter.finish()?;
//! assert_eq!(preprocessor.feature_names(), ["sqft", "sqft_per_room", "place=Rural", "place=Urban"]);
//!
//! // a cell for each column; the missing `rooms` makes `sqft_per_room` missing: it is imputed with the median, 300
//! let row = [CellValue::Number(1500.0), CellValue::Missing, CellValue::Level("Urban".into())];
//! let mut features = Vec::new();
//! preprocessor.transform_row(&row, &mut RowBuffers::default(), &mut features)?;
//! assert_eq!(features, [1500.0, 300.0, 0.0, 1.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
