//! Summaries of streams of values: quantiles, moments and frequencies.
//!
//! Each summary takes its values one by one, and two summaries merge into that of both streams. Counts do not depend on the order of
//! values or on how a stream was cut; sums do so only in their last digits. Pure: no clock, file or network.

mod frequencies;
mod moments;
mod quantiles;

pub use frequencies::Frequencies;
pub use moments::Moments;
pub use quantiles::Quantiles;
