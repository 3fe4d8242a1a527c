//! `package image`: a bundle and a static `serve` as a container image, without a container engine.

pub(crate) mod elf;
pub(crate) mod layout;
pub(crate) mod oci_registry;
pub(crate) mod provenance;
pub(crate) mod sbom;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use artifact::{BundleFiles, BundleManifest, Digest, Mark, OutputKind, RunPaths, read_bounded, write_atomically};
use cli::{Outcome, Progress};
use oci_spec::image::{
    Arch, ConfigBuilder, Descriptor, HistoryBuilder, ImageConfigurationBuilder, ImageManifestBuilder, MediaType, Os,
    PlatformBuilder, RootFsBuilder, SCHEMA_VERSION,
};
use predictor::open_bundle;
use serde::Serialize;

use crate::{
    args::ImageArgs,
    commands::verify::{TITLE, VERSION, read_sound_bundle},
    signature::{is_legacy, tag_of},
};
use layout::{Entry, KIND, Layer, Layout, NAME, index_of};
use oci_registry::Repository;
use provenance::Material;

/// Where the bundle is in the image.
pub(crate) const MODEL_FOLDER: &str = "model";
/// Nobody in particular: the user and the group of "nonroot" in distroless images.
const USER: u32 = 65532;
/// The same bytes must come of the same content, so that an image has no birthday.
const CREATED: &str = "1970-01-01T00:00:00Z";
/// A server has 13 MB.
const MAX_PROGRAM_BYTES: u64 = 1 << 30;
const PORTS: [&str; 2] = ["8000/tcp", "8001/tcp"];

#[derive(Serialize)]
struct Summary<'a> {
    status: &'static str,
    image: &'a Path,
    digest: String,
    platforms: Vec<String>,
    name: &'a str,
    content_id: &'a str,
    /// Bytes of the compressed layers of the first platform: programs, model.
    layers: Vec<u64>,
    sbom: &'a Path,
    provenance: &'a Path,
    pushed: Option<&'a str>,
}

/// Writes the image, and pushes it where that is asked for.
///
/// # Errors
/// If the bundle is not sound, a program is none that runs in an empty image, or something cannot be written or pushed.
pub(crate) fn image(args: &ImageArgs, progress: &Progress) -> anyhow::Result<Outcome> {
    let push = args.push.as_deref().map(oci_registry::parse).transpose()?;
    let (sbom_path, provenance_path) = check_paths(args)?;
    layout::clear_abandoned(&args.output);
    let files = read_sound_bundle(&args.bundle)?;
    let (bundle, _) = open_bundle(&files)
        .map_err(|fault| cli::No(format!("{}: is not a sound bundle: {fault}", args.bundle.display())))?;
    let lock = match &args.lock {
        Some(path) => cli::read_text(path, "--lock")?,
        None => sbom::LOCK.to_owned(),
    };
    let mut materials = vec![
        Material { name: format!("bundle {}", bundle.folder()), digest: digest_of(&files) },
        Material { name: "Cargo.lock".into(), digest: Digest::of_bytes(lock.as_bytes()) },
    ];
    let mut programs: BTreeMap<String, (Arch, Vec<u8>)> = BTreeMap::new();
    for path in &args.serve {
        let bytes = read_bounded(path, MAX_PROGRAM_BYTES).context("--serve")?;
        let arch = elf::architecture(&bytes).with_context(|| format!("--serve {}", path.display()))?;
        materials.push(Material { name: format!("serve for {arch}"), digest: Digest::of_bytes(&bytes) });
        let before = programs.insert(arch.to_string(), (arch, bytes));
        ensure!(before.is_none(), "--serve {}: there is another one for the same processor", path.display());
    }

    let mut layout = Layout::default();
    let mut manifests = Vec::new();
    for (arch, program) in programs.values() {
        manifests.push(platform(&mut layout, arch, program, &bundle, &files)?);
    }
    let platforms: Vec<String> = programs.keys().map(|arch| format!("linux/{arch}")).collect();
    let tag = args.tag.clone().or_else(|| push.as_ref().and_then(|push| push.tag().map(str::to_owned)));
    let tag = tag.unwrap_or_else(|| bundle.content_id.clone());
    let (top, kind) = if let [one] = manifests.as_slice() {
        (one.clone(), "dev.cosignproject.cosign/image")
    } else {
        (layout.put_json(MediaType::ImageIndex, &index_of(manifests)?)?, "dev.cosignproject.cosign/imageIndex")
    };
    layout.name(top.clone(), &[(NAME, &tag), (KIND, kind)]);
    let digest = top.digest().to_string();
    let name = push.as_ref().map_or(bundle.name.clone(), |push| format!("{}/{}", push.registry(), push.repository()));
    let bill = sbom::draw_up(&lock, (&name, &digest), &bundle, &files)?;
    let commit = cli::commit();
    let stated = provenance::state((&name, &digest), &bundle, &materials, args.builder_id.as_deref(), commit.as_deref());
    // an image that stands there is replaced once nothing can be refused any more
    layout.write(&args.output)?;
    write_json(&sbom_path, &bill)?;
    write_json(&provenance_path, &stated)?;

    let pushed = match push {
        Some(reference) => {
            progress.detail(format!("pushing to {reference}"));
            Some(send(reference, &layout)?)
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

const BILL: OutputKind = OutputKind { name: "a CycloneDX bill of materials", mark: Mark::Json("bomFormat") };
const PROVENANCE: OutputKind = OutputKind { name: "an in-toto statement", mark: Mark::Json("_type") };

/// That nothing which is read is written; returns where the bill of materials and the provenance go.
fn check_paths(args: &ImageArgs) -> anyhow::Result<(PathBuf, PathBuf)> {
    // `image/` and `image` are one folder; what lies beside it does not lie in it
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
        .output_of_kind("the bill of materials of --output", &sbom, BILL)
        .output_of_kind("the provenance of --output", &provenance, PROVENANCE)
        .check()?;
    Ok((sbom, provenance))
}

#[derive(Serialize)]
struct Pushed<'a> {
    status: &'static str,
    image: &'a Path,
    digest: String,
    pushed: &'a str,
}

/// `package push`.
///
/// # Errors
/// If there is no sound image, or the registry cannot be reached or does not take it.
pub(crate) fn push(path: &Path, to: &str) -> anyhow::Result<Outcome> {
    let reference = oci_registry::parse(to)?;
    let layout = Layout::read(path)?;
    let digest = layout.image()?.digest().to_string();
    let pushed = send(reference, &layout)?;
    let summary = Pushed { status: "pushed", image: path, digest, pushed: &pushed };
    Ok(Outcome::done(&summary, format!("push      done: {pushed}")))
}

/// Pushes an image, and what its layout holds beside it: signatures of both forms; returns `REGISTRY/NAME@DIGEST`.
///
/// # Errors
/// If the registry cannot be reached or does not take it.
pub(crate) fn send(reference: oci_client::Reference, layout: &Layout) -> anyhow::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let repository = Repository::open(reference).await?;
        repository.push_image(layout).await?;
        let image = layout.image()?;
        for entry in layout.entries().iter().skip(1) {
            if is_legacy(entry) {
                repository.push_signature(layout, entry, &tag_of(image)).await?;
            } else {
                repository.push_referrer(layout, entry).await?;
            }
        }
        Ok(repository.pinned(layout.image()?))
    })
}

