//! Axes of charts: coordinates of values, ticks and labels.

/// A linear axis from values to coordinates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// An axis with `low` at `from` and `high` at `to`.
    pub(crate) fn new((low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { low, high, from, to }
    }

    /// The coordinate of `value`.
    pub(crate) fn at(&self, value: f64) -> f64 {
        // halves, because the full range can overflow
        self.from + (value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0) * (self.to - self.from)
    }

    /// About `wanted` round values along the axis: multiples of 1, 2 or 5 times a power of ten.
    pub(crate) fn ticks(&self, wanted: usize) -> Vec<f64> {
        let wanted = wanted.max(1);
        let raw = self.high / wanted as f64 - self.low / wanted as f64;
        let power = 10f64.powf(raw.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= raw * 0.7).unwrap_or(raw);
        if !step.is_finite() || step <= 0.0 {
            return Vec::new();
        }
        let first = (self.low / step).ceil();
        (0..=wanted * 2)
            .map(|index| (first + index as f64) * step)
            .take_while(|tick| tick.is_finite() && *tick <= self.high + step * 1e-9)
            .collect()
    }
}

/// The smallest and the largest finite value; (0, 1) without values.
pub(crate) fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|value| value.is_finite());
    let (low, high) =
        finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low <= high { (low, high) } else { (0.0, 1.0) }
}

/// A short number for an axis: `250k`, `−0.05`.
pub fn tick_label(value: f64) -> String {
    let size = value.abs();
    let truncate = |value: f64, unit: &str| {
        let text = format!("{value:.2}");
        format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    let text = match size {
        _ if size >= 1e12 || (size < 1e-3 && size > 0.0) => format!("{value:.0e}"),
        _ if size >= 1e9 => truncate(value / 1e9, "G"),
        _ if size >= 1e6 => truncate(value / 1e6, "M"),
        _ if size >= 1e4 => truncate(value / 1e3, "k"),
        _ if size < 1.0 => {
            let text = format!("{value:.4}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => truncate(value, ""),
    };
    text.replace('-', "−")
}

/// A coordinate in an SVG, with one decimal.
pub(crate) fn coordinate(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_lie_within() {
        let ticks = |low, high| Axis::new((low, high), (0.0, 1.0)).ticks(4);
        assert_eq!(ticks(0.0, 100.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(ticks(13.0, 58.0), [20.0, 30.0, 40.0, 50.0]);
        assert_eq!(ticks(-0.03, 0.05), [-0.02, 0.0, 0.02, 0.04]);
        assert_eq!(Axis::new((5.0, 5.0), (0.0, 10.0)).at(5.0), 0.0);
        let widest = Axis::new((-f64::MAX, f64::MAX), (0.0, 10.0));
        assert_eq!((widest.at(0.0), widest.at(f64::MAX)), (5.0, 10.0));
        assert!(widest.ticks(4).iter().all(|tick| tick.is_finite()));
        assert_eq!(extent([f64::NAN].into_iter()), (0.0, 1.0));
    }

    #[test]
    fn labels_are_short() {
        let labels = [0.0, 1500.0, 250_000.0, 1.25e6, -0.05, 3.2e9, 1e-5].map(tick_label);
        assert_eq!(labels, ["0", "1500", "250k", "1.25M", "−0.05", "3.2G", "1e−5"]);
    }
}
