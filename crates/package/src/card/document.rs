//! A document that renders as Markdown and as a page.

use std::fmt::Write;

use report::{Html, HtmlTable, Page};

/// Sections under a title.
#[derive(Debug)]
pub(crate) struct CardDocument {
    pub(crate) title: String,
    pub(crate) subtitle: String,
    pub(crate) sections: Vec<(&'static str, Vec<CardBlock>)>,
}

/// A piece of a section.
#[derive(Debug)]
pub(crate) enum CardBlock {
    Text(String),
    /// An important note.
    Note(String),
    List(Vec<String>),
    /// Commands to type.
    Lines(String),
    /// Headings that begin with `#` are over numbers.
    Table(Vec<&'static str>, Vec<Vec<String>>),
}

impl CardDocument {
    pub(crate) fn markdown(&self) -> String {
        let mut out = format!("# {}\n\n{}\n", plain(&self.title), plain(&self.subtitle));
        for (heading, blocks) in &self.sections {
            let _ = write!(out, "\n## {heading}\n");
            for block in blocks {
                out.push('\n');
                match block {
                    CardBlock::Text(text) => out.push_str(&format!("{}\n", plain(text))),
                    CardBlock::Note(text) => out.push_str(&format!("> {}\n", plain(text))),
                    CardBlock::List(items) => items.iter().for_each(|item| out.push_str(&format!("- {}\n", plain(item)))),
                    CardBlock::Lines(lines) => out.push_str(&format!("```sh\n{}\n```\n", lines.trim_end())),
                    CardBlock::Table(headings, rows) => {
                        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
                        let names: Vec<String> =
                            headings.iter().map(|name| name.trim_start_matches('#').to_owned()).collect();
                        let rule = headings.iter().map(|name| if name.starts_with('#') { "---:" } else { "---" });
                        out.push_str(&line(&names));
                        let _ = writeln!(out, "|{}|", rule.collect::<Vec<_>>().join("|"));
                        for row in rows {
                            out.push_str(&line(&row.iter().map(|cell| plain(cell)).collect::<Vec<_>>()));
                        }
                    }
                }
            }
        }
        out
    }

    pub(crate) fn page(&self) -> String {
        let mut page = Page::new(&self.title, &self.subtitle);
        for (heading, blocks) in &self.sections {
            page.section(heading, &blocks.iter().map(html).collect::<Vec<Html>>());
        }
        page.render()
    }
}

fn html(block: &CardBlock) -> Html {
    match block {
        CardBlock::Text(text) => Html::prose(text).paragraph(),
        CardBlock::Note(text) => report::note(&Html::prose(text)),
        CardBlock::List(items) => report::list(&items.iter().map(|item| Html::prose(item)).collect::<Vec<_>>()),
        CardBlock::Lines(lines) => report::lines(lines),
        CardBlock::Table(headings, rows) => {
            let mut table = HtmlTable::new(headings.iter().copied());
            rows.iter().for_each(|row| table.row(row.iter().map(|cell| Html::prose(cell))));
            table.html()
        }
    }
}

/// Escapes text of the table's owner, so that it does not become markup.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' => out.push_str("\\|"),
            '<' => out.push_str("&lt;"),
            '`' => out.push('\''),
            character if character.is_control() => out.push(' '),
            character => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_blocks_make_markdown_and_a_page() {
        let rows = vec![vec!["a|b\n".to_owned(), "<i>1</i>".to_owned()]];
        let blocks = vec![
            CardBlock::Text("x".into()),
            CardBlock::Table(vec!["name", "#rows"], rows),
            CardBlock::Lines("ls\n".into()),
        ];
        let document = CardDocument { title: "T".into(), subtitle: "s".into(), sections: vec![("First", blocks)] };
        assert_eq!(
            document.markdown(),
            "# T\n\ns\n\n## First\n\nx\n\n| name | rows |\n|---|---:|\n| a\\|b  | &lt;i>1&lt;/i> |\n\n```sh\nls\n```\n"
        );
        let page = document.page();
        assert!(
            page.contains("<td>a|b </td><td class=n>&lt;i&gt;1&lt;/i&gt;</td>") && page.contains("<pre>ls</pre>"),
            "{page}"
        );
    }
}
