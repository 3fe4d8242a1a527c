//! Fuzz targets: each takes any bytes, reads them as one kind of untrusted input, and checks what must hold for all inputs.
//!
//! `cargo fuzz run NAME` drives one of them without an end. The test `tests/bounded.rs` drives all of them for a few seconds, on stable Rust.

use std::{
    io::{self, Write},
    path::Path,
    sync::LazyLock,
};

use artifact::{BundleEntries, PackedLimits, read_envelope_bytes, read_envelope_bytes_or_older, visit_packed};
use boosting::{EnsembleOutput, ImportedModel};
use features::{PREPROCESSOR, Plan, Preprocessor, PreprocessorFile};
use flate2::{Compression, write::GzEncoder};
use inference::{
    formats::{
        arrow, csv,
        json::{check_list, read_row, read_rows, utf8},
        json_scan::{ListScan, check_values, split_list},
        ndjson,
    },
    loaded_model::LoadedModel,
    validation::ErrorDetail,
};
use model::{MODEL, Matrix, Model, ModelFile, ModelFileV1};
use predictor::{LoadedParts, ModelInfo, Predictor, Scratch};
use schema::{PipelineConfig, Schema};
use sha2::{Digest as _, Sha256};

/// A target and its name.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 10] = [
    ("json_rows", json_rows),
    ("csv_rows", csv_rows),
    ("ndjson_rows", ndjson_rows),
    ("arrow_rows", arrow_rows),
    ("envelope", envelope),
    ("expression", expression),
    ("import", import),
    ("elf", elf),
    ("pem", pem),
    ("bundle_archive", bundle_archive),
];

/// A model and a preprocessor that version 0.1.0 wrote, for 300 generated houses.
const MODEL_BYTES: &[u8] = include_bytes!("../../../crates/package/golden/model_v1.bin");
const PREPROCESSOR_BYTES: &[u8] = include_bytes!("../../../crates/package/golden/preprocessor_v1.bin");

static LOADED: LazyLock<LoadedModel> = LazyLock::new(|| {
    let predictor =
        Predictor::from_bytes((Path::new("model"), MODEL_BYTES), (Path::new("preprocessor"), PREPROCESSOR_BYTES));
    let info = ModelInfo { version: "1".to_owned(), coverage: 0.9, ..ModelInfo::default() };
    let parts = LoadedParts { predictor: predictor.expect("golden files"), reference: None, info };
    LoadedModel::new(parts, 100, None).expect("a model that predicts")
});

/// One row and a list of rows as JSON. A valid row has a finite prediction or an error, and a list that is read in parts has the rows of the whole.
pub fn json_rows(data: &[u8]) {
    let model = &*LOADED;
    if let Ok(row) = read_row(&model.row_schema, data) {
        let mut errors = row.errors;
        let cells = model.row_schema.validate(&row.values, &model.predictor, ErrorDetail::Whole, &mut errors);
        assert_eq!(cells.len(), model.row_schema.fields.len());
        if errors.is_empty() {
            let predicted = model.predict_row(&cells, &mut Scratch::default());
            assert!(predicted.is_err() || predicted.is_ok_and(|row| row.prediction.value.is_finite()));
        }
    }
    let _ = check_values(data);
    let Ok(text) = utf8(data) else { return };
    let whole = read_rows(&model.row_schema, text, ErrorDetail::Whole);
    if let (Ok(rows), ListScan::Rows(segments)) = (&whole, split_list(data, 3, 1000)) {
        let parts: Vec<_> = segments
            .iter()
            .map(|segment| ["[", &text[segment.range.clone()], "]"].concat())
            .map(|part| read_rows(&model.row_schema, &part, ErrorDetail::Whole).map_or(0, |rows| rows.len()))
            .collect();
        assert_eq!(parts.iter().sum::<usize>(), rows.len());
    }
    assert_eq!(check_list(&model.row_schema, text).ok(), whole.ok().map(|rows| rows.len()));
}

/// A CSV table. Its predictions have as many lines as rows were counted.
pub fn csv_rows(data: &[u8]) {
    let mut output = Vec::new();
    if let Ok(summary) = csv::score(&LOADED, data, &mut output, &()) {
        assert!(summary.refused == 0 || summary.first_error.is_some());
    }
}

