//! Kinds of outputs, and the check that an existing file may be replaced: an empty file, an earlier output of the same kind, or a file
//! that a manifest beside it lists.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use crate::{bounded::open_regular, envelope::is_envelope_of, error::ArtifactError, manifest::Manifest};

/// Number of bytes at the start of a file that are searched for a mark.
const HEAD_BYTES: u64 = 4 << 10;
/// Largest size of a table's header, or of a Parquet file's footer, in bytes.
const MAX_HEADER_BYTES: u64 = 16 << 20;
/// Smallest number of characters of a signature. ECDSA over P-256 has 96 or a few less; short words are Base64, too.
const MIN_SIGNATURE_CHARACTERS: usize = 64;
/// First and last bytes of a Parquet file.
const PARQUET_MAGIC: &[u8] = b"PAR1";
/// First bytes of an Arrow stream. The length of its schema follows.
const ARROW_MAGIC: &[u8] = &[0xff; 4];
/// Number of bytes after the footer of a Parquet file: its length and the magic.
const PARQUET_END_BYTES: u64 = 8;

/// The kind of an output, by which an earlier output is recognised.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OutputKind {
    /// Name for messages, such as "a preprocessor".
    pub name: &'static str,
    /// The mark of such a file.
    pub mark: Mark,
}

/// The mark by which a kind of file is recognised. The check is cheap; damage is detected when a file is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mark {
    /// An envelope of this kind.
    Envelope(&'static str),
    /// The first bytes.
    Bytes(&'static [u8]),
    /// Text that starts with the first part and contains the second within 4 KiB.
    Text(&'static str, &'static str),
    /// A JSON object with this first key.
    Json(&'static str),
    /// A table in CSV, NDJSON, Arrow or Parquet with one of these columns.
    Table(&'static [&'static str]),
    /// One line of Base64 of at least the length of a signature.
    Base64,
    /// Any file, because the user asked to replace it.
    Any,
}

impl OutputKind {
    /// A table of `process` or `engineer`, which has the column `split`.
    pub const TABLE: Self =
        Self { name: "a table of `process` or `engineer` (it has no column \"split\")", mark: Mark::Table(&["split"]) };
    /// A table with predictions.
    pub const PREDICTIONS: Self = Self { name: "a table of predictions", mark: Mark::Table(&["prediction", "problem"]) };
    /// Rows that violate the schema.
    pub const QUARANTINE: Self =
        Self { name: "a quarantine file", mark: Mark::Text("line,column,value,reason,record\n", "") };
    /// A report, run record, drift reference or manifest.
    pub const REPORT: Self =
        Self { name: "a report, record or manifest of this project", mark: Mark::Json("format_version") };
    /// A report page.
    pub const PAGE: Self = Self {
        name: "a page of this project",
        mark: Mark::Text("<!DOCTYPE html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n", "color-scheme"),
    };
    /// Any file.
    pub const ANY: Self = Self { name: "a file", mark: Mark::Any };

    /// Checks that a file at `path` may be replaced by one of this kind; `output` is its name in messages. It does not check that the file
    /// can be written.
    ///
    /// # Errors
    /// If it may not be replaced, or cannot be read.
    pub(crate) fn check_replaceable(self, output: &str, path: &Path) -> Result<(), ArtifactError> {
        if self.mark == Mark::Any {
            return Ok(());
        }
        let file = match open_regular(path) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
            Err(error) => return Err(ArtifactError::io(path, "read it")(error)),
        };
        let read_error = || ArtifactError::io(path, "read it");
        let bytes = file.metadata().map_err(read_error())?.len();
        if bytes == 0 || self.mark.matches(file, bytes).map_err(read_error())? || is_listed_beside(path) {
            return Ok(());
        }
        Err(ArtifactError::ForeignOutput { output: output.to_owned(), kind: self.name })
    }
}

/// True if the manifest beside a file lists it as an output.
fn is_listed_beside(path: &Path) -> bool {
    Manifest::read_beside(path).ok().flatten().is_some_and(|manifest| manifest.output(path).is_some())
}

impl Mark {
    fn matches(self, mut file: File, bytes: u64) -> io::Result<bool> {
        if let Self::Table(columns) = self {
            return has_column(file, bytes, columns);
        }
        let mut head = Vec::new();
        file.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
        let text = String::from_utf8_lossy(&head);
        Ok(match self {
            Self::Envelope(kind) => is_envelope_of(&head, kind),
            Self::Bytes(start) => head.starts_with(start),
            Self::Text(start, part) => text.starts_with(start) && text.contains(part),
            Self::Json(key) => {
                let inside = text.strip_prefix('{').map(str::trim_start);
                inside.and_then(|text| text.strip_prefix('"')?.strip_prefix(key)?.strip_prefix('"')).is_some()
            }
            Self::Base64 => bytes < HEAD_BYTES && is_base64(text.strip_suffix('\n').unwrap_or(&text)),
            Self::Table(_) | Self::Any => true,
        })
    }
}

