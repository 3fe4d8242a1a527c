//! Charts as SVG. Colours are variables of the page, so that they follow its light or dark; text is the page's.

mod bars;
mod flow;
mod points;

pub use bars::{Bar, bars, histogram};
pub use flow::{Flow, balance};
pub use points::{Guide, Points, points};

use crate::Html;

/// An SVG of this size in units, as wide as its place allows, that says what it is.
fn svg(width: u32, height: u32, title: &Html, content: &str) -> Html {
    let widest = width * 5 / 4;
    Html::made(format!(
        "<svg viewBox=\"0 0 {width} {height}\" style=\"max-width:{widest}px\" role=img aria-label=\"{title}\">\n{content}</svg>\n"
    ))
}

/// The first characters of `text`, escaped.
fn short(text: &str, longest: usize) -> Html {
    match text.char_indices().nth(longest) {
        Some((end, _)) => Html::text(&format!("{}…", &text[..end])),
        None => Html::text(text),
    }
}
