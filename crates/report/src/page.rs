//! A page: title, sections and style.

use std::fmt::Write;

use crate::{chart::STYLE as CHARTS, html::Html};

/// CSS of the page.
const STYLE: &str = include_str!("page.css");

/// A page with its sections.
#[derive(Debug)]
pub struct Page {
    title: Html,
    subtitle: Html,
    sections: Vec<(String, Html, Html)>,
}

impl Page {
    /// An empty page with title and subtitle.
    pub fn new(title: &str, subtitle: &str) -> Self {
        Self { title: Html::text(title), subtitle: Html::prose(subtitle), sections: Vec::new() }
    }

    /// Adds a section.
    pub fn section(&mut self, heading: &str, content: &[Html]) -> &mut Self {
        let id: String = heading.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        self.sections.push((id, Html::text(heading), Html::join(content)));
        self
    }

    /// The HTML of the page.
    pub fn render(&self) -> String {
        let mut out = format!(
            "<!DOCTYPE html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<meta name=viewport content=\"width=device-width, \
             initial-scale=1\">\n<meta name=color-scheme content=\"light dark\">\n<title>{0}</title>\n<style>\n{CHARTS}{STYLE}</style>\n\
             </head>\n<body>\n<header>\n<h1>{0}</h1>\n<p>{1}</p>\n<nav>",
            self.title, self.subtitle
        );
        for (id, heading, _) in &self.sections {
            let _ = write!(out, "<a href=\"#{id}\">{heading}</a> ");
        }
        out.push_str("</nav>\n</header>\n<main>\n");
        for (id, heading, content) in &self.sections {
            let _ = write!(out, "<section id={id}>\n<h2>{heading}</h2>\n{content}</section>\n");
        }
        out.push_str("</main>\n</body>\n</html>\n");
        out
    }
}
