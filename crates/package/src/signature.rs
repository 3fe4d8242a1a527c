//! `package sign`: signatures that cosign verifies, too, in two forms. One is the Sigstore bundle: `<file>.sigstore.json` beside a file, an artifact
//! that refers to an image. The other, older one is `<file>.sig`, and for an image the tag where cosign looks for it.

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
        layout::{Layout, clear_abandoned, is_layout},
        oci_registry,
        push::send,
    },
    signature::{
        key::{PrivateKey, given},
        simple_signing::{LEGACY, MAX_SIGNED_BYTES, SIGSTORE_BUNDLE, attach, attach_bundle, beside, payload},
    },
};

/// The variable that holds the password of an encrypted key, as cosign has it.
const PASSWORD: &str = "COSIGN_PASSWORD";

#[derive(Serialize)]
struct Summary<'a> {
    status: &'static str,
    signed: &'a Path,
    signature: Option<&'a Path>,
    /// The Sigstore bundle beside a file.
    sigstore_bundle: Option<&'a Path>,
    digest: Option<String>,
    pushed: Option<&'a str>,
}

/// Signs a file or an image layout.
///
/// # Errors
/// If the key cannot be used, or something cannot be read, written or pushed.
pub(crate) fn sign(args: &SignArgs) -> anyhow::Result<Outcome> {
    let path = args.what.as_path();
    check_paths(args)?;
    let password = cli::variable(PASSWORD);
    let key = PrivateKey::read(&given(&args.key)?, password.as_deref()).with_context(|| format!("--key {}", args.key))?;
    if !is_layout(path) {
        ensure!(args.push.is_none(), "--push is for images; {} is none", path.display());
        ensure!(path.is_file(), "{}: is neither a file nor an image layout", path.display());
        let bytes = read_bounded(path, MAX_SIGNED_BYTES)?;
        let signature = key.sign(&bytes)?;
        let (bundle, beside) = (beside(path, SIGSTORE_BUNDLE), beside(path, LEGACY));
        write_atomically(&bundle, format!("{}\n", sigstore::of_file(&bytes, &signature, &key.public())).as_bytes())?;
        write_atomically(&beside, format!("{signature}\n").as_bytes())?;
        let summary = Summary {
            status: "signed",
            signed: path,
            signature: Some(&beside),
            sigstore_bundle: Some(&bundle),
            digest: None,
            pushed: None,
        };
        return Ok(Outcome::done(&summary, format!("sign      done: {} and {LEGACY}", bundle.display())));
    }
    let push = args.push.as_deref().map(oci_registry::parse).transpose()?;
    clear_abandoned(path);
    let mut layout = Layout::read(path)?;
    layout.keep_image_alone()?;
    let image = layout.image()?.clone();
    let digest = image.digest().to_string();
    let name =
        push.as_ref().map_or("localhost/image".to_owned(), |push| format!("{}/{}", push.registry(), push.repository()));
    let payload = payload(&name, &digest);
    let signature = key.sign(&payload)?;
    attach(&mut layout, &image, payload, &signature)?;
    attach_bundle(&mut layout, &image, &sigstore::of_image(image.digest().digest(), &key)?)?;
    layout.write(path)?;
    let pushed = push.map(|reference| send(reference, &layout)).transpose()?;
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

const BUNDLE: OutputKind = OutputKind { name: "a Sigstore bundle", mark: Mark::Json("mediaType") };
const SIGNATURE_FILE: OutputKind = OutputKind { name: "a signature of this program", mark: Mark::Base64 };

/// That the key is not written over: by the signature of a file, or as a file in the folder of an image, which is replaced.
fn check_paths(args: &SignArgs) -> anyhow::Result<()> {
    let paths = key::file(&args.key).into_iter().fold(RunPaths::default(), |paths, key| paths.input("--key", key));
    let paths = if is_layout(&args.what) {
        paths.output_folder("PATH", &args.what)
    } else {
        let beside = |end| beside(&args.what, end);
        let paths = paths.input("PATH", &args.what);
        let paths = paths.output_of_kind("the Sigstore bundle of PATH", &beside(SIGSTORE_BUNDLE), BUNDLE);
        paths.output_of_kind("the signature of PATH", &beside(LEGACY), SIGNATURE_FILE)
    };
    Ok(paths.check()?)
}
