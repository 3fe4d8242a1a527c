//! Bar charts and histograms.

use std::fmt::Write;

use crate::chart::{svg, truncate};
use crate::{
    axis::{Axis, coordinate, extent},
    html::Html,
    number_format::count,
};

/// Width of a bar chart in units.
const WIDTH: u32 = 400;
/// Height of a row in units.
const ROW_HEIGHT: f64 = 20.0;
/// Start and end of bars in units; labels are on the left, values on the right.
const BAR_SPAN: (f64, f64) = (140.0, 330.0);

/// A bar with a label.
#[derive(Clone, Debug)]
pub struct Bar {
    /// Label on the left.
    pub label: String,
    /// Length in the unit of all bars.
    pub value: f64,
    /// Value as text, on the right.
    pub text: String,
    /// Half of the length of the whisker at its end.
    pub spread: f64,
}

/// A chart of horizontal bars from 0.
pub fn bars(title: &str, bars: &[Bar]) -> Html {
    let (low, high) = extent(bars.iter().flat_map(|bar| [bar.value - bar.spread, bar.value + bar.spread, 0.0]));
    let scale = Axis::new((low, high), BAR_SPAN);
    let zero = scale.at(0.0);
    let mut content = String::new();
    for (row, bar) in bars.iter().enumerate() {
        let top = row as f64 * ROW_HEIGHT;
        let middle = top + ROW_HEIGHT / 2.0;
        let end = if bar.value.is_finite() { scale.at(bar.value) } else { zero };
        let (left, wide) = (end.min(zero), (end - zero).abs().max(0.5));
        let _ = write!(
            content,
            "<g><title>{}: {}</title><text x=\"132\" y=\"{}\" class=\"e\">{}</text><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"12\" class=\"b\" rx=\"1\" />",
            Html::text(&bar.label),
            Html::text(&bar.text),
            coordinate(middle + 4.0),
            truncate(&bar.label, 22),
            coordinate(left),
            coordinate(middle - 6.0),
            coordinate(wide)
        );
        if bar.spread > 0.0 {
            let (from, to) = (scale.at(bar.value - bar.spread), scale.at(bar.value + bar.spread));
            let _ = write!(
                content,
                "<path d=\"M{f} {m}H{t}M{f} {u}v6M{t} {u}v6\" class=\"w\" />",
                f = coordinate(from),
                t = coordinate(to),
                m = coordinate(middle),
                u = coordinate(middle - 3.0)
            );
        }
        let _ =
            writeln!(content, "<text x=\"338\" y=\"{}\">{}</text></g>", coordinate(middle + 4.0), truncate(&bar.text, 14));
    }
    let height = bars.len() as f64 * ROW_HEIGHT;
    let _ = writeln!(content, "<path d=\"M{z} 0V{}\" class=\"a\" />", coordinate(height), z = coordinate(zero));
    svg(WIDTH, height.max(1.0) as u32, &Html::text(title), &content)
}

/// A histogram: `counts[i]` values in `edges[i]..edges[i + 1]`.
/// `write` formats the values of the axis.
pub fn histogram(title: &str, edges: &[f64], counts: &[u64], write: &dyn Fn(f64) -> String) -> Html {
    let (Some(first), Some(last), Some(most)) = (edges.first(), edges.last(), counts.iter().max()) else {
        return Html::default();
    };
    let x = Axis::new((*first, *last), (4.0, 316.0));
    let y = Axis::new((0.0, *most as f64), (92.0, 6.0));
    let mut content = String::new();
    let wide = 312.0 / counts.len() as f64;
    for (bin, rows) in counts.iter().enumerate().filter(|(_, rows)| **rows > 0) {
        // at least one unit high, so that small counts are visible
        let top = y.at(*rows as f64).min(91.0);
        let _ = writeln!(
            content,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" class=\"b\"><title>{} to {}: {}</title></rect>",
            coordinate(4.0 + bin as f64 * wide),
            coordinate(top),
            coordinate(wide - 1.0),
            coordinate(92.0 - top),
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
        let _ = write!(content, "<text x=\"{}\" y=\"106\" class=\"m\">{}</text>", coordinate(at), Html::text(&text));
    }
    svg(320, 110, &Html::text(title), &content)
}
