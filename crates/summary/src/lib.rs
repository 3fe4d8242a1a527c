//! Summaries of streams of values: quantiles, moments and frequencies.
//!
//! Each summary takes its values one by one, and two summaries merge into that of both streams. Counts do not depend on the order of
//! values or on how a stream was cut; sums do so only in their last digits. Pure: no clock, file or network.
//!
//! # Example
//!
//! Two parts of a stream are counted apart and merged:
//!
//! ```
//! use summary::{Frequencies, Moments, Quantiles};
//!
//! let (mut first, mut second) = (Quantiles::default(), Quantiles::default());
//! [3.0, 1.0, 2.0].into_iter().for_each(|value| first.add(value));
//! [10.0, 4.0].into_iter().for_each(|value| second.add(value));
//! first.merge(&second);
//! assert_eq!(first.at(&[0.0, 0.5, 1.0]), Some(vec![1.0, 3.0, 10.0]));
//!
//! let mut moments = Moments::default();
//! [(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)].into_iter().for_each(|(x, y)| moments.add(x, y));
//! assert_eq!((moments.mean(), moments.standard_deviation(), moments.correlation()), (Some(2.0), Some(1.0), Some(1.0)));
//!
//! let mut levels = Frequencies::default();
//! levels.add("Urban", 2);
//! levels.add("Rural", 1);
//! assert_eq!(levels.most_frequent(), [("Urban", 2), ("Rural", 1)]);
//! ```

mod frequencies;
mod moments;
mod quantiles;

pub use frequencies::Frequencies;
pub use moments::Moments;
pub use quantiles::Quantiles;
