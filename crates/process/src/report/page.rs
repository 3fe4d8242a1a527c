//! The report page, `<output>.report.html`.

use report::{Bar, Guide, Html, HtmlTable, Page, Points, SankeyPart};

use crate::report::{
    column::{CategoryReport, ColumnReport, Histogram},
    table::Report,
};

/// Largest number of columns with charts; the table and the JSON report have all.
const MAX_CHARTED_COLUMNS: usize = 60;
/// Largest number of columns in the table.
const MAX_TABLE_COLUMNS: usize = 300;
/// Largest number of levels in a chart.
const MAX_CHARTED_LEVELS: usize = 8;

/// Renders the page.
pub(crate) fn render(report: &Report) -> String {
    let balance = &report.balance;
    let mut page = Page::new(
        &format!("{}: input rows and their outcome", report.input),
        &format!("Report of process; the target is {}.", report.target),
    );
    page.section("Rows", &rows(report));
    page.section("Suspected leakage", &leakage(report));
    if balance.quarantined > 0 {
        page.section("Quarantine", &quarantine(report));
    }
    page.section("Columns", &[overview(report)]);
    let drawn = report.columns.iter().take(MAX_CHARTED_COLUMNS);
    let cards: Vec<(Html, Html)> = drawn.map(|column| (title(column, report), card(column, report))).collect();
    let mut content = vec![report::cards(&cards)];
    if let Some(more) = report.columns.len().checked_sub(MAX_CHARTED_COLUMNS).filter(|more| *more > 0) {
        content.push(Html::text(&format!("{more} more columns are in the JSON report.")).paragraph());
    }
    page.section("Each column", &content);
    page.render()
}

fn rows(report: &Report) -> Vec<Html> {
    let balance = &report.balance;
    let part = |label, amount, kept| SankeyPart { label, amount, kept };
    let parts = [
        part("training rows", balance.train, true),
        part("test rows", balance.test, true),
        part("quarantined: invalid", balance.quarantined, false),
        part("duplicates of an earlier row", balance.duplicates, false),
        part("trimmed: outliers", balance.trimmed, false),
        part("without a target", balance.without_target, false),
    ];
    let mut content = vec![report::sankey("Outcome of all rows", "rows in", balance.rows_in, &parts)];
    if !report.without_target_lines.is_empty() {
        let lines: Vec<String> = report.without_target_lines.iter().map(u64::to_string).collect();
        let more = if balance.without_target > lines.len() as u64 { ", …" } else { "" };
        content.push(Html::text(&format!("Lines without a target: {}{more}.", lines.join(", "))).paragraph());
    }
    if !report.trim.is_empty() {
        let mut table = HtmlTable::new(["bounds of training rows", "#below", "#above"]);
        for bound in &report.trim {
            table.row([bound.column.as_str().into(), report::number(bound.low).into(), report::number(bound.high).into()]);
        }
        content.push(table.html());
    }
    content
}

fn leakage(report: &Report) -> Vec<Html> {
    if report.suspected_leakage.is_empty() {
        let none = format!("None: no single column predicts {} almost perfectly.", report.target);
        return vec![Html::prose(&none).paragraph()];
    }
    let lines: Vec<Html> = report
        .suspected_leakage
        .iter()
        .map(|leak| Html::join([&Html::text(&leak.column).code(), &Html::text(&format!(": {}", leak.evidence))]).paragraph())
        .collect();
    let advice = "Such a column is often computed from the target, or known only after it. If it is not available for \
                  predictions, add it to engineer.drop.";
    vec![report::note(&Html::join(&lines)), Html::prose(advice).paragraph()]
}

fn quarantine(report: &Report) -> Vec<Html> {
    let quarantine = &report.quarantine;
    let bars: Vec<Bar> = quarantine
        .by_column
        .iter()
        .map(|(column, rows)| Bar {
            label: if column.is_empty() { "malformed records".into() } else { column.clone() },
            value: *rows as f64,
            text: report::count(*rows),
            spread: 0.0,
        })
        .collect();
    let mut samples = HtmlTable::new(["#line", "column", "value", "reason"]);
    for sample in &quarantine.samples {
        samples.row([
            sample.line.to_string().into(),
            sample.column.as_str().into(),
            Html::text(&sample.value).code(),
            sample.reason.as_str().into(),
        ]);
    }
    let shown = format!(
        "The first {} of {}; all are in the quarantine file.",
        quarantine.samples.len(),
        report::count(quarantine.rows)
    );
    let drawn = &bars[..bars.len().min(MAX_CHARTED_COLUMNS)];
    vec![
        Html::from("Rows by invalid column").heading(),
        report::bars("Quarantined rows by invalid column", drawn),
        Html::from("Samples").heading(),
        samples.html(),
        Html::text(&shown).paragraph(),
    ]
}

fn overview(report: &Report) -> Html {
    let mut table =
        HtmlTable::new(["column", "type", "#missing", "#distinct", "#median or most frequent", "#relation to the target"]);
    for column in report.columns.iter().take(MAX_TABLE_COLUMNS) {
        let median = |quantiles: &[(f64, f64)]| quantiles.iter().find(|(at, _)| *at == 0.5).map(|(_, value)| *value);
        let (distinct, typical) = if let Some(number) = &column.number {
            (number.distinct, median(&number.quantiles).map(report::number))
        } else if let Some(date) = &column.date {
            (date.distinct, date.quantiles.iter().find(|(at, _)| *at == 0.5).map(|(_, day)| day.clone()))
        } else if let Some(category) = &column.category {
            (Some(category.distinct), category.top.first().map(|top| top.level.clone()))
        } else {
            (None, None)
        };
        table.row([
            column.name.as_str().into(),
            column.r#type.into(),
            missing(column).into(),
            distinct.map_or("–".to_owned(), |distinct| report::count(distinct as u64)).into(),
            typical.unwrap_or("–".into()).into(),
            if column.name == report.target { "target".into() } else { relation(column).into() },
        ]);
    }
    table.html()
}

