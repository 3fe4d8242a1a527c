//! Sankey diagrams: one amount that is divided into parts.

use std::fmt::Write;

use crate::chart::svg;
use crate::{
    axis::coordinate,
    html::Html,
    number_format::{count, percent},
};

/// Width and height of the diagram in units.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 200.0;
/// Positions of the left and right nodes, and their width, in units.
const LEFT_X: f64 = 130.0;
const RIGHT_X: f64 = 400.0;
const NODE_WIDTH: f64 = 14.0;
/// Smallest height of a part, so that it is visible, and the gap between parts.
const MIN_HEIGHT: f64 = 2.0;
const GAP: f64 = 18.0;

/// A part of a Sankey diagram.
#[derive(Clone, Debug)]
pub struct SankeyPart<'a> {
    /// Label of the part.
    pub label: &'a str,
    /// Amount of the part.
    pub amount: u64,
    /// True for a part that is kept; others have the colour of removed data.
    pub kept: bool,
}

/// The diagram of `whole` and its `parts`; empty parts have a label but no band.
pub fn sankey(title: &str, label: &str, whole: u64, parts: &[SankeyPart]) -> Html {
    let available = HEIGHT - GAP * parts.len().saturating_sub(1) as f64;
    let reserved = parts.iter().filter(|part| part.amount > 0).count() as f64 * MIN_HEIGHT;
    let share = |amount: u64| amount as f64 / whole.max(1) as f64;
    let size = |amount: u64| if amount == 0 { 0.0 } else { MIN_HEIGHT + share(amount) * (available - reserved) };
    let tall: f64 = parts.iter().map(|part| size(part.amount)).sum();
    let start = (HEIGHT - tall) / 2.0;
    let mut content = format!(
        "<text x=\"{}\" y=\"{}\" class=\"e\"><tspan class=\"s\">{}</tspan> {}</text><rect x=\"{}\" y=\"{}\" width=\"{NODE_WIDTH}\" height=\"{}\" class=\"b\" />\n",
        LEFT_X - 10.0,
        coordinate(HEIGHT / 2.0 + 4.0),
        count(whole),
        Html::text(label),
        LEFT_X,
        coordinate(start),
        coordinate(tall.max(MIN_HEIGHT))
    );
    let (mut from, mut to) = (start, 0.0);
    let bend = f64::midpoint(LEFT_X + NODE_WIDTH, RIGHT_X);
    for part in parts {
        let size = size(part.amount);
        let class = if part.kept { "k" } else { "x" };
        if part.amount > 0 {
            let _ = writeln!(
                content,
                "<path d=\"M{l} {f}C{bend} {f} {bend} {t} {RIGHT_X} {t}V{tb}C{bend} {tb} {bend} {fb} {l} {fb}Z\" class=\"{class}\" />\
                 <rect x=\"{RIGHT_X}\" y=\"{t}\" width=\"{NODE_WIDTH}\" height=\"{s}\" class=\"{n}\" />",
                l = LEFT_X + NODE_WIDTH,
                f = coordinate(from),
                t = coordinate(to),
                tb = coordinate(to + size),
                fb = coordinate(from + size),
                s = coordinate(size),
                n = if part.kept { "b" } else { "o" }
            );
        }
        let _ = writeln!(
            content,
            "<text x=\"{}\" y=\"{}\" class=\"{}\"><tspan class=\"s\">{}</tspan> {} <tspan class=\"f\">{}</tspan></text>",
            RIGHT_X + NODE_WIDTH + 10.0,
            coordinate(to + size / 2.0 + 4.0),
            if part.amount > 0 { "t" } else { "f" },
            count(part.amount),
            Html::text(part.label),
            percent(share(part.amount))
        );
        from += size;
        to += size + GAP;
    }
    svg(WIDTH as u32, (HEIGHT + 8.0) as u32, &Html::text(title), &content)
}
