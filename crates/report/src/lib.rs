//! Self-contained HTML pages with their style and charts (SVG), without scripts and network access.
//!
//! Pure: the inputs decide every byte. Text is escaped by type: only [`Html`] is written to a page unchanged.

mod axis;
mod chart;
mod html;
mod number_format;
mod page;

pub use axis::tick_label as short_number;
pub use chart::{Bar, Guide, Points, SankeyPart, bars, histogram, picture, points, sankey};
pub use html::{Html, HtmlTable, cards, lines, list, note, pairs, side_by_side, tiles};
pub use number_format::{amount, count, digits, number, percent};
pub use page::Page;
