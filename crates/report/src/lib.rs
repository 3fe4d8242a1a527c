//! Pages that explain themselves: HTML with its style and its charts (SVG) inside, no script, nothing from a network.
//!
//! Pure: what goes in decides every byte. Text is escaped by type: only [`Html`] goes onto a page as it is.

mod chart;
mod html;
mod number;
mod page;
mod scale;

pub use chart::{Bar, Flow, Guide, Points, balance, bars, histogram, picture, points};
pub use html::{Html, Table, cards, lines, list, note, pairs, side_by_side, tiles};
pub use number::{amount, count, digits, number, percent};
pub use page::Page;
pub use scale::label as short_number;
