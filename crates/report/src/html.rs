//! Pieces of HTML. The type guarantees that text is escaped.

use std::fmt::{self, Write};

/// Longest text of a cell in characters; longer text is truncated.
const MAX_TEXT_CHARACTERS: usize = 160;

/// A piece of HTML; text is escaped when it is converted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Html(String);

impl Html {
    /// Untrusted text: escaped and truncated.
    pub fn text(text: &str) -> Self {
        match text.char_indices().nth(MAX_TEXT_CHARACTERS) {
            Some((end, _)) => Self(Self::prose(&text[..end]).0 + "…"),
            None => Self::prose(text),
        }
    }

    /// Text of this program: escaped.
    pub fn prose(text: &str) -> Self {
        let mut out = String::with_capacity(text.len());
        for character in text.chars() {
            match character {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                '\'' => out.push_str("&#39;"),
                // characters that XML and HTML do not allow, and directional overrides
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
                character if character.is_control() => out.push(' '),
                character => out.push(character),
            }
        }
        Self(out)
    }

    /// Markup of this crate, which is not escaped.
    pub(crate) fn from_markup(html: String) -> Self {
        Self(html)
    }

    /// The markup.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Concatenates pieces.
    pub fn join<'a>(pieces: impl IntoIterator<Item = &'a Html>) -> Self {
        Self(pieces.into_iter().map(Self::as_str).collect())
    }

    /// The piece as a paragraph.
    #[must_use]
    pub fn paragraph(self) -> Self {
        Self(format!("<p>{self}</p>"))
    }

    /// The piece as a heading below that of a section.
    #[must_use]
    pub fn heading(self) -> Self {
        Self(format!("<h3>{self}</h3>"))
    }

    /// The piece in small print.
    #[must_use]
    pub fn small(self) -> Self {
        Self(format!("<small>{self}</small>"))
    }

    /// The piece as code.
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

/// A table. Columns whose heading starts with `#` are right-aligned.
#[derive(Debug)]
pub struct HtmlTable {
    headings: Vec<(Html, bool)>,
    rows: String,
}

impl HtmlTable {
    /// An empty table with these headings.
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

    /// The markup of the table.
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

/// Tiles in a row: a large number, its label, and an optional detail.
pub fn tiles(tiles: &[(String, &str, String)]) -> Html {
    let mut out = String::from("<div class=tiles>");
    for (value, label, detail) in tiles {
        let (value, label, detail) = (Html::text(value), Html::text(label), Html::text(detail));
        let _ = write!(out, "<div class=tile><b>{value}</b><span>{label}</span><small>{detail}</small></div>");
    }
    Html(out + "</div>\n")
}

/// A list of names and values, one per line.
pub fn pairs(pairs: &[(&str, Html)]) -> Html {
    let mut out = String::from("<dl>");
    for (name, value) in pairs {
        let _ = write!(out, "<dt>{}</dt><dd>{value}</dd>", Html::text(name));
    }
    Html(out + "</dl>\n")
}

/// A bulleted list.
pub fn list(items: &[Html]) -> Html {
    Html(format!("<ul>\n{}</ul>\n", items.iter().map(|item| format!("<li>{item}</li>\n")).collect::<String>()))
}

/// A block of commands.
pub fn lines(text: &str) -> Html {
    let lines: Vec<String> = text.lines().map(|line| Html::prose(line).0).collect();
    Html(format!("<pre>{}</pre>\n", lines.join("\n")))
}

/// Pieces side by side where there is space.
pub fn side_by_side(pieces: &[Html]) -> Html {
    let inside: String = pieces.iter().map(|piece| format!("<div>{piece}</div>")).collect();
    Html(format!("<div class=pair>{inside}</div>\n"))
}

/// Boxes side by side; the first piece of each is its title.
pub fn cards(cards: &[(Html, Html)]) -> Html {
    let mut out = String::from("<div class=cards>\n");
    for (title, content) in cards {
        let _ = writeln!(out, "<article><h3>{title}</h3>{content}</article>");
    }
    Html(out + "</div>\n")
}

/// A highlighted note.
pub fn note(content: &Html) -> Html {
    Html(format!("<div class=note>{content}</div>\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_truncated() {
        let cell = Html::text("<script>alert('x')</script> & \"y\"\u{0}\u{202e}");
        assert_eq!(cell.as_str(), "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;y&quot; \u{fffd}");
        let long = Html::text(&"ä".repeat(200));
        assert_eq!(long.as_str().chars().count(), 161);
        let mut table = HtmlTable::new(["name", "#rows"]);
        table.row([Html::from("<b>"), "1".into()]);
        assert!(table.html().as_str().contains("<tr><td>&lt;b&gt;</td><td class=n>1</td></tr>"));
    }
}
