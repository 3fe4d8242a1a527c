//! Predictions and true prices on disk, where that is asked for: NDJSON in files that are begun anew when they are large.
//!
//! A thread of its own writes. Whoever predicts never waits for it: what does not fit into its queue is counted as lost.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context;
use artifact::{ArtifactError, RunPaths};
use serde_json::json;

use crate::log::Log;

/// Records that wait at most.
const WAITING: usize = 10_000;
/// A file is closed when it has grown to this many bytes.
const FILE_BYTES: u64 = 64 << 20;
/// Records are on the disk after this time.
const DELAY: Duration = Duration::from_millis(500);

/// That records in `folder`, of which old ones are removed, are none of the files that are read: each with its flag.
///
/// # Errors
/// Names the two.
pub(crate) fn check_folder<'a>(folder: &Path, read: impl Iterator<Item = (&'a str, &'a Path)>) -> Result<(), ArtifactError> {
    let label = "--log-predictions";
    let mut paths = RunPaths::default().new_files_in(label, folder);
    for (flag, path) in read {
        paths = paths.input(flag, path);
        if is_ours(path) {
            paths = paths.output(label, &folder.join(path.file_name().unwrap_or_default()));
        }
    }
    paths.check()
}

/// Where records go.
#[derive(Debug)]
pub(crate) struct Journal {
    queue: SyncSender<Vec<u8>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    /// Opens a file in `folder`; of closed ones the newest `keep` stay.
    ///
    /// # Errors
    /// If nothing can be written there.
    pub(crate) fn open(folder: &Path, keep: usize, log: &Log) -> anyhow::Result<Self> {
        Self::with_limit(folder, keep, FILE_BYTES, log)
    }

    fn with_limit(folder: &Path, keep: usize, limit: u64, log: &Log) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("{}: cannot make the folder", folder.display()))?;
        let mut files = Files { folder: folder.to_owned(), keep, limit, number: 0, open: None };
        files.begin().with_context(|| format!("{}: cannot write there", folder.display()))?;
        let (queue, records) = sync_channel(WAITING);
        let log = log.clone();
        let writer = thread::spawn(move || files.write_all(&records, &log));
        Ok(Self { queue, writer: Mutex::new(Some(writer)) })
    }

    /// Adds a record, a line of JSON without its end. False if there is no room for it.
    pub(crate) fn add(&self, record: Vec<u8>) -> bool {
        self.queue.try_send(record).is_ok()
    }

    /// Waits until all is on the disk; nothing can be added any more.
    pub(crate) fn close(&self) {
        // an empty record is the end
        let _ = self.queue.send(Vec::new());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        writer.into_iter().for_each(|writer| {
            let _ = writer.join();
        });
    }
}

struct Files {
    folder: PathBuf,
    keep: usize,
    limit: u64,
    number: u64,
    open: Option<(BufWriter<File>, u64)>,
}

impl Files {
    fn write_all(&mut self, records: &Receiver<Vec<u8>>, log: &Log) {
        let mut broken = false;
        loop {
            let written = match records.recv_timeout(DELAY) {
                Ok(record) if record.is_empty() => break,
                Ok(record) => self.write(&record),
                Err(RecvTimeoutError::Timeout) => self.flush(),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            // said once, not a line a record
            if let Err(error) = &written
                && !broken
            {
                log.warn("the journal cannot be written", json!({"error": error.to_string()}));
            }
            broken = written.is_err();
        }
        let _ = self.flush();
    }

    fn write(&mut self, record: &[u8]) -> std::io::Result<()> {
        if self.open.as_ref().is_none_or(|(_, bytes)| *bytes >= self.limit) {
            self.begin()?;
        }
        let Some((file, bytes)) = &mut self.open else { return Ok(()) };
        file.write_all(record)?;
        file.write_all(b"\n")?;
        *bytes += record.len() as u64 + 1;
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.open.as_mut().map_or(Ok(()), |(file, _)| file.flush())
    }

    /// Closes the file and begins the next; names sort by time.
    fn begin(&mut self) -> std::io::Result<()> {
        self.flush()?;
        let time = cli::rfc3339(cli::now_ms()).replace([':', '.'], "-");
        self.number += 1;
        let path = self.folder.join(format!("predictions-{time}-{:04}.ndjson", self.number));
        let file = File::options().create_new(true).append(true).open(path)?;
        self.open = Some((BufWriter::new(file), 0));
        let mut closed: Vec<PathBuf> =
            fs::read_dir(&self.folder)?.flatten().map(|entry| entry.path()).filter(|path| is_ours(path)).collect();
        closed.sort();
        let surplus = closed.len().saturating_sub(self.keep + 1);
        closed[..surplus].iter().try_for_each(fs::remove_file)
    }
}

fn is_ours(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("predictions-") && name.ends_with(".ndjson")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::LogRequests;

    #[test]
    fn records_are_kept_in_order_and_old_files_go() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::new(LogRequests::None);
        let journal = Journal::with_limit(folder.path(), 2, 100, &log).unwrap();
        for number in 0..100 {
            assert!(journal.add(format!("{{\"number\":{number}}}").into_bytes()));
        }
        journal.close();
        let mut files: Vec<PathBuf> = fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.path()).collect();
        files.sort();
        assert_eq!(files.len(), 3, "{files:?}");
        let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.last(), Some(&"{\"number\":99}"));
        let first: usize = lines[0][10..lines[0].len() - 1].parse().unwrap();
        assert_eq!(lines.len(), 100 - first);
    }
}
