//! Schema of a table and configuration of the stages.
//!
//! [`PipelineConfig`] is the file `configs/pipeline.yaml`. [`Schema`] is its validated `table` section, which alone decides whether a cell
//! is valid, missing or a [`Violation`]. Pure: no file, clock or network.
//!
//! # Example
//!
//! ```
//! use schema::{PipelineConfig, Schema};
//!
//! let config = PipelineConfig::parse(
//!     "table:
//!   target: price
//!   columns:
//!     price: {type: float, min: 0}
//!     rooms: {type: integer, max: 20}
//!     place: {type: category, levels: [Rural, Urban], aliases: {countryside: Rural}}
//! ",
//! )?;
//! let schema = Schema::from_section(&config.table)?;
//!
//! let rooms = schema.column("rooms").expect("it is in the table");
//! assert_eq!(rooms.number(" 3 ")?, Some(3.0));
//! assert_eq!(rooms.number("")?, None);
//! assert_eq!(rooms.number("30").unwrap_err().to_string(), "30 is above the maximum 20");
//!
//! let place = schema.column("place").expect("it is in the table");
//! assert_eq!(place.text("URBAN")?.as_deref(), Some("Urban"));
//! assert_eq!(place.text("countryside")?.as_deref(), Some("Rural"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cell;
mod cell_value;
mod column;
mod config;
mod decimals;
mod header;
mod name;
mod rule;
mod table;

pub use cell::{MAX_EXACT_INTEGER, Violation, closest_match, is_date, iso_date};
pub use cell_value::CellValue;
pub use column::{Column, MAX_COLUMNS, Schema};
pub use config::bounded_list::bounded_list;
pub use config::error::SettingError;
pub use config::location::line_of;
pub use config::ordered_map::OrderedMap;
pub use config::reference::render_reference;
pub use config::yaml::{MAX_CONFIG_BYTES, MAX_NESTING, MAX_VALUES, parse_yaml};
pub use config::{
    engineer::{EncodeSection, Encoding, EngineerSection, ImputeSection, NumberImpute, UnknownCategory},
    package::{ChampionSection, CoverageSection, GateBound, LeakageSection, PackageSection},
    process::{IqrTrim, MaxShare, ProcessSection, QuantileTrim, SplitSection, TrimSection},
};
pub use config::{
    error::ConfigError,
    pipeline::{ColumnSpec, ColumnType, PipelineConfig, TableSection},
};
pub use decimals::{decimals, rounded};
pub use header::{TargetColumn, check_header, check_header_names};
pub use name::{MAX_FILE_NAME_BYTES, MAX_NAME_BYTES, check_file_name, check_name, printable, quoted, unprintable};
pub use rule::Rule;
pub use table::{Categories, MISSING_LEVEL, Table, Values};

/// Name of the column that `process` adds, with `train` or `test`.
pub const SPLIT_COLUMN: &str = "split";
/// The value of [`SPLIT_COLUMN`] in training rows.
pub const TRAIN: &str = "train";
/// The value of [`SPLIT_COLUMN`] in test rows.
pub const TEST: &str = "test";
