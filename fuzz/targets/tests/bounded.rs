//! Drives every fuzz target for a bounded number of inputs: seeds, and seeds with a few changes. The inputs are the same in every run.

use std::{
    io::Read,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::ArrowError;
use fastrand::Rng;
use flate2::read::GzDecoder;
use fuzz_targets::TARGETS;

/// Inputs of each target at most.
const INPUTS: usize = 3000;
/// How long each target is driven at most.
const TIME: Duration = Duration::from_secs(2);

const ROW: &str =
    r#"{"sqft": 2000, "bedrooms": 3, "bathrooms": 2, "location": "Suburb", "year_built": 1990, "condition": "Good"}"#;

/// Inputs that a target understands.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates");
    let read = |path: &str| std::fs::read(format!("{golden}/{path}")).expect(path);
    let table = "sqft,bedrooms,bathrooms,location,year_built,condition\n2000,3,2,Suburb,1990,Good\n\"900\",1,1.5,Rural,,\n";
    match target {
        "json_rows" => vec![ROW.into(), format!("[{ROW}, {ROW},{ROW} ,{ROW}]").into()],
        "csv_rows" => vec![table.into()],
        "ndjson_rows" => vec![format!("{ROW}\n{ROW}\n").into()],
        "arrow_rows" => vec![arrow_stream()],
        "envelope" => ["package/golden/model_v1.bin", "package/golden/preprocessor_v1.bin", "package/golden/forest_v1.bin"]
            .map(read)
            .into(),
        "expression" => {
            ["size * 2 + log(size)", "year(sold) - 1990", "(size / 3) ** 2"].map(|text| text.as_bytes().to_vec()).into()
        }
        "import" => ["boosting/golden/lightgbm_numbers.txt", "boosting/golden/xgboost_squared.json"].map(read).into(),
        "elf" => vec![b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec()],
        "pem" => ["package/golden/key.pub", "package/golden/key.pem", "package/golden/cosign.key"].map(read).into(),
        "bundle_archive" => {
            let packed = read("package/golden/bundle_v1.tar.gz");
            let mut tar = Vec::new();
            GzDecoder::new(packed.as_slice()).read_to_end(&mut tar).expect("an archive");
            vec![packed, tar]
        }
        other => panic!("there are no seeds for {other}"),
    }
}

/// Two batches of two rows.
fn arrow_stream() -> Vec<u8> {
    let texts = |values: [&str; 2]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let numbers = |values: [f64; 2]| Arc::new(Float64Array::from(values.to_vec())) as ArrayRef;
    let batch = RecordBatch::try_from_iter([
        ("sqft", numbers([2000.0, 900.0])),
        ("bedrooms", numbers([3.0, f64::NAN])),
        ("bathrooms", numbers([2.0, 1.5])),
        ("location", texts(["Suburb", "Rural"])),
        ("year_built", numbers([1990.0, 1950.0])),
        ("condition", texts(["Good", "Fair"])),
    ]);
    let write = |batch: RecordBatch| {
        let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
        writer.write(&batch)?;
        writer.write(&batch)?;
        writer.finish()?;
        writer.into_inner()
    };
    batch.and_then(write).map_err(|error: ArrowError| error.to_string()).expect("a stream")
}

/// Changes a few places of an input: bytes are replaced, removed, doubled, or the end is cut off.
fn change(input: &mut Vec<u8>, rng: &mut Rng) {
    const BYTES: &[u8] = b"\0\x01\x7f\x80\xff\"\\{}[],:\n\r 09-+.eE(";
    for _ in 0..rng.usize(1..6) {
        if input.is_empty() {
            input.push(rng.u8(..));
        }
        let at = rng.usize(..input.len());
        match rng.u8(..6) {
            0 => input[at] = rng.u8(..),
            1 => input[at] = BYTES[rng.usize(..BYTES.len())],
            2 => drop(input.remove(at)),
            3 => input.truncate(at),
            4 => input.insert(at, BYTES[rng.usize(..BYTES.len())]),
            _ => {
                let end = (at + rng.usize(1..32)).min(input.len());
                let part = input[at..end].to_vec();
                input.splice(at..at, part);
            }
        }
    }
}

#[test]
fn no_target_panics_on_changed_inputs() {
    for (name, target) in TARGETS {
        let (seeds, mut rng) = (seeds(name), Rng::with_seed(7));
        seeds.iter().for_each(|seed| target(seed));
        let started = Instant::now();
        for _ in 0..INPUTS {
            let mut input = seeds[rng.usize(..seeds.len())].clone();
            change(&mut input, &mut rng);
            target(&input);
            if started.elapsed() > TIME {
                break;
            }
        }
    }
}
