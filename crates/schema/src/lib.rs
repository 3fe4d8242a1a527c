//! What a table must look like, and what each stage is asked to do with it.
//!
//! [`PipelineConfig`] is `configs/pipeline.yaml` as typed; [`Schema`] is its `table` section after every check, and the
//! only thing that decides whether a cell is good, missing or a [`Violation`]. Nothing here reads a file or a clock.

mod cell;
mod column;
mod config;
mod data;
mod decimals;
mod lists;
mod locate;
mod name;
mod ordered;
mod quantiles;
mod reference;
mod rule;
mod sections;
mod yaml;

pub use cell::{LARGEST_INTEGER, Violation, is_date, iso_date, nearest};
pub use column::{Column, MAX_COLUMNS, Schema, SettingError};
pub use config::{ColumnSpec, ColumnType, ConfigError, PipelineConfig, TableSection};
pub use data::{Categories, MISSING_LEVEL, Table, Values};
pub use decimals::{decimals, rounded};
pub use lists::bounded_list;
pub use locate::line_of;
pub use name::{MAX_FILE_NAME_BYTES, MAX_NAME_BYTES, check_file_name, check_name, printable, quoted, unprintable};
pub use ordered::Ordered;
pub use quantiles::Quantiles;
pub use reference::render_reference;
pub use rule::Rule;
pub use sections::{
    ChampionSection, CoverageSection, EncodeSection, Encoding, EngineerSection, GateBound, ImputeSection, IqrTrim,
    LeakageSection, MaxShare, NumberImpute, PackageSection, ProcessSection, QuantileTrim, SplitSection, TrimSection,
    UnknownCategory,
};
pub use yaml::{MAX_CONFIG_BYTES, MAX_NESTING, MAX_VALUES, parse_yaml};

/// The column that `process` adds: `train` or `test`.
pub const SPLIT_COLUMN: &str = "split";
/// The value of [`SPLIT_COLUMN`] in rows that are learned from.
pub const TRAIN: &str = "train";
/// The value of [`SPLIT_COLUMN`] in rows that are only measured on.
pub const TEST: &str = "test";
