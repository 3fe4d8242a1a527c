//! Opens the predictor of a bundle.

use std::path::Path;

use artifact::{BundleFiles, BundleManifest};

use crate::{MODEL_FILE, PREPROCESSOR_FILE, Predictor};

/// Opens the manifest and the predictor of a bundle. All files must match their digests, model and preprocessor must belong together, and
/// the manifest must have the name and schema of the model.
///
/// # Errors
/// Names the problem.
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

/// Opens the model and the preprocessor among `files`, which must be valid and belong together.
///
/// # Errors
/// Names the problem.
pub fn open_files(files: &BundleFiles) -> Result<Predictor, String> {
    let file = |name: &'static str| {
        files.get(name).map(|bytes| (Path::new(name), bytes.as_slice())).ok_or_else(|| format!("{name} is missing"))
    };
    Predictor::from_bytes(file(MODEL_FILE)?, file(PREPROCESSOR_FILE)?).map_err(|error| error.to_string())
}
