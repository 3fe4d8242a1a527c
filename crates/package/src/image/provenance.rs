//! Renders the provenance of an image: an unsigned in-toto statement with SLSA provenance (in-toto 1, SLSA 1.0).

use artifact::{BundleManifest, Digest};
use serde_json::{Value, json};

/// The build type; docs/delivery.md describes its parameters.
const BUILD_TYPE: &str = "urn:house-price-predictor:image:v1";

/// An input of the build: its name and digest.
pub(crate) struct Material {
    pub(crate) name: String,
    pub(crate) digest: Digest,
}

/// Renders the statement. The same image gives the same statement.
pub(crate) fn slsa_statement(
    (image, digest): (&str, &str),
    bundle: &BundleManifest,
    materials: &[Material],
    builder: Option<&str>,
    commit: Option<&str>,
) -> Value {
    let own = format!("urn:house-price-predictor:package:{}", env!("CARGO_PKG_VERSION"));
    let material = |name: &str, digest: &Digest| json!({"name": name, "digest": {"sha256": digest.hex()}});
    let inputs = materials.iter().map(|input| material(&input.name, &input.digest));
    let training_inputs = bundle.lineage.iter().flat_map(|link| {
        link.inputs.iter().map(move |file| material(&format!("{}: {}", link.stage, file.name), &file.digest))
    });
    let mut dependencies: Vec<Value> = inputs.chain(training_inputs).collect();
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
