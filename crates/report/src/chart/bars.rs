//! Bars: named ones side by side, and those of a histogram.

use std::fmt::Write;

use crate::{
    chart::{short, svg},
    html::Html,
    number::count,
    scale::{Scale, extent, place},
};

const WIDTH: u32 = 400;
const ROW: f64 = 20.0;
/// Where bars begin and end; labels are on the left, values on the right.
const SPAN: (f64, f64) = (140.0, 330.0);

/// A bar with a name.
#[derive(Clone, Debug)]
pub struct Bar {
    /// What it stands for.
    pub label: String,
    /// Its length, in the unit of the others.
    pub value: f64,
    /// Its value in words.
    pub text: String,
    /// Half of the whisker around its end.
    pub spread: f64,
}

/// Horizontal bars from 0, one under the other.
pub fn bars(title: &str, bars: &[Bar]) -> Html {
    let (low, high) = extent(bars.iter().flat_map(|bar| [bar.value - bar.spread, bar.value + bar.spread, 0.0]));
    let scale = Scale::new((low, high), SPAN);
    let zero = scale.at(0.0);
    let mut content = String::new();
    for (row, bar) in bars.iter().enumerate() {
        let top = row as f64 * ROW;
        let middle = top + ROW / 2.0;
        let end = if bar.value.is_finite() { scale.at(bar.value) } else { zero };
        let (left, wide) = (end.min(zero), (end - zero).abs().max(0.5));
        let _ = write!(
            content,
            "<g><title>{}: {}</title><text x=\"132\" y=\"{}\" class=\"e\">{}</text><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"12\" class=\"b\" rx=\"1\" />",
            Html::text(&bar.label),
            Html::text(&bar.text),
            place(middle + 4.0),
            short(&bar.label, 22),
            place(left),
            place(middle - 6.0),
            place(wide)
        );
        if bar.spread > 0.0 {
            let (from, to) = (scale.at(bar.value - bar.spread), scale.at(bar.value + bar.spread));
            let _ = write!(
                content,
                "<path d=\"M{f} {m}H{t}M{f} {u}v6M{t} {u}v6\" class=\"w\" />",
                f = place(from),
                t = place(to),
                m = place(middle),
                u = place(middle - 3.0)
            );
        }
        let _ = writeln!(content, "<text x=\"338\" y=\"{}\">{}</text></g>", place(middle + 4.0), short(&bar.text, 14));
    }
    let height = bars.len() as f64 * ROW;
    let _ = writeln!(content, "<path d=\"M{z} 0V{}\" class=\"a\" />", place(height), z = place(zero));
    svg(WIDTH, height.max(1.0) as u32, &Html::text(title), &content)
}

/// A histogram: `counts[i]` values in `edges[i]..edges[i + 1]`.
/// `write` says how a value is written.
pub fn histogram(title: &str, edges: &[f64], counts: &[u64], write: &dyn Fn(f64) -> String) -> Html {
    let (Some(first), Some(last), Some(most)) = (edges.first(), edges.last(), counts.iter().max()) else {
        return Html::default();
    };
    let x = Scale::new((*first, *last), (4.0, 316.0));
    let y = Scale::new((0.0, *most as f64), (92.0, 6.0));
    let mut content = String::new();
    let wide = 312.0 / counts.len() as f64;
    for (bin, rows) in counts.iter().enumerate().filter(|(_, rows)| **rows > 0) {
        // what is there is seen, however little of it
        let top = y.at(*rows as f64).min(91.0);
        let _ = writeln!(
            content,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" class=\"b\"><title>{} to {}: {}</title></rect>",
            place(4.0 + bin as f64 * wide),
            place(top),
            place(wide - 1.0),
            place(92.0 - top),
            Html::text(&write(edges[bin])),
            Html::text(&write(edges[bin + 1])),
            count(*rows)
        );
    }
    content.push_str("<path d=\"M4 92.5H316\" class=\"a\" />");
    for tick in x.ticks(3) {
        let text = write(tick);
        let half = 3.0 * text.chars().count() as f64;
        let at = x.at(tick).clamp(half, 320.0 - half);
        let _ = write!(content, "<text x=\"{}\" y=\"106\" class=\"m\">{}</text>", place(at), Html::text(&text));
    }
    svg(320, 110, &Html::text(title), &content)
}
