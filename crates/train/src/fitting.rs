//! What is fitted: the experiment, calibration, coverage of intervals.

pub(crate) mod calibration;
pub(crate) mod experiment;
pub(crate) mod interval_coverage;