/// The image for one platform: a layer with the program, which stays the same from model to model, and one with the bundle.
fn platform(
    layout: &mut Layout,
    arch: &Arch,
    program: &[u8],
    bundle: &BundleManifest,
    files: &BundleFiles,
) -> anyhow::Result<Descriptor> {
    let users = format!("nonroot:x:{USER}:{USER}:nonroot:/:/sbin/nologin\n");
    let groups = format!("nonroot:x:{USER}:\n");
    let file = |path: &str, mode, content| Entry { path: path.to_owned(), mode, content: Some(content) };
    let folder = |path: &str, mode| Entry { path: path.to_owned(), mode, content: None };
    let base = layout.put_layer(&[
        folder("etc/", 0o755),
        file("etc/group", 0o644, groups.as_bytes()),
        file("etc/passwd", 0o644, users.as_bytes()),
        file("serve", 0o755, program),
        // long answers wait here: mount something that can be written
        folder("tmp/", 0o1777),
    ])?;
    let mut packed = vec![folder(&format!("{MODEL_FOLDER}/"), 0o755)];
    packed.extend(files.iter().map(|(name, content)| file(&format!("{MODEL_FOLDER}/{name}"), 0o644, content)));
    let model = layout.put_layer(&packed)?;

    let labels = [
        (TITLE, bundle.name.as_str()),
        (VERSION, bundle.content_id.as_str()),
        ("org.opencontainers.image.licenses", "MIT OR Apache-2.0"),
    ];
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
    let config = ConfigBuilder::default()
        .user(format!("{USER}:{USER}"))
        .exposed_ports(words(&PORTS))
        .env(words(&["PATH=/"]))
        .entrypoint(words(&["/serve"]))
        .cmd(words(&["--model", "/model", "--listen", "0.0.0.0:8000", "--metrics-listen", "0.0.0.0:8001"]))
        .working_dir("/".to_owned())
        .stop_signal("SIGTERM".to_owned())
        .labels(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect::<HashMap<_, _>>())
        .build()?;
    let history = |what: String| HistoryBuilder::default().created(CREATED).created_by(what).build();
    let diff_ids = [&base, &model].map(|layer: &Layer| layer.diff_id.clone());
    let image = ImageConfigurationBuilder::default()
        .created(CREATED)
        .architecture(arch.clone())
        .os(Os::Linux)
        .config(config)
        .rootfs(RootFsBuilder::default().typ("layers").diff_ids(diff_ids.to_vec()).build()?)
        .history(vec![history("serve".into())?, history(format!("model {}", bundle.folder()))?])
        .build()?;
    let config = layout.put_json(MediaType::ImageConfig, &image)?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .config(config)
        .layers(vec![base.descriptor, model.descriptor])
        .build()?;
    let mut descriptor = layout.put_json(MediaType::ImageManifest, &manifest)?;
    descriptor.set_platform(Some(PlatformBuilder::default().architecture(arch.clone()).os(Os::Linux).build()?));
    Ok(descriptor)
}

/// What stands for all files of a bundle: its manifest lists the others with their digests.
fn digest_of(files: &BundleFiles) -> Digest {
    Digest::of_bytes(files.get(artifact::BUNDLE_MANIFEST).map_or(&[][..], Vec::as_slice))
}

fn write_json(path: &Path, value: &serde_json::Value) -> anyhow::Result<()> {
    write_atomically(path, format!("{}\n", serde_json::to_string_pretty(value)?).as_bytes())?;
    Ok(())
}
