//! Builds a container image of a bundle and a static `serve`, without a container engine (`package image`).

pub(crate) mod build;
pub(crate) mod elf;
pub(crate) mod layout;
pub(crate) mod oci_registry;
pub(crate) mod provenance;
pub(crate) mod push;
pub(crate) mod sbom;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use artifact::{Digest, Mark, OutputKind, RunPaths, read_bounded, write_atomically};
use cli::{Outcome, Progress};
use oci_spec::image::{Arch, Descriptor, MediaType};
use serde::Serialize;

use crate::{
    args::ImageArgs,
    image::{
        build::{build_platform, manifest_digest},
        layout::{ImageLayout, KIND_ANNOTATION, NAME_ANNOTATION, index_of},
        provenance::Material,
        push::push_image,
    },
};

/// Maximum bytes of a program; `serve` has 13 MB.
const MAX_PROGRAM_BYTES: u64 = 1 << 30;

#[derive(Serialize)]
struct Summary<'a> {
    status: &'static str,
    image: &'a Path,
    digest: String,
    platforms: Vec<String>,
    name: &'a str,
    content_id: &'a str,
    /// Bytes of the compressed layers of the first platform: program, model.
    layers: Vec<u64>,
    sbom: &'a Path,
    provenance: &'a Path,
    pushed: Option<&'a str>,
}

/// Writes the image, and pushes it if requested.
///
/// # Errors
/// If the bundle is invalid, a program cannot run in an empty image, or something cannot be written or pushed.
pub(crate) fn image(args: &ImageArgs, progress: &Progress) -> anyhow::Result<Outcome> {
    let push = args.push.as_deref().map(oci_registry::parse_reference).transpose()?;
    let (sbom_path, provenance_path) = check_paths(args)?;
    layout::clear_abandoned(&args.output);
    let files = model_source::bundle::read(&args.bundle)?;
    let (bundle, _) = model_source::bundle::open(&args.bundle, &files)?;
    let lock = match &args.lock {
        Some(path) => cli::read_text(path, "--lock")?,
        None => sbom::OWN_LOCK_FILE.to_owned(),
    };
    let mut materials = vec![
        Material { name: format!("bundle {}", bundle.folder()), digest: manifest_digest(&files) },
        Material { name: "Cargo.lock".into(), digest: Digest::of_bytes(lock.as_bytes()) },
    ];
    let mut programs: BTreeMap<String, (Arch, Vec<u8>)> = BTreeMap::new();
    for path in &args.serve {
        let bytes = read_bounded(path, MAX_PROGRAM_BYTES).context("--serve")?;
        let arch = elf::architecture(&bytes).with_context(|| format!("--serve {}", path.display()))?;
        materials.push(Material { name: format!("serve for {arch}"), digest: Digest::of_bytes(&bytes) });
        let before = programs.insert(arch.to_string(), (arch, bytes));
        ensure!(before.is_none(), "--serve {}: another program is for the same processor", path.display());
    }

    let mut layout = ImageLayout::default();
    let mut manifests = Vec::new();
    for (arch, program) in programs.values() {
        manifests.push(build_platform(&mut layout, arch, program, &bundle, &files)?);
    }
    let platforms: Vec<String> = programs.keys().map(|arch| format!("linux/{arch}")).collect();
    let tag = args.tag.clone().or_else(|| push.as_ref().and_then(|push| push.tag().map(str::to_owned)));
    let tag = tag.unwrap_or_else(|| bundle.content_id.clone());
    let (image, kind) = if let [one] = manifests.as_slice() {
        (one.clone(), "dev.cosignproject.cosign/image")
    } else {
        (layout.add_json(MediaType::ImageIndex, &index_of(manifests)?)?, "dev.cosignproject.cosign/imageIndex")
    };
    layout.add_entry(image.clone(), &[(NAME_ANNOTATION, &tag), (KIND_ANNOTATION, kind)]);
    let digest = image.digest().to_string();
    let name = push.as_ref().map_or(bundle.name.clone(), |push| format!("{}/{}", push.registry(), push.repository()));
    let bill = sbom::cyclonedx(&lock, (&name, &digest), &bundle, &files)?;
    let commit = cli::commit();
    let statement =
        provenance::slsa_statement((&name, &digest), &bundle, &materials, args.builder_id.as_deref(), commit.as_deref());
    // an existing image is replaced when nothing can fail any more, except writing
    layout.write(&args.output)?;
    write_json(&sbom_path, &bill)?;
    write_json(&provenance_path, &statement)?;

    let pushed = match push {
        Some(reference) => {
            progress.detail(format!("pushing to {reference}"));
            Some(push_image(reference, &layout)?)
        }
        None => None,
    };
    let sizes: Vec<u64> = layout.manifests()?[0].1.layers().iter().map(Descriptor::size).collect();
    let human = format!(
        "image     done: {} for {}, {digest}\n          layers of {} → {}{}",
        bundle.folder(),
        platforms.join(" and "),
        sizes.iter().map(|bytes| format!("{:.1} MB", *bytes as f64 / 1e6)).collect::<Vec<_>>().join(" and "),
        args.output.display(),
        pushed.as_ref().map_or(String::new(), |pushed| format!("\n          → {pushed}"))
    );
    let summary = Summary {
        status: "done",
        image: &args.output,
        digest,
        platforms,
        name: &name,
        content_id: &bundle.content_id,
        layers: sizes,
        sbom: &sbom_path,
        provenance: &provenance_path,
        pushed: pushed.as_deref(),
    };
    Ok(Outcome::done(&summary, human))
}

const BILL_KIND: OutputKind = OutputKind { name: "a CycloneDX bill of materials", mark: Mark::Json("bomFormat") };
const PROVENANCE_KIND: OutputKind = OutputKind { name: "an in-toto statement", mark: Mark::Json("_type") };

/// Checks that no input would be overwritten; returns the paths of the bill of materials and the provenance.
fn check_paths(args: &ImageArgs) -> anyhow::Result<(PathBuf, PathBuf)> {
    // `image/` and `image` are one folder; the other files are beside it, not in it
    let output: PathBuf = args.output.components().collect();
    let beside = |suffix: &str| {
        let mut path = output.clone().into_os_string();
        path.push(suffix);
        PathBuf::from(path)
    };
    let (sbom, provenance) = (beside(".sbom.cdx.json"), beside(".provenance.json"));
    let paths = RunPaths::default().input("BUNDLE", &args.bundle);
    let paths = args.serve.iter().fold(paths, |paths, serve| paths.input("--serve", serve));
    let paths = args.lock.iter().fold(paths, |paths, lock| paths.input("--lock", lock));
    paths
        .output_folder("--output", &args.output)
        .output_of_kind("the bill of materials of --output", &sbom, BILL_KIND)
        .output_of_kind("the provenance of --output", &provenance, PROVENANCE_KIND)
        .check()?;
    Ok((sbom, provenance))
}

fn write_json(path: &Path, value: &serde_json::Value) -> anyhow::Result<()> {
    write_atomically(path, format!("{}\n", serde_json::to_string_pretty(value)?).as_bytes())?;
    Ok(())
}
