//! Files of runs and models, in any artifact store of the server.

use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use crate::{
    entities::store::{ArtifactContent, RunFile, max_file_bytes},
    error::TrackingError,
    rest::connection::{Body, Request, ServerConnection},
};

/// Characters that are not encoded in a path.
const UNENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Uploads in parallel at most.
const MAX_PARALLEL_UPLOADS: usize = 4;
/// Bytes of an upload that the server writes with its own credentials at most.
const MAX_BYTES_THROUGH_SERVER: u64 = 10 << 20;

/// The owner of files on the server.
#[derive(Clone, Copy, Debug)]
pub(super) enum RemoteOwner<'a> {
    Run(&'a str),
    Model(&'a str),
}

/// Uploads files below `artifact_uri`, several in parallel.
pub(super) fn upload(
    connection: &ServerConnection,
    owner: RemoteOwner,
    artifact_uri: &str,
    files: &[&RunFile],
) -> Result<(), TrackingError> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        while let Some(file) = files.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
            if let Err(error) = upload_one(connection, owner, artifact_uri, file) {
                // no other file needs to be sent
                next.store(files.len(), std::sync::atomic::Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..MAX_PARALLEL_UPLOADS.min(files.len())).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn upload_one(connection: &ServerConnection, owner: RemoteOwner, uri: &str, file: &RunFile) -> Result<(), TrackingError> {
    file.validated_path()?;
    let artifact_path = file.artifact_path.as_str();
    let media = ("content-type".to_owned(), media_type(artifact_path).to_owned());
    let Some((scheme, rest)) = scheme(uri) else { return upload_to_folder(connection, owner, uri, file) };
    match scheme {
        "mlflow-artifacts" => {
            // mlflow-artifacts:/P is on this server, mlflow-artifacts://host:port/P on another one
            let (base, folder) = match rest.strip_prefix("//").filter(|rest| !rest.starts_with('/')) {
                Some(other) => {
                    let (host, folder) = other.split_once('/').unwrap_or((other, ""));
                    let protocol = connection.base().split("://").next().unwrap_or("http");
                    (format!("{protocol}://{host}"), folder)
                }
                None => (String::new(), rest.trim_start_matches('/')),
            };
            let path = utf8_percent_encode(&format!("{folder}/{artifact_path}"), UNENCODED).to_string();
            put_file(connection, format!("{base}/api/2.0/mlflow-artifacts/artifacts/{path}"), file, vec![media])
        }
        "file" => upload_to_folder(connection, owner, rest.trim_start_matches("//"), file),
        _ => match presigned_target(connection, owner, artifact_path) {
            Ok(target) => put_file(connection, target.presigned_url, file, target.headers.into_iter().collect()),
            Err(error) if matches!(owner, RemoteOwner::Run(_)) && size(file) <= MAX_BYTES_THROUGH_SERVER => {
                upload_through_server(connection, owner, file, Some(1))
                    .map_err(|_| no_upload_target(connection, uri, &error))
            }
            Err(error) => Err(no_upload_target(connection, uri, &error)),
        },
    }
}

fn no_upload_target(connection: &ServerConnection, uri: &str, error: &TrackingError) -> TrackingError {
    TrackingError::NoUploadTarget {
        server: connection.base().to_owned(),
        root: uri.to_owned(),
        reason: format!(
            "the server offers no upload URL ({error}). Start it with `--serve-artifacts --artifacts-destination` and a default \
             artifact root of its own, or upgrade it to MLflow 3.12 or newer, with credentials for that store"
        ),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PresignedTarget {
    presigned_url: String,
    headers: std::collections::BTreeMap<String, String>,
}

fn presigned_target(
    connection: &ServerConnection,
    owner: RemoteOwner,
    artifact_path: &str,
) -> Result<PresignedTarget, TrackingError> {
    let mut body = json!({"path": artifact_path, "expiration": 900});
    match owner {
        RemoteOwner::Run(id) => body["run_id"] = id.into(),
        RemoteOwner::Model(id) => body["model_id"] = id.into(),
    }
    let request = Request::post("requesting an upload URL", "artifacts/presigned-upload-url", &body);
    // a server without credentials for its own store always returns 500
    connection.call(&Request { retries: Some(1), ..request })
}

/// Uploads a file that the server writes itself. MLflow supports that for runs only, and not for an empty file.
fn upload_through_server(
    connection: &ServerConnection,
    owner: RemoteOwner,
    file: &RunFile,
    retries: Option<u32>,
) -> Result<(), TrackingError> {
    let RemoteOwner::Run(run) = owner else {
        return Err(TrackingError::RunReference { artifact_path: file.artifact_path.clone() });
    };
    let request = Request {
        what: "uploading a file",
        method: Method::POST,
        path: "/ajax-api/2.0/mlflow/upload-artifact".into(),
        query: vec![("run_uuid", run.to_owned()), ("path", file.artifact_path.clone())],
        body: Body::Raw(file.read()?, vec![("content-type".into(), "application/octet-stream".into())]),
        retries,
    };
    connection.send(&request)
}

/// Uploads to a folder on the server's machine, which may be this one.
fn upload_to_folder(
    connection: &ServerConnection,
    owner: RemoteOwner,
    folder: &str,
    file: &RunFile,
) -> Result<(), TrackingError> {
    let bytes = size(file);
    if matches!(owner, RemoteOwner::Run(_)) && bytes > 0 && bytes <= MAX_BYTES_THROUGH_SERVER {
        return upload_through_server(connection, owner, file, None);
    }
    // the server creates the folder of an experiment: if it exists here, the server runs on this machine
    let root = Path::new(folder);
    let here = is_loopback(connection.base())
        && root.ancestors().skip(1).take(4).any(|above| above.is_dir() && above.parent().is_some());
    if here && file.copy_below(root).is_ok() {
        return Ok(());
    }
    Err(TrackingError::NoUploadTarget {
        server: connection.base().to_owned(),
        root: folder.to_owned(),
        reason: "it is a folder on the server's machine, and the server accepts files of models only through its proxy. Start it with \
         `--serve-artifacts --artifacts-destination DIR`; new experiments then store their files there"
            .into(),
    })
}

fn is_loopback(base: &str) -> bool {
    let host = base.split("://").nth(1).unwrap_or_default().split(['/', ':']).next().unwrap_or_default();
    host == "localhost" || host.starts_with("127.") || base.contains("://[::1]")
}

fn put_file(
    connection: &ServerConnection,
    path: String,
    file: &RunFile,
    headers: Vec<(String, String)>,
) -> Result<(), TrackingError> {
    let body = match &file.content {
        ArtifactContent::Bytes(bytes) => Body::Raw(bytes.clone(), headers),
        ArtifactContent::File(entry) => {
            if artifact::FileEntry::from_file(&entry.path)?.digest != entry.digest {
                return Err(TrackingError::ChangedFile { path: entry.path.clone() });
            }
            Body::File(entry.path.clone(), headers)
        }
    };
    connection.send(&Request { what: "uploading a file", method: Method::PUT, path, query: Vec::new(), body, retries: None })
}

/// Downloads a file of a run or a model through the server.
pub(super) fn download(
    connection: &ServerConnection,
    owner: RemoteOwner,
    artifact_path: &str,
    to: &Path,
) -> Result<(), TrackingError> {
    let (path, query) = match owner {
        RemoteOwner::Run(id) => {
            ("/get-artifact".to_owned(), vec![("run_uuid", id.to_owned()), ("path", artifact_path.to_owned())])
        }
        RemoteOwner::Model(id) => (
            format!("/ajax-api/2.0/mlflow/logged-models/{id}/artifacts/files"),
            vec![("artifact_file_path", artifact_path.to_owned())],
        ),
    };
    let request =
        Request { what: "fetching a file of a model", method: Method::GET, path, query, body: Body::None, retries: None };
    connection.download(&request, to, max_file_bytes(artifact_path))
}

fn size(file: &RunFile) -> u64 {
    match &file.content {
        ArtifactContent::Bytes(bytes) => bytes.len() as u64,
        ArtifactContent::File(entry) => entry.bytes,
    }
}

/// The scheme of a URI and the rest; `None` for a path.
fn scheme(uri: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = uri.split_once(':')?;
    // one letter is a drive of Windows
    let is_scheme = scheme.len() > 1 && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    is_scheme.then_some((scheme, rest))
}

fn media_type(artifact_path: &str) -> &'static str {
    match artifact_path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html",
        "json" => "application/json",
        "csv" => "text/csv",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "yaml" | "yml" | "txt" | "md" | "py" | "MLmodel" => "text/plain",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_told_apart() {
        assert_eq!(scheme("mlflow-artifacts:/1/a/artifacts"), Some(("mlflow-artifacts", "/1/a/artifacts")));
        assert_eq!(scheme("s3://bucket/1"), Some(("s3", "//bucket/1")));
        assert_eq!(scheme("/var/mlruns/1"), None);
        assert_eq!(scheme("C:/mlruns"), None);
        assert!(
            is_loopback("http://127.0.0.1:5000/ml") && is_loopback("http://localhost") && !is_loopback("http://10.0.0.1")
        );
    }

    #[test]
    fn a_folder_of_another_machine_is_named_with_what_to_do() {
        let connection =
            ServerConnection::new("http://mlflow.example:5000", &crate::rest::http_config::HttpConfig::default()).unwrap();
        let file = RunFile::of_model("m-1", "model.bin", ArtifactContent::Bytes(b"model".to_vec()));
        let folder = tempfile::tempdir().unwrap();
        for root in ["/srv/mlruns/1/models/m-1/artifacts".to_owned(), format!("file://{}/a", folder.path().display())] {
            let error = upload(&connection, RemoteOwner::Model("m-1"), &root, &[&file]).unwrap_err().to_string();
            let path = root.trim_start_matches("file://");
            assert_eq!(
                error,
                format!(
                    "http://mlflow.example:5000: files cannot be uploaded to {path}: it is a folder on the server's machine, and the \
                     server accepts files of models only through its proxy. Start it with `--serve-artifacts --artifacts-destination \
                     DIR`; new experiments then store their files there"
                )
            );
        }
        // a server on this machine
        let connection =
            ServerConnection::new("http://127.0.0.1:5000", &crate::rest::http_config::HttpConfig::default()).unwrap();
        let root = folder.path().join("1/models/m-1/artifacts");
        upload(&connection, RemoteOwner::Model("m-1"), &root.to_string_lossy(), &[&file]).unwrap();
        assert_eq!(std::fs::read(root.join("model.bin")).unwrap(), b"model");
    }

    #[test]
    fn a_path_is_encoded_but_for_its_slashes() {
        assert_eq!(utf8_percent_encode("a b/ä#.txt", UNENCODED).to_string(), "a%20b/%C3%A4%23.txt");
    }
}
