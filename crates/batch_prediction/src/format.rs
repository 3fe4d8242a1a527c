//! The format of a table, by the extension of its name.

use std::path::Path;

use anyhow::bail;

/// The format of a table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TableFormat {
    /// Comma-separated text with a header.
    Csv,
    /// A JSON object on each line.
    Ndjson,
    /// An Arrow stream.
    Arrow,
    /// Apache Parquet.
    Parquet,
}

impl TableFormat {
    /// The format that `path` names.
    ///
    /// # Errors
    /// If it has another extension.
    pub fn of(path: &Path) -> anyhow::Result<Self> {
        Ok(match path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("csv") => Self::Csv,
            Some("ndjson" | "jsonl") => Self::Ndjson,
            Some("arrow" | "arrows") => Self::Arrow,
            Some("parquet") => Self::Parquet,
            _ => bail!(
                "{}: cannot recognise the format: the name must end in .csv, .ndjson, .jsonl, .arrow, .arrows or .parquet",
                path.display()
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_names_the_format() {
        for (name, format) in [
            ("a.csv", TableFormat::Csv),
            ("a.CSV", TableFormat::Csv),
            ("a.jsonl", TableFormat::Ndjson),
            ("a.ndjson", TableFormat::Ndjson),
            ("a.b.arrows", TableFormat::Arrow),
            ("a.parquet", TableFormat::Parquet),
        ] {
            assert_eq!(TableFormat::of(Path::new(name)).unwrap(), format, "{name}");
        }
        let message = TableFormat::of(Path::new("rows.csv.gz")).unwrap_err().to_string();
        let expected = "the name must end in .csv, .ndjson, .jsonl, .arrow, .arrows or .parquet";
        assert_eq!(message, format!("rows.csv.gz: cannot recognise the format: {expected}"));
    }
}