fn missing(column: &ColumnReport) -> String {
    match column.missing {
        0 => "0".into(),
        missing => format!("{} ({})", report::count(missing), report::percent(missing as f64 / column.count as f64)),
    }
}

/// The strength of a column's relation to the target, as a short text.
fn relation(column: &ColumnReport) -> String {
    let relation = &column.relation_to_target;
    match (relation.correlation, relation.rank_correlation, relation.explained_variance) {
        (Some(correlation), Some(rank), _) => {
            format!("r {}, rank {}", report::digits(correlation, 2), report::digits(rank, 2))
        }
        (_, _, Some(explained_variance)) => format!("explains {}", report::percent(explained_variance)),
        _ => "–".into(),
    }
}

fn title(column: &ColumnReport, report: &Report) -> Html {
    let what =
        if column.name == report.target { format!(" {}, target", column.r#type) } else { format!(" {}", column.r#type) };
    Html::join([&Html::text(&column.name), &Html::text(&what).small()])
}

fn card(column: &ColumnReport, report: &Report) -> Html {
    let mut pieces = Vec::new();
    let about = |what: String| Html::text(&format!("{what}{} missing", missing(column))).small().paragraph();
    if let Some(number) = &column.number {
        let distinct =
            number.distinct.map_or(String::new(), |distinct| format!("{} distinct, ", report::count(distinct as u64)));
        let moments = match (number.mean, number.std) {
            (Some(mean), Some(std)) => format!("mean {} ± {}, ", report::number(mean), report::number(std)),
            _ => String::new(),
        };
        pieces.push(about(format!("{moments}{distinct}")));
        pieces.push(histogram(column, &number.histogram, &report::short_number));
        pieces.push(quantiles(number.quantiles.iter().map(|(at, value)| (*at, report::number(*value)))));
    } else if let Some(date) = &column.date {
        let distinct =
            date.distinct.map_or(String::new(), |distinct| format!("{} distinct, ", report::count(distinct as u64)));
        pieces.push(about(distinct));
        pieces.push(histogram(column, &date.histogram, &schema::iso_date));
        pieces.push(quantiles(date.quantiles.iter().map(|(at, day)| (*at, day.clone()))));
    } else if let Some(category) = &column.category {
        pieces.push(about(format!("{} levels, ", report::count(category.distinct as u64))));
        pieces.push(levels(column, category, report));
    } else {
        pieces.push(about("Text is copied without analysis; ".into()));
    }
    let means = &column.relation_to_target.target_means;
    if means.len() > 1 {
        pieces.push(Html::text(&format!("Mean {} by value: {}", report.target, relation(column))).small().paragraph());
        let along: Vec<(f64, f64)> = means.iter().map(|mean| (mean.value, mean.target_mean)).collect();
        pieces.push(report::points(&Points {
            title: &format!("Mean {} by {}", report.target, column.name),
            x_label: "",
            y_label: "",
            points: &along,
            guide: Guide::None,
            joined: true,
            small: true,
            x_tick: if column.date.is_some() { Some(&schema::iso_date) } else { None },
        }));
    }
    Html::join(&pieces)
}

fn histogram(column: &ColumnReport, histogram: &Histogram, label: &dyn Fn(f64) -> String) -> Html {
    report::histogram(&format!("Histogram of {}", column.name), &histogram.edges, &histogram.counts, label)
}

fn quantiles(quantiles: impl Iterator<Item = (f64, String)>) -> Html {
    let mut table = HtmlTable::new(["#min", "#5 %", "#median", "#95 %", "#max"]);
    let shown = [0.0, 0.05, 0.5, 0.95, 1.0];
    let cells: Vec<Html> = quantiles.filter(|(at, _)| shown.contains(at)).map(|(_, value)| value.into()).collect();
    if let Ok(cells) = <[Html; 5]>::try_from(cells) {
        table.row(cells);
        return table.html();
    }
    Html::default()
}

fn levels(column: &ColumnReport, category: &CategoryReport, report: &Report) -> Html {
    let top = &category.top[..category.top.len().min(MAX_CHARTED_LEVELS)];
    let counts: Vec<Bar> = top
        .iter()
        .map(|level| Bar {
            label: level.level.clone(),
            value: level.count as f64,
            text: report::count(level.count),
            spread: 0.0,
        })
        .collect();
    let means: Vec<Bar> = top
        .iter()
        .filter_map(|level| {
            let value = level.target_mean?;
            Some(Bar { label: level.level.clone(), value, text: report::number(value), spread: 0.0 })
        })
        .collect();
    let mut pieces = vec![report::bars(&format!("Rows at each level of {}", column.name), &counts)];
    if category.distinct > top.len() {
        pieces.push(Html::text(&format!("and {} more levels", category.distinct - top.len())).small().paragraph());
    }
    if !means.is_empty() {
        pieces.push(Html::text(&format!("Mean {} by level: {}", report.target, relation(column))).small().paragraph());
        pieces.push(report::bars(&format!("Mean {} at each level of {}", report.target, column.name), &means));
    }
    Html::join(&pieces)
}
