//! A loaded model and the rows that it predicts: JSON, CSV, NDJSON and Arrow are read, validated by the schema, and predicted.
//!
//! Servers and programs predict through this crate, so that a row has the same prediction wherever it is asked for. It has no clock,
//! environment, file or network: callers pass readers, writers and a loaded [`Predictor`](predictor::Predictor).
//!
//! # Example
//!
//! Predict the rows of a CSV table. The second row is invalid, so it has an error in the place of a prediction:
//!
//! ```
//! use std::path::Path;
//!
//! use inference::{formats::csv, loaded_model::LoadedModel};
//! use predictor::{LoadedParts, ModelInfo, Predictor};
//!
//! // files that `train` and `engineer` wrote
//! let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../package/golden");
//! let predictor = Predictor::read(&folder.join("model_v1.bin"), &folder.join("preprocessor_v1.bin"))?;
//! let info = ModelInfo { version: "1".to_owned(), coverage: 0.9, ..ModelInfo::default() };
//! let model = LoadedModel::for_tables(LoadedParts { predictor, reference: None, info }, None);
//!
//! let rows = "sqft,bedrooms,bathrooms,location,year_built,condition\n\
//!             2000,3,2,Suburb,1990,Good\n\
//!             2000,3,2,Atlantis,1990,Good\n";
//! let mut output = Vec::new();
//! let summary = csv::score(&model, rows.as_bytes(), &mut output, &())?;
//! assert_eq!((summary.rows, summary.refused), (1, 1));
//!
//! let output = String::from_utf8(output)?;
//! let lines: Vec<&str> = output.lines().collect();
//! assert!(lines[0].starts_with("sqft,bedrooms,bathrooms,location,year_built,condition,predicted_price"));
//! assert!(lines[2].contains("Atlantis"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod blocks;
pub mod formats;
pub mod loaded_model;
pub mod prediction_json;
mod response_keys;
pub mod row_schema;
pub mod tables;
pub mod validation;
