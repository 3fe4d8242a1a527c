//! `package verify`: is a bundle what it claims to be?

use std::path::Path;

use artifact::{ArtifactError, BundleFiles, BundleManifest, read_bundle};
use cli::{No, Outcome};
use predictor::{MODEL_FILE, PREPROCESSOR_FILE, Predictor};
use serde::Serialize;

#[derive(Serialize)]
struct Summary<'a> {
    status: &'static str,
    bundle: &'a Path,
    name: &'a str,
    content_id: &'a str,
    files: usize,
}

/// Checks a bundle, folder or archive.
///
/// # Errors
/// If there is none; or ([`No`]) if it is damaged, altered, or its parts do not belong together.
pub fn verify(path: &Path) -> anyhow::Result<Outcome> {
    let files = read_bundle(path).map_err(|error| match error {
        ArtifactError::NotABundle { .. } => No(error.to_string()).into(),
        error => anyhow::Error::from(error),
    })?;
    let manifest = check(&files).map_err(|fault| No(format!("{}: is not a sound bundle: {fault}", path.display())))?;
    let data = Summary {
        status: "sound",
        bundle: path,
        name: &manifest.name,
        content_id: &manifest.content_id,
        files: manifest.files.len(),
    };
    let human = format!(
        "verify    sound: {} {}, {} files, every digest as listed; model and preprocessor belong together",
        manifest.name,
        manifest.content_id,
        manifest.files.len()
    );
    Ok(Outcome::done(&data, human))
}

/// Checks the files of a bundle; returns its manifest.
pub(crate) fn check(files: &BundleFiles) -> Result<BundleManifest, String> {
    let manifest = BundleManifest::of(files)?;
    open(files)?;
    Ok(manifest)
}

