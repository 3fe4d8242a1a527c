//! Pieces of HTML, escaped by type.

use std::fmt::{self, Write};

/// The longest text of a cell, in characters; the rest is cut off.
const LONGEST: usize = 160;

/// A piece of HTML. Text becomes one by being escaped.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Html(String);

impl Html {
    /// Text from elsewhere: escaped, and cut where it is longer than a line or two.
    pub fn text(text: &str) -> Self {
        match text.char_indices().nth(LONGEST) {
            Some((end, _)) => Self(Self::prose(&text[..end]).0 + "…"),
            None => Self::prose(text),
        }
    }

    /// Sentences of ours: escaped.
    pub fn prose(text: &str) -> Self {
        let mut out = String::with_capacity(text.len());
        for character in text.chars() {
            match character {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                '\'' => out.push_str("&#39;"),
                // what XML and HTML do not allow, and what turns the text around it
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
                character if character.is_control() => out.push(' '),
                character => out.push(character),
            }
        }
        Self(out)
    }

    /// Made by this crate.
    pub(crate) fn made(html: String) -> Self {
        Self(html)
    }

    /// As text for a page.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// All of them, one after the other.
    pub fn join<'a>(pieces: impl IntoIterator<Item = &'a Html>) -> Self {
        Self(pieces.into_iter().map(Self::as_str).collect())
    }

    /// A paragraph of it.
    #[must_use]
    pub fn paragraph(self) -> Self {
        Self(format!("<p>{self}</p>"))
    }

    /// A heading of it, under a section's.
    #[must_use]
    pub fn heading(self) -> Self {
        Self(format!("<h3>{self}</h3>"))
    }

    /// It in small print.
    #[must_use]
    pub fn small(self) -> Self {
        Self(format!("<small>{self}</small>"))
    }

    /// It as code.
    #[must_use]
    pub fn code(self) -> Self {
        Self(format!("<code>{self}</code>"))
    }
}

impl fmt::Display for Html {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Html {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Html {
    fn from(text: String) -> Self {
        Self::text(&text)
    }
}

/// A table. Cells after the first are aligned to the right where their heading begins with `#`.
#[derive(Debug)]
pub struct Table {
    headings: Vec<(Html, bool)>,
    rows: String,
}

impl Table {
    /// A table with these headings.
    pub fn new<'a>(headings: impl IntoIterator<Item = &'a str>) -> Self {
        let heading = |text: &str| (Html::text(text.trim_start_matches('#')), text.starts_with('#'));
        Self { headings: headings.into_iter().map(heading).collect(), rows: String::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Html>) {
        self.rows.push_str("<tr>");
        for (cell, (_, number)) in cells.into_iter().zip(&self.headings) {
            let class = if *number { " class=n" } else { "" };
            let _ = write!(self.rows, "<td{class}>{cell}</td>");
        }
        self.rows.push_str("</tr>\n");
    }

    /// The table.
    pub fn html(&self) -> Html {
        let headings: String = self
            .headings
            .iter()
            .map(|(text, number)| format!("<th{}>{text}</th>", if *number { " class=n" } else { "" }))
            .collect();
        Html(format!(
            "<div class=wide><table><thead><tr>{headings}</tr></thead><tbody>\n{}</tbody></table></div>\n",
            self.rows
        ))
    }
}

/// Large figures with what they are, in a row; the third text says more, or nothing.
pub fn tiles(tiles: &[(String, &str, String)]) -> Html {
    let mut out = String::from("<div class=tiles>");
    for (figure, label, more) in tiles {
        let (figure, label, more) = (Html::text(figure), Html::text(label), Html::text(more));
        let _ = write!(out, "<div class=tile><b>{figure}</b><span>{label}</span><small>{more}</small></div>");
    }
    Html(out + "</div>\n")
}

/// Names and values, a line each.
pub fn pairs(pairs: &[(&str, Html)]) -> Html {
    let mut out = String::from("<dl>");
    for (name, value) in pairs {
        let _ = write!(out, "<dt>{}</dt><dd>{value}</dd>", Html::text(name));
    }
    Html(out + "</dl>\n")
}

/// Items, one under the other.
pub fn list(items: &[Html]) -> Html {
    Html(format!("<ul>\n{}</ul>\n", items.iter().map(|item| format!("<li>{item}</li>\n")).collect::<String>()))
}

/// Lines as they are to be typed.
pub fn lines(text: &str) -> Html {
    let lines: Vec<String> = text.lines().map(|line| Html::prose(line).0).collect();
    Html(format!("<pre>{}</pre>\n", lines.join("\n")))
}

/// Two pieces side by side where there is room.
pub fn side_by_side(pieces: &[Html]) -> Html {
    let inside: String = pieces.iter().map(|piece| format!("<div>{piece}</div>")).collect();
    Html(format!("<div class=pair>{inside}</div>\n"))
}

/// Boxes side by side, as many as fit; the first piece of each is its title.
pub fn cards(cards: &[(Html, Html)]) -> Html {
    let mut out = String::from("<div class=cards>\n");
    for (title, content) in cards {
        let _ = writeln!(out, "<article><h3>{title}</h3>{content}</article>");
    }
    Html(out + "</div>\n")
}

/// Something not to be overlooked.
pub fn note(content: &Html) -> Html {
    Html(format!("<div class=note>{content}</div>\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        let cell = Html::text("<script>alert('x')</script> & \"y\"\u{0}\u{202e}");
        assert_eq!(cell.as_str(), "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;y&quot; \u{fffd}");
        let long = Html::text(&"ä".repeat(200));
        assert_eq!(long.as_str().chars().count(), 161);
        let mut table = Table::new(["name", "#rows"]);
        table.row([Html::from("<b>"), "1".into()]);
        assert!(table.html().as_str().contains("<tr><td>&lt;b&gt;</td><td class=n>1</td></tr>"));
    }
}