fn is_base64(text: &str) -> bool {
    text.len() >= MIN_SIGNATURE_CHARACTERS
        && text.len().is_multiple_of(4)
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
}

/// True if a table contains one of the columns: in the header of CSV, the first object of NDJSON, the schema of an Arrow stream or the
/// footer of Parquet.
fn has_column(mut file: File, bytes: u64, columns: &[&str]) -> io::Result<bool> {
    let mut start = [0; PARQUET_MAGIC.len()];
    let read = file.by_ref().take(start.len() as u64).read(&mut start)?;
    if start[..read] == *PARQUET_MAGIC && bytes > 2 * PARQUET_END_BYTES {
        return footer_has_column(file, bytes, columns);
    }
    if start[..read] == *ARROW_MAGIC {
        return stream_has_column(file, columns);
    }
    file.seek(SeekFrom::Start(0))?;
    let mut header = Vec::new();
    BufReader::new(file.take(MAX_HEADER_BYTES)).read_until(b'\n', &mut header)?;
    if header.first() == Some(&b'{') {
        let object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&header);
        return Ok(object.is_ok_and(|object| columns.iter().any(|name| object.contains_key(*name))));
    }
    let header = String::from_utf8_lossy(&header);
    let mut names = header.trim_end().split(',').map(|name| name.trim_matches('"'));
    Ok(names.any(|name| columns.contains(&name)))
}

/// The schema has names as FlatBuffers write text: the length in four bytes, the bytes, and a zero.
fn stream_has_column(mut file: File, columns: &[&str]) -> io::Result<bool> {
    let mut length = Vec::new();
    file.by_ref().take(4).read_to_end(&mut length)?;
    let Ok(length) = <[u8; 4]>::try_from(length.as_slice()) else { return Ok(false) };
    let mut schema = Vec::new();
    file.take(u64::from(u32::from_le_bytes(length)).min(MAX_HEADER_BYTES)).read_to_end(&mut schema)?;
    let contains_name = |name: &str| {
        let encoded = [&(name.len() as u32).to_le_bytes(), name.as_bytes(), &[0]].concat();
        schema.windows(encoded.len()).any(|part| part == encoded)
    };
    Ok(columns.iter().any(|name| contains_name(name)))
}

