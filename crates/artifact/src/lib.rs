//! The contract between stages: files that are whole or absent, their digests, the envelope around binary payloads,
//! the manifest beside every output, the record of a training run, and the bundle that all of it is packed in.
//!
//! To change a stored field, raise the format version, keep a golden file of the old one, and read both.

mod atomic;
mod bundle;
mod digest;
mod envelope;
mod error;
mod folder_lock;
mod manifest;
mod output_paths;
mod place;
mod run_record;

pub use atomic::{AtomicFile, write_atomically};
pub use bundle::{
    BUNDLE_MANIFEST, BundleFiles, BundleManifest, Gate, GateAnswer, Link, NamedDigest, read_bundle, write_bundle_archive,
    write_bundle_folder,
};
pub use digest::Digest;
pub use envelope::{
    Kind, decode_envelope, encode_envelope, read_envelope, read_envelope_bytes, read_envelope_bytes_or_older,
    read_envelope_or_older, write_envelope,
};
pub use error::ArtifactError;
pub use folder_lock::{FolderLocks, Waiting, lock_to_read, lock_to_write};
pub use manifest::{FileEntry, MANIFEST_VERSION, Manifest, check_input, manifest_path, relative_path};
pub use output_paths::RunPaths;
pub use run_record::{
    ColumnImportance, DatasetInput, Interval, MetricPoint, RUN_RECORD_VERSION, RunArtifact, RunIdentity, RunRecord,
    RunStatus, RunTimes, Suspicion,
};
