//! Compares whole texts with the snapshots in `snapshots/`. What differs between runs, machines and versions is redacted here.

use std::{fmt::Write, fs};

use insta::Settings;
use serde_json::Value;
use testkit::{Run, Workspace, repository};

/// Compares a text with the snapshot of the test that calls it, or with one of several that a suffix distinguishes.
macro_rules! assert_text {
    ($text:expr) => {
        crate::snapshot::settings("").bind(|| insta::assert_snapshot!($text))
    };
    ($suffix:expr, $text:expr) => {
        crate::snapshot::settings($suffix).bind(|| insta::assert_snapshot!($text))
    };
}
pub(crate) use assert_text;

/// Regular expressions, and what is written in a snapshot instead of their matches. They are applied in this order.
const REDACTIONS: [(&str, &str); 20] = [
    // the folder of a test, whatever TMPDIR is
    (r#"(?:/[^\s/"'`,;:()<>]+)*/\.tmp[A-Za-z0-9]{6}"#, "[folder]"),
    (r#"("(?:p50|p99|startup|recording|duration|started_at|ended_at)_ms"): [0-9.e-]+"#, r#"$1: "[measured]""#),
    (r#"("(?:rows_per_second|memory_bytes)"): [0-9.e-]+"#, r#"$1: "[measured]""#),
    // processors differ in the last digits of logarithms and powers
    (r"\b([1-9]\d*\.\d{4})\d{5,}\b", "$1"),
    (r"\b(0\.\d*?[1-9]\d{5})\d{5,}\b", "$1"),
    (r"\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z| UTC)?", "[time]"),
    (concat!(r"\b", env!("CARGO_PKG_VERSION_MAJOR"), r"\.", env!("CARGO_PKG_VERSION_MINOR"), r"\.\d+\b"), "[version]"),
    (r"\b[0-9a-f]{64}\b", "[digest]"),
    (r"\b[0-9a-f]{32}\b", "[run]"),
    (r"\b[0-9a-f]{12}\b", "[digest]"),
    (r"\b([A-Za-z]+)-[0-9a-f]{8}\b", "$1-[run]"),
    (r"`train search` \([0-9a-f]{8}\)", "`train search` ([digest])"),
    // ports that the system selects
    (r"127\.0\.0\.1:\d{5}\b", "127.0.0.1:[port]"),
    (r"\b\d+(?:\.\d+)? (ms|MB|rows/s)\b", "[measured] $1"),
    (r"linux \w+, \d+ processors", "[machine]"),
    (r"(?m)^(  \[time\]  version \d+)(?: by \S+)?: ", "$1 by [user]: "),
    // the page of a search: its duration, and that of the trials
    (r"(?m)^.* duration of the search", "[measured] duration of the search"),
    (r"\| all \| \d+\.\d\d \|", "| all | [seconds] |"),
    (r"(?m)^(Metric by time)\n.*", "$1\n[axes]"),
    // the commit of the folder, which may be in a repository
    (r"\| commit \| \w+ \|", "| commit | [commit] |"),
];

/// How snapshots are compared: the folder is that of the checkout that runs the test, which may not be the one that compiled it.
pub(crate) fn settings(suffix: &str) -> Settings {
    let mut settings = Settings::clone_current();
    settings.set_snapshot_path(repository().join("crates/testkit/tests/it/snapshots"));
    settings.set_omit_expression(true);
    settings.set_snapshot_suffix(suffix);
    for (pattern, replacement) in REDACTIONS {
        settings.add_filter(pattern, replacement);
    }
    settings
}

/// Command lines and what came of them, as one text.
#[derive(Default)]
pub(crate) struct Transcript {
    pub(crate) text: String,
}

impl Transcript {
    /// Writes a line about what is run next.
    pub(crate) fn note(&mut self, note: &str) {
        let _ = writeln!(self.text, "# {note}");
    }

    /// Runs a command line, and writes its exit code and what it wrote.
    pub(crate) fn run(&mut self, workspace: &Workspace, line: &str) -> Run {
        let run = workspace.run(line);
        self.add(line, &run);
        run
    }

    /// Writes what a server answered to a request.
    pub(crate) fn answer(&mut self, request: &str, (status, body): &(u16, Value)) {
        let _ = writeln!(self.text, "> {}\n{status}\n{body:#}\n", request.trim_end());
    }

    /// Writes what came of a command line. JSON on stdout is laid out on several lines.
    pub(crate) fn add(&mut self, line: &str, run: &Run) {
        let _ = writeln!(self.text, "$ {line}\n[exit code {}]", run.code);
        let json = serde_json::from_str::<Value>(&run.stdout);
        let stdout = json.map_or_else(|_| run.stdout.clone(), |json| format!("{json:#}"));
        for (name, text) in [("stdout", stdout), ("stderr", run.stderr.clone())] {
            if !text.is_empty() {
                let _ = writeln!(self.text, "[{name}]\n{}", text.trim_end());
            }
        }
        self.text.push('\n');
    }
}

/// The text of an HTML page: without tags and styles; a line for each paragraph, heading, row of a table, and chart.
pub(crate) fn text_of_page(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(before);
        let (tag, after) = after.split_once('>').unwrap_or((after, ""));
        let name = tag.split_whitespace().next().unwrap_or_default();
        rest = match name {
            "style" | "script" => after.split_once(&format!("</{name}>")).map_or("", |(_, after)| after),
            _ => after,
        };
        text.push_str(match name {
            "/td" | "/th" | "/text" => " | ",
            "/dt" => ": ",
            "/a" | "/b" | "/span" => " ",
            "/p" | "/h1" | "/h2" | "/h3" | "/tr" | "/li" | "/title" | "/nav" | "/div" | "/dd" | "/svg" | "/pre" => "\n",
            _ => "",
        });
    }
    text.push_str(rest);
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    let text = entities.iter().fold(text, |text, (name, character)| text.replace(name, character));
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.fold(String::new(), |text, line| text + line + "\n")
}

/// A snapshot that no test compares any more would be kept, and read, for nothing.
#[test]
fn every_snapshot_belongs_to_a_test() {
    let folder = repository().join("crates/testkit/tests/it");
    let mut count = 0;
    for entry in fs::read_dir(folder.join("snapshots")).expect("snapshots").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(".snap") else { continue };
        let (module, test) = name.strip_prefix("it__").and_then(|name| name.split_once("__")).expect(name);
        let test = test.split('@').next().unwrap_or(test);
        let source = fs::read_to_string(folder.join(format!("{module}.rs"))).expect(module);
        assert!(source.contains(&format!("\nfn {test}()")), "{module}.rs has no test {test}: remove {name}.snap");
        count += 1;
    }
    assert!(count > 20, "{count}");
}