/// The footer has names in Thrift's compact protocol: the length, then the bytes.
fn footer_has_column(mut file: File, bytes: u64, columns: &[&str]) -> io::Result<bool> {
    let mut length = [0; 4];
    file.seek(SeekFrom::Start(bytes - PARQUET_END_BYTES))?;
    file.read_exact(&mut length)?;
    let length = u64::from(u32::from_le_bytes(length));
    if length > (bytes - PARQUET_END_BYTES).min(MAX_HEADER_BYTES) {
        return Ok(false);
    }
    file.seek(SeekFrom::Start(bytes - PARQUET_END_BYTES - length))?;
    let mut footer = Vec::new();
    file.take(length).read_to_end(&mut footer)?;
    let contains_name = |name: &str| {
        let mut encoded = vec![name.len() as u8];
        encoded.extend(name.as_bytes());
        footer.windows(encoded.len()).any(|part| part == encoded)
    };
    Ok(columns.iter().any(|name| contains_name(name)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{digest::Digest, file_entry::FileEntry, manifest::MANIFEST_VERSION};

    const PREPROCESSOR: OutputKind = OutputKind { name: "a preprocessor", mark: Mark::Envelope("preprocessor") };

    /// True if a file with this content may be replaced by one of a kind.
    fn replaces(kind: OutputKind, content: &[u8]) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        fs::write(&path, content).unwrap();
        match kind.check_replaceable("--output a.csv", &path) {
            Ok(()) => true,
            Err(error) => {
                let message =
                    format!("--output a.csv exists and is not {}; name another path, or remove the file first", kind.name);
                assert_eq!(error.to_string(), message);
                false
            }
        }
    }

    #[test]
    fn only_files_of_the_same_kind_are_replaced() {
        let envelope = |kind: &'static str| crate::envelope::encode_envelope((kind, 1).into(), &1).unwrap();
        let sig = OutputKind { name: "a signature", mark: Mark::Base64 };
        let archive = OutputKind { name: "an archive", mark: Mark::Bytes(&[0x1f, 0x8b]) };
        let config = OutputKind { name: "a configuration", mark: Mark::Text("# Written by `train search`", "") };
        let page =
            b"<!DOCTYPE html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<meta name=color-scheme content=\"light\">";
        let samples: [(OutputKind, &[u8]); 8] = [
            (PREPROCESSOR, &envelope("preprocessor")),
            (OutputKind::TABLE, b"a,\"split\",b\n1,train,2\n"),
            (OutputKind::PREDICTIONS, b"a,prediction\r\n1,2\r\n"),
            (OutputKind::QUARANTINE, b"line,column,value,reason,record\n1,,,x,y\n"),
            (OutputKind::REPORT, b"{\n  \"format_version\": 1\n}\n"),
            (OutputKind::PAGE, page),
            (sig, b"MEQCIAQ4nJJ5y23rKoLzh+XSoldL19qfBThvS/lhx7zR7OgkAiANB3S3dzR8q+aPIc8sb41HrlagTnmx4qzO2bZq8LLRog==\n"),
            (config, b"# Written by `train search` (1): the best\nmodel:\n"),
        ];
        for (place, (kind, _)) in samples.iter().enumerate() {
            for (other, (_, content)) in samples.iter().enumerate() {
                assert_eq!(replaces(*kind, content), place == other, "{} over sample {other}", kind.name);
            }
            for foreign in [
                &b"# A README\n"[..],
                b"-----BEGIN PRIVATE KEY-----\nMIGH\n",
                b"price,sqft\n1,2\n",
                b"{\"name\": \"format_version\"}",
                b"<html></html>",
                b"PAR1",
                b"PAR1\0\0\0\0\xff\xff\xff\xffPAR1PAR1PAR1",
                b"\xff\xfe",
                &envelope("model"),
            ] {
                assert!(!replaces(*kind, foreign), "{} over {}", kind.name, String::from_utf8_lossy(foreign));
            }
            assert!(replaces(*kind, b""), "{} over an empty file", kind.name);
        }
        assert!(replaces(archive, &[0x1f, 0x8b, 8]) && !replaces(archive, b"PK\x03\x04"));
        assert!(replaces(OutputKind::ANY, b"# A README\n"));
        for nowhere in ["nowhere/a.bin", "Cargo.toml/a.bin"] {
            assert!(PREPROCESSOR.check_replaceable("--output", Path::new(nowhere)).is_ok());
        }
    }

    #[test]
    fn predictions_are_recognised_in_every_format() {
        let stream = |name: &str| {
            let schema = [&[7; 20], &(name.len() as u32).to_le_bytes()[..], name.as_bytes(), &[0; 5]].concat();
            [ARROW_MAGIC, &(schema.len() as u32).to_le_bytes(), &schema, b"prediction"].concat()
        };
        assert!(replaces(OutputKind::PREDICTIONS, &stream("prediction")));
        assert!(
            !replaces(OutputKind::PREDICTIONS, &stream("predictions")) && !replaces(OutputKind::PREDICTIONS, ARROW_MAGIC)
        );
        assert!(replaces(OutputKind::PREDICTIONS, b"{\"id\": 1, \"prediction\": 2}\n{}\n"));
        for other in [&b"{\"id\": \"prediction\"}\n"[..], b"{\"prediction\": 1", b"{\n  \"prediction\": 1\n}\n"] {
            assert!(!replaces(OutputKind::PREDICTIONS, other), "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn a_parquet_file_is_recognised_by_its_columns() {
        let parquet = |column: &str| {
            let footer = [&[0x15, 0x02, column.len() as u8][..], column.as_bytes(), &[0]].concat();
            [PARQUET_MAGIC, &[7; 40], &footer, &(footer.len() as u32).to_le_bytes(), PARQUET_MAGIC].concat()
        };
        assert!(replaces(OutputKind::TABLE, &parquet("split")));
        assert!(!replaces(OutputKind::TABLE, &parquet("splitter")) && !replaces(OutputKind::TABLE, &parquet("price")));
        assert!(replaces(OutputKind::PREDICTIONS, &parquet("prediction")));
    }

    #[test]
    fn a_file_that_a_manifest_lists_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let manifest = Manifest {
            format_version: MANIFEST_VERSION,
            stage: "process".into(),
            version: "0.1.0".into(),
            commit: None,
            schema: "s".into(),
            settings: Digest::of_bytes(b"settings"),
            configs: vec![],
            inputs: vec![],
            outputs: vec![FileEntry { path: at("a.csv"), digest: Digest::of_bytes(b"as written"), bytes: 10 }],
            rows: std::collections::BTreeMap::new(),
            started_at_ms: 0,
            duration_ms: 0,
        };
        manifest.write_beside(&at("a.csv")).unwrap();
        manifest.write_beside(&at("b.csv")).unwrap();
        ["a.csv", "b.csv"].iter().for_each(|name| fs::write(at(name), "price\n1\n").unwrap());
        assert!(OutputKind::TABLE.check_replaceable("--output", &at("a.csv")).is_ok());
        assert!(OutputKind::TABLE.check_replaceable("--output", &at("b.csv")).is_err());
    }
}
