//! What a table must look like, and what each stage is asked to do with it.
//!
//! [`PipelineConfig`] is `configs/pipeline.yaml` as typed; [`Schema`] is its `table` section after every check, and the
//! only thing that decides whether a cell is good, missing or a [`Violation`]. Nothing here reads a file or a clock.

mod cell;
mod column;
mod config;
mod decimals;
mod name;
mod rule;
mod table;

pub use cell::{LARGEST_INTEGER, Violation, is_date, iso_date, nearest};
pub use column::{Column, MAX_COLUMNS, Schema};
pub use config::bounded_list::bounded_list;
pub use config::error::SettingError;
pub use config::location::line_of;
pub use config::ordered_map::Ordered;
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
pub use name::{MAX_FILE_NAME_BYTES, MAX_NAME_BYTES, check_file_name, check_name, printable, quoted, unprintable};
pub use rule::Rule;
pub use table::{Categories, MISSING_LEVEL, Table, Values};

/// The column that `process` adds: `train` or `test`.
pub const SPLIT_COLUMN: &str = "split";
/// The value of [`SPLIT_COLUMN`] in rows that are learned from.
pub const TRAIN: &str = "train";
/// The value of [`SPLIT_COLUMN`] in rows that are only measured on.
pub const TEST: &str = "test";
