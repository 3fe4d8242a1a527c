//! Scatter and line charts.

use std::fmt::Write;

use crate::chart::svg;
use crate::{
    axis::{Axis, coordinate, extent, tick_label},
    html::Html,
};

/// A chart of points.
#[derive(Clone, Default)]
pub struct Points<'a> {
    /// Title of the chart.
    pub title: &'a str,
    /// Label of the x axis.
    pub x_label: &'a str,
    /// Label of the y axis.
    pub y_label: &'a str,
    /// The points; those that are not finite are left out.
    pub points: &'a [(f64, f64)],
    /// The guide line.
    pub guide: Guide,
    /// True to join the points by a line, in their order.
    pub joined: bool,
    /// True for the small size of a column's card.
    pub small: bool,
    /// Format of x values; a number by default.
    pub x_tick: Option<&'a dyn Fn(f64) -> String>,
}

/// A guide line to compare points with.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Guide {
    /// No guide line.
    #[default]
    None,
    /// The line of equal values; both axes get the same range.
    Diagonal,
    /// The line y = 0.
    Zero,
}

/// The SVG of a chart of points.
pub fn points(chart: &Points) -> Html {
    let (width, height, wanted) = if chart.small { (320.0, 140.0, 3) } else { (480.0, 340.0, 5) };
    let finite: Vec<(f64, f64)> = chart.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    let mut xs = extent(finite.iter().map(|(x, _)| *x));
    let mut ys = extent(finite.iter().map(|(_, y)| *y).chain((chart.guide == Guide::Zero).then_some(0.0)));
    if chart.guide == Guide::Diagonal {
        xs = (xs.0.min(ys.0), xs.1.max(ys.1));
        ys = xs;
    }
    let margin = |(low, high): (f64, f64)| {
        let more = high * 0.03 - low * 0.03;
        ((low - more).max(f64::MIN), (high + more).min(f64::MAX))
    };
    let x = Axis::new(margin(xs), (48.0, width - 8.0));
    let y = Axis::new(margin(ys), (height - 34.0, 8.0));
    let mut content = String::new();
    for tick in x.ticks(wanted) {
        let at = coordinate(x.at(tick));
        let _ = write!(
            content,
            "<path d=\"M{at} 8V{}\" class=\"g\" /><text x=\"{at}\" y=\"{}\" class=\"m\">{}</text>",
            height - 34.0,
            height - 20.0,
            Html::text(&chart.x_tick.map_or_else(|| tick_label(tick), |write| write(tick)))
        );
    }
    for tick in y.ticks(wanted) {
        let at = y.at(tick);
        let _ = write!(
            content,
            "<path d=\"M48 {a}H{}\" class=\"g\" /><text x=\"44\" y=\"{}\" class=\"e\">{}</text>",
            width - 8.0,
            coordinate(at + 3.5),
            tick_label(tick),
            a = coordinate(at)
        );
    }
    content.push('\n');
    let (ends_x, zero) = ((x.at(xs.0), x.at(xs.1)), y.at(0.0));
    if chart.guide == Guide::Diagonal {
        let _ = writeln!(
            content,
            "<path d=\"M{} {}L{} {}\" class=\"r\" />",
            coordinate(ends_x.0),
            coordinate(y.at(ys.0)),
            coordinate(ends_x.1),
            coordinate(y.at(ys.1))
        );
    }
    if chart.guide == Guide::Zero {
        let _ = writeln!(content, "<path d=\"M48 {z}H{}\" class=\"r\" />", width - 8.0, z = coordinate(zero));
    }
    if chart.joined && !finite.is_empty() {
        let path: Vec<String> =
            finite.iter().map(|(px, py)| format!("{} {}", coordinate(x.at(*px)), coordinate(y.at(*py)))).collect();
        let _ = writeln!(content, "<path d=\"M{}\" class=\"l\" />", path.join("L"));
    }
    // one path with dots takes a tenth of the bytes of circles
    content.push_str("<path d=\"");
    for (px, py) in &finite {
        let _ = write!(content, "M{} {}h0", coordinate(x.at(*px)), coordinate(y.at(*py)));
    }
    let _ = writeln!(content, "\" class=\"{}\" />", if chart.joined { "q" } else { "p" });
    if !chart.x_label.is_empty() {
        let middle = coordinate(f64::midpoint(width, 40.0));
        let label = Html::text(chart.x_label);
        let _ = writeln!(content, "<text x=\"{middle}\" y=\"{}\" class=\"m\">{label}</text>", height - 4.0);
    }
    if !chart.y_label.is_empty() {
        let middle = coordinate((height - 26.0) / 2.0);
        let label = Html::text(chart.y_label);
        let _ = writeln!(
            content,
            "<text x=\"12\" y=\"{middle}\" class=\"m\" transform=\"rotate(-90 12 {middle})\">{label}</text>"
        );
    }
    svg(width as u32, height as u32, &Html::text(chart.title), &content)
}
