//! The command `predict` of `train` and `serve`: a model, a file of rows, and a file of their predictions.
//!
//! Both programs have the same arguments and write the same bytes. A program may bring Parquet, which needs polars: [`Parquet`].

mod args;
mod command;
mod format;
mod table_file;

pub use args::PredictArgs;
pub use command::predict;
pub use format::TableFormat;
pub use table_file::{OpenParquet, Parquet, WriteParquet};
