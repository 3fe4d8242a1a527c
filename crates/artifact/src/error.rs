//! What can be wrong with a file.

use std::{io, path::PathBuf};

use thiserror::Error;

/// A file that cannot be read, written or trusted. Every message names the file and says what to do.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the fields are what the messages say")]
pub enum ArtifactError {
    #[error("{}: cannot {action}: {cause}", path.display())]
    Io { path: PathBuf, action: &'static str, cause: io::Error },
    #[error("{}: is not a file of this project (its first bytes are not ours)", path.display())]
    NotOurs { path: PathBuf },
    #[error("{}: holds \"{found}\", not \"{expected}\"", path.display())]
    WrongKind { path: PathBuf, expected: &'static str, found: String },
    #[error("{}: has format version {found}; this program reads version {known} and older. Use a newer program, or write the file again", path.display())]
    UnknownVersion { path: PathBuf, found: u32, known: u32 },
    #[error("{}: is truncated or has bytes too many ({found} bytes where {expected} were written). Write it again", path.display())]
    WrongLength { path: PathBuf, expected: u64, found: u64 },
    #[error("{}: is damaged (its content does not match the digest stored in it). Write it again", path.display())]
    Damaged { path: PathBuf },
    #[error("{}: cannot be decoded: {reason}", path.display())]
    Undecodable { path: PathBuf, reason: String },
    #[error("{}: no such file. {hint}", path.display())]
    Missing { path: PathBuf, hint: String },
    #[error("{}: is not a valid bundle: {reason}", path.display())]
    NotABundle { path: PathBuf, reason: String },
    #[error("{}: has no manifest beside it ({}). Run `{stage}` to write both", path.display(), manifest.display())]
    NoManifest { path: PathBuf, manifest: PathBuf, stage: &'static str },
    #[error("{}: is not the file that `{stage}` wrote (digest {found}, the manifest says {expected}). Run `{stage}` again", path.display())]
    Changed { path: PathBuf, stage: String, expected: String, found: String },
    #[error("{output} is the same file as {other}; name another output")]
    SameFile { output: String, other: String },
    #[error("{output} lies in {input}, which is read as a whole; name another output")]
    OutputInInput { output: String, input: String },
    #[error("{input} lies in {output}, which is replaced as a whole; name another output")]
    InputInOutput { input: String, output: String },
    #[error("{inner} lies below {outer}, which is written as well; name another output")]
    OutputInOutput { inner: String, outer: String },
    #[error("{input} has the name of a temporary file of {output}, and would be removed; name another output")]
    TemporaryName { input: String, output: String },
    #[error("{output} is there already and is not {kind}; name another path, or remove the file first")]
    ForeignOutput { output: String, kind: &'static str },
    #[error("{output} {problem}")]
    UnfitOutput { output: String, problem: &'static str },
}

impl ArtifactError {
    pub(crate) fn io(path: &std::path::Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::Io { path, action, cause }
    }
}