/// The model and the preprocessor among `files`, if both can be used and belong together.
pub(crate) fn open(files: &BundleFiles) -> Result<Predictor, String> {
    let file = |name: &'static str| {
        files.get(name).map(|bytes| (Path::new(name), bytes.as_slice())).ok_or_else(|| format!("{name} is missing"))
    };
    Predictor::of_bytes(file(MODEL_FILE)?, file(PREPROCESSOR_FILE)?).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use artifact::{decode_envelope, encode_envelope, read_envelope_bytes, read_envelope_bytes_or_older};
    use features::{Fitter, PREPROCESSOR, Plan, Preprocessor, PreprocessorFile};
    use model::{Explainer, Linear, MODEL, Matrix, Model, ModelFile, ModelFileV1, Regressor, TargetTransform};
    use schema::{Categories, PipelineConfig, Schema, Table, Values};

    use super::*;

    fn table() -> Table {
        let mut table = Table::new(3);
        table.push("size", Values::Number(vec![1.0, 2.0, f64::NAN]));
        table.push("place", Values::Category(Categories { codes: vec![0, 1, 0], levels: vec!["a".into(), "b".into()] }));
        table
    }

    fn preprocessor() -> Preprocessor {
        let text = "table: {target: price, columns: {price: {type: float}, size: {type: float}, place: {type: category}}}\n\
                    engineer: {derive: {double: size * 2}, unknown_category: other}\n";
        let config = PipelineConfig::parse(text).unwrap();
        let plan = Plan::check(&Schema::check(&config.table).unwrap(), &config.engineer).unwrap();
        let mut fitter = Fitter::new(&plan);
        fitter.update(&table(), &[true; 3]);
        fitter.finish().unwrap()
    }

    fn model_file(features: &[String]) -> ModelFile {
        ModelFile {
            name: "m".into(),
            algorithm: "Ridge".into(),
            target: "price".into(),
            target_transform: TargetTransform::None,
            features: features.to_vec(),
            preprocessor: "0".repeat(64),
            schema: "s".into(),
            seed: 1,
            train_rows: 3,
            regressor: Regressor::Linear(Linear { intercept: 1.0, coefficients: vec![2.0; features.len()] }),
            means: vec![0.5; features.len()],
            interval: None,
        }
    }

    /// Opens and uses a sealed preprocessor or model; what comes of it does not matter, as long as nothing panics.
    fn use_preprocessor(bytes: &[u8]) -> Result<(), String> {
        let file: PreprocessorFile =
            read_envelope_bytes(bytes, Path::new("p.bin"), PREPROCESSOR.into()).map_err(|error| error.to_string())?;
        let preprocessor = Preprocessor::check(file).map_err(|error| error.to_string())?;
        let features = preprocessor.transform(&table()).map_err(|error| error.to_string())?;
        assert_eq!(features.len(), preprocessor.feature_names().len());
        Ok(())
    }

    fn use_model(bytes: &[u8]) -> Result<(), String> {
        let file: ModelFile =
            read_envelope_bytes(bytes, Path::new("m.bin"), MODEL.into()).map_err(|error| error.to_string())?;
        let model = Model::check(file).map_err(|error| error.to_string())?;
        let columns = vec![vec![1.0, 2.0]; model.file().features.len()];
        if !columns.is_empty() {
            assert_eq!(model.predict(&Matrix::new(columns)).len(), 2);
        }
        Ok(())
    }

    fn check_every_byte(sealed: &[u8], kind: (&'static str, u32), open: fn(&[u8]) -> Result<(), String>) {
        open(sealed).unwrap();
        for place in 0..sealed.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut broken = sealed.to_vec();
                broken[place] ^= flip;
                assert!(open(&broken).is_err(), "byte {place} flipped by {flip:#x} went unnoticed");
            }
            assert!(open(&sealed[..place]).is_err(), "cut at {place} went unnoticed");
        }
        // an attacker seals the file again: it may be refused or used, but nothing may crash
        let payload = decode_envelope(sealed, Path::new("x"), kind.into()).unwrap().to_vec();
        for place in 0..payload.len() {
            for value in [0, 1, 2, 0x7f, 0xfb, 0xfc, 0xfd, 0xff] {
                let mut crafted = payload.clone();
                crafted[place] = value;
                let _ = open(&seal(&crafted, kind));
            }
        }
    }

    /// An envelope around bytes that are no valid payload.
    fn seal(payload: &[u8], kind: (&'static str, u32)) -> Vec<u8> {
        use sha2::{Digest as _, Sha256};
        // a unit payload gives the header; its length is then that of the crafted one
        let mut bytes = encode_envelope(kind.into(), &()).unwrap()[..36].to_vec();
        bytes[28..36].copy_from_slice(&(payload.len() as u64).to_le_bytes());
        bytes.extend(payload);
        let digest = Sha256::digest(&bytes);
        bytes.extend(digest);
        bytes
    }

    /// Files of format version 1, written by version 0.1.0 from 300 generated houses, must be read for ever.
    #[test]
    fn files_of_version_1_predict_what_they_did() {
        let here = std::env::var("CARGO_MANIFEST_DIR").unwrap();
        let golden = |name: &str| std::fs::read(Path::new(&here).join("golden").join(name)).unwrap();
        let (model_bytes, preprocessor_bytes) = (golden("model_v1.bin"), golden("preprocessor_v1.bin"));
        let (m, p) = (Path::new("m"), Path::new("p"));
        let predictor = Predictor::of_bytes((m, &model_bytes), (p, &preprocessor_bytes)).unwrap();
        let open = |bytes: &[u8]| {
            let file = read_envelope_bytes_or_older::<ModelFile, ModelFileV1>(bytes, Path::new("m"), MODEL.into());
            Model::check(file.unwrap()).unwrap()
        };
        let mut houses = Table::new(2);
        for (name, values) in [
            ("sqft", [2000.0, 4000.0]),
            ("bedrooms", [3.0, 5.0]),
            ("bathrooms", [2.0, 4.0]),
            ("year_built", [1990.0, f64::NAN]),
        ] {
            houses.push(name, Values::Number(values.to_vec()));
        }
        for (name, levels) in [("location", ["Suburb", "Waterfront"]), ("condition", ["Good", "Excellent"])] {
            let levels = levels.map(String::from).to_vec();
            houses.push(name, Values::Category(Categories { codes: vec![0, 1], levels }));
        }
        let predicted = predictor.predict(&houses).unwrap();
        for (found, expected) in predicted.iter().zip([266_127.993_748_001_35, 369_508.021_745_781_1]) {
            assert!((found / expected - 1.0).abs() < 1e-12, "{found} is not {expected}");
        }
        let forest = open(&golden("forest_v1.bin"));
        let row = [2045.0, 3.0, 2.0, 1967.0, 59.0, 1.5, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0];
        let found = forest.predict(&Matrix::new(row.map(|cell| vec![cell]).to_vec()))[0];
        assert!((found / 311_533.640_909_658_2 - 1.0).abs() < 1e-12, "{found}");
        assert!(Explainer::new(&forest).unwrap_err().contains("do not know how many training rows"));
    }

    #[test]
    fn every_byte_of_a_preprocessor_is_guarded() {
        let sealed = encode_envelope(PREPROCESSOR.into(), preprocessor().file()).unwrap();
        check_every_byte(&sealed, PREPROCESSOR, use_preprocessor);
    }

    #[test]
    fn every_byte_of_a_model_is_guarded() {
        let sealed = encode_envelope(MODEL.into(), &model_file(preprocessor().feature_names())).unwrap();
        check_every_byte(&sealed, MODEL, use_model);
    }
}
