//! The file formats that connect the stages: atomic files, digests, the envelope of binary payloads, manifests of outputs, run records, and
//! bundles.
//!
//! To change a stored field, raise the format version, keep a golden file of the old version, and read both.

mod atomic_file;
mod bounded;
mod bundle;
mod bundle_archive;
mod bundle_folder;
mod bundle_limits;
mod bundle_manifest;
mod digest;
mod envelope;
mod error;
mod file_entry;
mod folder_lock;
mod manifest;
mod output_kind;
mod output_paths;
mod packed;
mod resolved_path;
mod run_record;
mod temporary;

pub use atomic_file::{AtomicFile, clear_abandoned_below, clear_abandoned_files, write_atomically};
pub use bounded::{copy_bounded, copy_file_bounded, read_bounded};
pub use bundle::{bundle_digest, clear_abandoned_bundles, read_bundle};
pub use bundle_archive::{BundleEntries, write_bundle_archive};
pub use bundle_folder::write_bundle_folder;
pub use bundle_limits::{BUNDLE_MANIFEST, BundleFiles, bundle_file_limit};
pub use bundle_manifest::{BundleManifest, Gate, GateOutcome, LineageStep, NamedDigest};
pub use digest::Digest;
pub use envelope::{
    Kind, decode_envelope, encode_envelope, read_envelope, read_envelope_bytes, read_envelope_bytes_or_older,
    read_envelope_or_older, write_envelope,
};
pub use error::ArtifactError;
pub use file_entry::FileEntry;
pub use folder_lock::{FolderLocks, Waiting, lock_to_read, lock_to_write};
pub use manifest::{MANIFEST_VERSION, Manifest, check_input, manifest_path, relative_path};
pub use output_kind::{Mark, OutputKind};
pub use output_paths::RunPaths;
pub use packed::{PackedEntry, PackedLimits, is_too_dense, visit_packed};
pub use resolved_path::resolve_entry;
pub use run_record::{
    ColumnImportance, DatasetInput, Interval, LeakageRecord, MetricPoint, RUN_RECORD_VERSION, RunArtifact, RunIdentity,
    RunRecord, RunStatus, RunTimes,
};
pub use temporary::{TemporaryFolder, clear_abandoned_folders, clear_temporary_folders};
