//! How an image came about: an in-toto statement with SLSA provenance (in-toto 1, SLSA 1.0), unsigned.

use artifact::{BundleManifest, Digest};
use serde_json::{Value, json};

/// The kind of build; what its parameters mean is said in docs/delivery.md.
const BUILD_TYPE: &str = "urn:house-price-predictor:image:v1";

/// Something that went in: its name and digest.
pub(crate) struct Material {
    pub(crate) name: String,
    pub(crate) digest: Digest,
}

/// The statement. The same image gives the same one.
pub(crate) fn state(
    (image, digest): (&str, &str),
    bundle: &BundleManifest,
    materials: &[Material],
    builder: Option<&str>,
    commit: Option<&str>,
) -> Value {
    let own = format!("urn:house-price-predictor:package:{}", env!("CARGO_PKG_VERSION"));
    let material = |name: &str, digest: &Digest| json!({"name": name, "digest": {"sha256": digest.hex()}});
    let given = materials.iter().map(|found| material(&found.name, &found.digest));
    let learned_from = bundle.lineage.iter().flat_map(|link| {
        link.inputs.iter().map(move |file| material(&format!("{}: {}", link.stage, file.name), &file.digest))
    });
    let mut dependencies: Vec<Value> = given.chain(learned_from).collect();
    if let Some(commit) = commit {
        dependencies.push(json!({"name": "source", "digest": {"gitCommit": commit}}));
    }
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": image, "digest": {"sha256": digest.trim_start_matches("sha256:")}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"bundle": bundle.folder()},
                "internalParameters": {"gates": bundle.gates},
                "resolvedDependencies": dependencies,
            },
            "runDetails": {"builder": {
                "id": builder.unwrap_or(&own),
                "version": {"package": env!("CARGO_PKG_VERSION")},
            }},
        },
    })
}
