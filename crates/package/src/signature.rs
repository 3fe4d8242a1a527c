//! Signs files and images (`package sign`) in two forms that cosign verifies, too. The Sigstore bundle is `<file>.sigstore.json`, or an
//! artifact that refers to an image. The older form is `<file>.sig`, or an image's signature tag.

pub(crate) mod cosign_key;
pub(crate) mod key;
pub(crate) mod sigstore;
pub(crate) mod simple_signing;

use std::path::Path;

use anyhow::{Context, ensure};
use artifact::{Mark, OutputKind, RunPaths, read_bounded, write_atomically};
use cli::Outcome;
use serde::Serialize;

use crate::{
    args::SignArgs,
    image::{
        layout::{ImageLayout, clear_abandoned, is_layout},
        oci_registry,
        push::push_image,
    },
    signature::{
        key::{PrivateKey, read_key},
        simple_signing::{
            LEGACY_SUFFIX, MAX_SIGNED_BYTES, SIGSTORE_BUNDLE_SUFFIX, attach, attach_bundle, payload, with_suffix,
        },
    },
};

/// The variable with the password of an encrypted key, the same as cosign's.
const PASSWORD_VARIABLE: &str = "COSIGN_PASSWORD";

#[derive(Serialize)]
struct Summary<'a> {
    status: &'static str,
    signed: &'a Path,
    signature: Option<&'a Path>,
    /// The Sigstore bundle of a file.
    sigstore_bundle: Option<&'a Path>,
    digest: Option<String>,
    pushed: Option<&'a str>,
}

/// Signs a file or an image layout.
///
/// # Errors
/// If the key cannot be used, or something cannot be read, written or pushed.
pub(crate) fn sign(args: &SignArgs) -> anyhow::Result<Outcome> {
    let path = args.path.as_path();
    check_paths(args)?;
    let password = cli::variable(PASSWORD_VARIABLE);
    let key = PrivateKey::read(&read_key(&args.key)?, password.as_deref()).with_context(|| format!("--key {}", args.key))?;
    if !is_layout(path) {
        ensure!(args.push.is_none(), "--push: only images can be pushed; {} is no image", path.display());
        ensure!(path.is_file(), "{}: is neither a file nor an image layout", path.display());
        let bytes = read_bounded(path, MAX_SIGNED_BYTES)?;
        let signature = key.sign(&bytes)?;
        let (bundle, with_suffix) = (with_suffix(path, SIGSTORE_BUNDLE_SUFFIX), with_suffix(path, LEGACY_SUFFIX));
        write_atomically(&bundle, format!("{}\n", sigstore::bundle_for_file(&bytes, &signature, &key.public())).as_bytes())?;
        write_atomically(&with_suffix, format!("{signature}\n").as_bytes())?;
        let summary = Summary {
            status: "signed",
            signed: path,
            signature: Some(&with_suffix),
            sigstore_bundle: Some(&bundle),
            digest: None,
            pushed: None,
        };
        return Ok(Outcome::done(&summary, format!("sign      done: {} and {LEGACY_SUFFIX}", bundle.display())));
    }
    let push = args.push.as_deref().map(oci_registry::parse_reference).transpose()?;
    clear_abandoned(path);
    let mut layout = ImageLayout::read(path)?;
    layout.keep_image_alone()?;
    let image = layout.image()?.clone();
    let digest = image.digest().to_string();
    let name =
        push.as_ref().map_or("localhost/image".to_owned(), |push| format!("{}/{}", push.registry(), push.repository()));
    let payload = payload(&name, &digest);
    let signature = key.sign(&payload)?;
    attach(&mut layout, &image, payload, &signature)?;
    attach_bundle(&mut layout, &image, &sigstore::bundle_for_image(image.digest().digest(), &key)?)?;
    layout.write(path)?;
    let pushed = push.map(|reference| push_image(reference, &layout)).transpose()?;
    let human = format!(
        "sign      done: {digest} in {}{}",
        path.display(),
        pushed.as_ref().map_or(String::new(), |pushed| format!("\n          → {pushed}"))
    );
    let summary = Summary {
        status: "signed",
        signed: path,
        signature: None,
        sigstore_bundle: None,
        digest: Some(digest),
        pushed: pushed.as_deref(),
    };
    Ok(Outcome::done(&summary, human))
}

const SIGSTORE_KIND: OutputKind = OutputKind { name: "a Sigstore bundle", mark: Mark::Json("mediaType") };
const SIGNATURE_KIND: OutputKind = OutputKind { name: "a signature of this program", mark: Mark::Base64 };

/// Checks that the key is not overwritten: by the signature of a file, or in the folder of an image, which is replaced.
fn check_paths(args: &SignArgs) -> anyhow::Result<()> {
    let paths = key::file(&args.key).into_iter().fold(RunPaths::default(), |paths, key| paths.input("--key", key));
    let paths = if is_layout(&args.path) {
        paths.output_folder("PATH", &args.path)
    } else {
        let with_suffix = |end| with_suffix(&args.path, end);
        let paths = paths.input("PATH", &args.path);
        let paths = paths.output_of_kind("the Sigstore bundle of PATH", &with_suffix(SIGSTORE_BUNDLE_SUFFIX), SIGSTORE_KIND);
        paths.output_of_kind("the signature of PATH", &with_suffix(LEGACY_SUFFIX), SIGNATURE_KIND)
    };
    Ok(paths.check()?)
}
