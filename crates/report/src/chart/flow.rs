//! A balance: one amount that divides into several.

use std::fmt::Write;

use crate::{
    chart::svg,
    html::Html,
    number::{count, percent},
    scale::place,
};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 200.0;
/// Left and right node, and how wide they are.
const LEFT: f64 = 130.0;
const RIGHT: f64 = 400.0;
const NODE: f64 = 14.0;
/// What even the smallest part is given, so that it is seen, and the gap between parts.
const LEAST: f64 = 2.0;
const GAP: f64 = 18.0;

/// A part of a balance.
#[derive(Clone, Debug)]
pub struct Flow<'a> {
    /// Its name.
    pub label: &'a str,
    /// How much.
    pub amount: u64,
    /// Whether it goes on: drawn in the colour of data, the others in that of what is set aside.
    pub kept: bool,
}

/// Draws how `whole` divides into `parts`; empty parts are named and have no band.
pub fn balance(title: &str, label: &str, whole: u64, parts: &[Flow]) -> Html {
    let room = HEIGHT - GAP * parts.len().saturating_sub(1) as f64;
    let least = parts.iter().filter(|part| part.amount > 0).count() as f64 * LEAST;
    let share = |amount: u64| amount as f64 / whole.max(1) as f64;
    let size = |amount: u64| if amount == 0 { 0.0 } else { LEAST + share(amount) * (room - least) };
    let tall: f64 = parts.iter().map(|part| size(part.amount)).sum();
    let start = (HEIGHT - tall) / 2.0;
    let mut content = format!(
        "<text x=\"{}\" y=\"{}\" class=\"e\"><tspan class=\"s\">{}</tspan> {}</text><rect x=\"{}\" y=\"{}\" width=\"{NODE}\" height=\"{}\" class=\"b\" />\n",
        LEFT - 10.0,
        place(HEIGHT / 2.0 + 4.0),
        count(whole),
        Html::text(label),
        LEFT,
        place(start),
        place(tall.max(LEAST))
    );
    let (mut from, mut to) = (start, 0.0);
    let bend = f64::midpoint(LEFT + NODE, RIGHT);
    for part in parts {
        let size = size(part.amount);
        let class = if part.kept { "k" } else { "x" };
        if part.amount > 0 {
            let _ = writeln!(
                content,
                "<path d=\"M{l} {f}C{bend} {f} {bend} {t} {RIGHT} {t}V{tb}C{bend} {tb} {bend} {fb} {l} {fb}Z\" class=\"{class}\" />\
                 <rect x=\"{RIGHT}\" y=\"{t}\" width=\"{NODE}\" height=\"{s}\" class=\"{n}\" />",
                l = LEFT + NODE,
                f = place(from),
                t = place(to),
                tb = place(to + size),
                fb = place(from + size),
                s = place(size),
                n = if part.kept { "b" } else { "o" }
            );
        }
        let _ = writeln!(
            content,
            "<text x=\"{}\" y=\"{}\" class=\"{}\"><tspan class=\"s\">{}</tspan> {} <tspan class=\"f\">{}</tspan></text>",
            RIGHT + NODE + 10.0,
            place(to + size / 2.0 + 4.0),
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
