//! `package verify`: is a bundle what it claims to be?

use std::path::Path;

use artifact::{Digest, read_envelope_bytes};
use cli::{No, Outcome};
use features::{PREPROCESSOR, Preprocessor, PreprocessorFile};
use model::{MODEL, Model, ModelFile};
use serde::Serialize;

use crate::bundle::{BundleManifest, Files, MANIFEST, read};

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
    let files = read(path)?;
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
pub(crate) fn check(files: &Files) -> Result<BundleManifest, String> {
    let get = |name: &str| files.get(name).ok_or_else(|| format!("{name} is missing"));
    let manifest: BundleManifest =
        serde_json::from_slice(get(MANIFEST)?).map_err(|error| format!("{MANIFEST} cannot be read: {error}"))?;
    manifest.check(files)?;
    let (model_bytes, preprocessor_bytes) = (get("model.bin")?, get("preprocessor.bin")?);
    let file: ModelFile =
        read_envelope_bytes(model_bytes, Path::new("model.bin"), MODEL.into()).map_err(|error| error.to_string())?;
    let model = Model::check(file).map_err(|error| error.to_string())?;
    let file: PreprocessorFile = read_envelope_bytes(preprocessor_bytes, Path::new("preprocessor.bin"), PREPROCESSOR.into())
        .map_err(|error| error.to_string())?;
    let preprocessor = Preprocessor::check(file).map_err(|error| error.to_string())?;
    if Digest::of_bytes(preprocessor_bytes).hex() != model.file().preprocessor {
        return Err("preprocessor.bin is not the preprocessor that model.bin was trained with".into());
    }
    let made = preprocessor.feature_names();
    if let Some(feature) = model.file().features.iter().find(|feature| !made.contains(feature)) {
        return Err(format!("the model takes the feature \"{feature}\", which the preprocessor does not make"));
    }
    Ok(manifest)
}
