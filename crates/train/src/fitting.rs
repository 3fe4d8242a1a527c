//! Fits and measures a model. Imported by the stage, the record of the run and the report.

pub(crate) mod calibration;
pub(crate) mod experiment;
pub(crate) mod interval_coverage;
pub(crate) mod training_result;
