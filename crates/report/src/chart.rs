//! Charts as SVG. Colours are variables of the page, for its light and dark mode; the text style is that of the page.

mod bars;
mod points;
mod sankey;

pub use bars::{Bar, bars, histogram};
pub use points::{Guide, Points, points};
pub use sankey::{SankeyPart, sankey};

use crate::html::Html;

/// CSS of the charts.
pub(crate) const STYLE: &str = include_str!("chart.css");
/// Initial enlargement of a stand-alone picture.
const PICTURE_SCALE: u32 = 2;

/// A chart as a stand-alone SVG file with title and style.
pub fn picture(chart: &Html) -> String {
    let text = chart.as_str();
    let between =
        |from: &str| text.split_once(from).and_then(|(_, rest)| rest.split_once('"')).map_or("", |(found, _)| found);
    let (title, size) = (between("aria-label=\""), between("viewBox=\"0 0 "));
    let (width, height) = size.split_once(' ').unwrap_or(("0", "0"));
    let (width, height) = (width.parse().unwrap_or(0), height.parse().unwrap_or(0));
    let content = text.split_once(">\n").map_or("", |(_, content)| content);
    // adds a line for the title, and margins for marks that reach over an edge
    let (wide, high) = (width + 24, height + 36);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-12 -24 {wide} {high}\" width=\"{}\" height=\"{}\" role=\"img\" \
         font-family=\"system-ui, sans-serif\">\n<style>\n{STYLE}</style>\n\
         <rect x=\"-12\" y=\"-24\" width=\"{wide}\" height=\"{high}\" style=\"fill: var(--box)\" />\n\
         <text x=\"0\" y=\"-10\" class=\"s\">{title}</text>\n{content}",
        wide * PICTURE_SCALE,
        high * PICTURE_SCALE
    )
}

/// An SVG of this size in units, with a title for assistive technology.
fn svg(width: u32, height: u32, title: &Html, content: &str) -> Html {
    let widest = width * 5 / 4;
    Html::from_markup(format!(
        "<svg viewBox=\"0 0 {width} {height}\" style=\"max-width:{widest}px\" role=\"img\" aria-label=\"{title}\">\n{content}</svg>\n"
    ))
}

/// The first `longest` characters of `text`, escaped.
fn truncate(text: &str, longest: usize) -> Html {
    match text.char_indices().nth(longest) {
        Some((end, _)) => Html::text(&format!("{}…", &text[..end])),
        None => Html::text(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_a_valid_svg_file() {
        let bar = |label: &str, value| Bar { label: label.into(), value, text: "x < y".into(), spread: 0.1 };
        let picture = picture(&bars("Which & why", &[bar("<a>", 1.0), bar("b", 2.0)]));
        assert!(picture.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-12 -24 424 76\" width=\"848\""));
        assert!(picture.contains(">Which &amp; why</text>") && picture.ends_with("</svg>\n"), "{picture}");
        // XML requires quotes around attribute values
        for tag in
            picture.split('<').filter_map(|rest| rest.split_once('>')).map(|(tag, _)| tag).filter(|tag| tag.contains('='))
        {
            assert_eq!(tag.matches('=').count() * 2, tag.matches('"').count(), "{tag}");
        }
    }
}
