//! What predicts among the files of a bundle.

use std::path::Path;

use artifact::{BundleFiles, BundleManifest};

use crate::{MODEL_FILE, PREPROCESSOR_FILE, Predictor};

/// The manifest of a bundle, and what predicts. Every file is the listed one, model and preprocessor belong together, and name and schema in
/// the manifest are those in the model.
///
/// # Errors
/// Names what is wrong.
pub fn open_bundle(files: &BundleFiles) -> Result<(BundleManifest, Predictor), String> {
    let manifest = BundleManifest::from_files(files)?;
    let predictor = open_files(files)?;
    let model = predictor.model().file();
    for (what, listed, found) in [("name", &manifest.name, &model.name), ("schema", &manifest.schema, &model.schema)] {
        if listed != found {
            return Err(format!("its {what} is {listed:?} in manifest.json and {found:?} in {MODEL_FILE}"));
        }
    }
    Ok((manifest, predictor))
}

/// The model and the preprocessor among `files`, if both can be used and belong together.
///
/// # Errors
/// Names what is wrong.
pub fn open_files(files: &BundleFiles) -> Result<Predictor, String> {
    let file = |name: &'static str| {
        files.get(name).map(|bytes| (Path::new(name), bytes.as_slice())).ok_or_else(|| format!("{name} is missing"))
    };
    Predictor::of_bytes(file(MODEL_FILE)?, file(PREPROCESSOR_FILE)?).map_err(|error| error.to_string())
}