/// Rows as lines of JSON. There is a line of output for each row.
pub fn ndjson_rows(data: &[u8]) {
    let mut output = Vec::new();
    if let Ok(summary) = ndjson::score(&LOADED, data, &mut output, &()) {
        let lines = output.split(|byte| *byte == b'\n').count() as u64 - 1;
        assert_eq!(lines, summary.rows + summary.refused);
    }
}

/// An Arrow stream. Lengths in it are checked before memory is taken for them.
pub fn arrow_rows(data: &[u8]) {
    let mut output = Vec::new();
    let _ = arrow::score(&LOADED, data, &mut output, &(), ());
}

/// Files of models and preprocessors: what is read can be used. The bytes are read as they are, and with their length and digest corrected, so
/// that changes reach the decoder.
pub fn envelope(data: &[u8]) {
    read_envelopes(data);
    if let Some(corrected) = with_length_and_digest(data) {
        read_envelopes(&corrected);
    }
}

/// Bytes of an envelope before its payload, and of the digest after it.
const HEADER_BYTES: usize = 36;
const DIGEST_BYTES: usize = 32;

fn with_length_and_digest(data: &[u8]) -> Option<Vec<u8>> {
    let length = data.len().checked_sub(HEADER_BYTES + DIGEST_BYTES)?;
    let mut envelope = data[..HEADER_BYTES + length].to_vec();
    envelope[HEADER_BYTES - 8..HEADER_BYTES].copy_from_slice(&(length as u64).to_le_bytes());
    let digest = Sha256::digest(&envelope);
    envelope.extend(digest);
    Some(envelope)
}

fn read_envelopes(data: &[u8]) {
    let path = Path::new("file");
    let model = read_envelope_bytes_or_older::<ModelFile, ModelFileV1>(data, path, MODEL.into());
    if let Some(model) = model.ok().and_then(|file| Model::from_file(file).ok()) {
        let columns = vec![vec![1.0, f64::NAN]; model.file().features.len()];
        if !columns.is_empty() {
            assert_eq!(model.predict(&Matrix::new(columns)).len(), 2);
        }
    }
    let file = read_envelope_bytes::<PreprocessorFile>(data, path, PREPROCESSOR.into());
    let _ = file.map(Preprocessor::from_file);
}

/// The expression of a derived feature.
pub fn expression(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let columns = "table: {target: price, columns: {price: {type: float}, size: {type: float}, sold: {type: date}, place: {type: category}}}\n";
    let derive = serde_json::json!({"derive": {"derived": text}});
    let Ok(config) = PipelineConfig::parse(&format!("{columns}engineer: {derive}\n")) else { return };
    let Ok(schema) = Schema::from_section(&config.table) else { return };
    let _ = Plan::from_section(&schema, &config.engineer);
}

/// Models of LightGBM and XGBoost. A model that is read predicts a number, or none, for every row.
pub fn import(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(imported) = ImportedModel::parse(text) {
        let columns = vec![vec![0.5, f64::NAN]; imported.width.min(1000)];
        if imported.width <= 1000 {
            assert_eq!(imported.trees.predict(&columns, 2, EnsembleOutput { base: 0.0, factor: 1.0 }).len(), 2);
        }
    }
}

/// The head of a program.
pub fn elf(data: &[u8]) {
    let _ = package::architecture(data);
}

/// A public key, and a private one.
pub fn pem(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = package::PublicKey::read(text);
    let _ = package::PrivateKey::read(text, None);
}

/// The archive of a bundle: it is read within its limits. The bytes are read as they are, and as a tar that is compressed first, so that changes
/// reach its entries.
pub fn bundle_archive(data: &[u8]) {
    read_archive(data);
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(data).expect("memory");
    read_archive(&packed.finish().expect("memory"));
}

fn read_archive(packed: &[u8]) {
    let mut entries = BundleEntries::default();
    let mut bytes = 0;
    let limits = PackedLimits { entries: 100, bytes: 8 << 20 };
    let _ = visit_packed(packed, limits, &mut |entry, content| {
        let _ = entries.add(entry.path, entry);
        bytes += io::copy(content, &mut io::sink())?;
        Ok(())
    });
    assert!(bytes <= limits.bytes);
}
