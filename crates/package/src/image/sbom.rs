//! Renders the bill of materials of an image in CycloneDX 1.6, from the lock file of the programs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use artifact::{BundleFiles, BundleManifest, Digest};
use cargo_lock::{Lockfile, Package};
use predictor::MODEL_FILE;
use serde_json::{Value, json};

/// The program in the image, whose dependencies are listed.
const PROGRAM: &str = "serve";

/// The lock file of this program, which is that of `serve` of the same version, too.
pub(crate) const OWN_LOCK_FILE: &str = include_str!("../../../../Cargo.lock");

/// Renders the bill of materials of an image. The same image and lock file give the same bill.
///
/// # Errors
/// If the lock file cannot be read, or `serve` is not in it.
pub(crate) fn cyclonedx(
    lock: &str,
    (image, digest): (&str, &str),
    bundle: &BundleManifest,
    files: &BundleFiles,
) -> anyhow::Result<Value> {
    let lock: Lockfile = lock.parse().context("cannot read the lock file")?;
    let packages = dependency_closure(&lock)?;
    let reference = |package: &Package| match package.source {
        Some(_) => format!("pkg:cargo/{}@{}", package.name, package.version),
        None => format!("pkg:cargo/{}@{}?vcs_url=workspace", package.name, package.version),
    };
    let component = |package: &&Package| {
        let mut component = json!({
            "type": if package.name.as_str() == PROGRAM { "application" } else { "library" },
            "bom-ref": reference(package),
            "name": package.name.as_str(),
            "version": package.version.to_string(),
            "purl": format!("pkg:cargo/{}@{}", package.name, package.version),
        });
        if let Some(checksum) = &package.checksum {
            component["hashes"] = json!([{"alg": "SHA-256", "content": checksum.to_string()}]);
        }
        component
    };
    let model_digest = files.get(MODEL_FILE).map(|bytes| Digest::of_bytes(bytes).hex().to_owned());
    let model = format!("model:{}", bundle.folder());
    let mut components: Vec<Value> = packages.values().map(component).collect();
    components.push(json!({
        "type": "machine-learning-model",
        "bom-ref": model,
        "name": bundle.name,
        "version": bundle.content_id,
        "hashes": [{"alg": "SHA-256", "content": model_digest}],
    }));
    let mut dependencies: Vec<Value> = packages
        .values()
        .map(|package| {
            let on: BTreeSet<String> =
                package.dependencies.iter().filter_map(|dependency| find(&lock, dependency)).map(reference).collect();
            json!({"ref": reference(package), "dependsOn": on})
        })
        .collect();
    let top = format!("image:{digest}");
    let program = packages.values().find(|package| package.name.as_str() == PROGRAM).map(|package| reference(package));
    dependencies.push(json!({"ref": top, "dependsOn": [program, Some(model)]}));
    let hex = digest.trim_start_matches("sha256:");
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial_number(hex),
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "package", "version": env!("CARGO_PKG_VERSION")}]},
            "component": {
                "type": "container",
                "bom-ref": top,
                "name": image,
                "version": bundle.content_id,
                "hashes": [{"alg": "SHA-256", "content": hex}],
            },
            "properties": [{
                "name": "scope",
                "value": "every crate that the lock file lets serve need, those of its build and of other platforms included",
            }],
        },
        "components": components,
        "dependencies": dependencies,
    }))
}

/// A UUID derived from the image's digest (version 8 of RFC 9562, whose bits are free).
fn serial_number(hex: &str) -> String {
    let at = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("urn:uuid:{}-{}-8{}-8{}-{}", at(0, 8), at(8, 12), at(13, 16), at(17, 20), at(20, 32))
}

/// `serve` and its dependencies, by name and version.
fn dependency_closure(lock: &Lockfile) -> anyhow::Result<BTreeMap<(String, String), &Package>> {
    let mut packages = BTreeMap::new();
    let mut queue: Vec<&Package> = lock.packages.iter().filter(|package| package.name.as_str() == PROGRAM).collect();
    ensure!(!queue.is_empty(), "the lock file does not contain {PROGRAM}: name the one that it was built with by --lock");
    while let Some(package) = queue.pop() {
        let key = (package.name.to_string(), package.version.to_string());
        if packages.insert(key, package).is_none() {
            queue.extend(package.dependencies.iter().filter_map(|dependency| find(lock, dependency)));
        }
    }
    Ok(packages)
}

fn find<'a>(lock: &'a Lockfile, dependency: &cargo_lock::Dependency) -> Option<&'a Package> {
    lock.packages.iter().find(|package| dependency.matches(package))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serve_needs_is_listed_and_nothing_else() {
        let files = BundleFiles::from([(MODEL_FILE.to_owned(), b"model".to_vec())]);
        let bundle = BundleManifest::new("m", "s", Vec::new(), Vec::new(), &files);
        let digest = format!("sha256:{}", "ab".repeat(32));
        let bill = cyclonedx(OWN_LOCK_FILE, ("m", &digest), &bundle, &files).unwrap();
        let names: Vec<&str> =
            bill["components"].as_array().unwrap().iter().map(|component| component["name"].as_str().unwrap()).collect();
        for name in ["serve", "axum", "tokio", "boosting", "rustls", "m"] {
            assert!(names.contains(&name), "{name} is not in {names:?}");
        }
        for name in ["polars", "process", "oci-client"] {
            assert!(!names.contains(&name), "{name} is not in the image");
        }
        assert_eq!(bill["serialNumber"], "urn:uuid:abababab-abab-8bab-8bab-abababababab");
        // every dependency is listed
        let references: BTreeSet<&str> =
            bill["components"].as_array().unwrap().iter().map(|component| component["bom-ref"].as_str().unwrap()).collect();
        for dependency in bill["dependencies"].as_array().unwrap() {
            for on in dependency["dependsOn"].as_array().unwrap() {
                assert!(references.contains(on.as_str().unwrap()), "{on}");
            }
        }
        let error = cyclonedx("version = 4\n", ("m", &digest), &bundle, &files).unwrap_err().to_string();
        assert_eq!(error, "the lock file does not contain serve: name the one that it was built with by --lock");
        assert!(cyclonedx("nonsense", ("m", &digest), &bundle, &files).is_err());
    }
}
