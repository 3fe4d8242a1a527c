//! The prediction log: predictions and true values as NDJSON, in files of which a new one begins when the last is large.
//!
//! A thread of its own writes, so that no request waits for the disk. A record that is not on the disk is counted as lost: the queue was full,
//! a write failed, the server ended, or somebody deleted or shortened the open file. On the disk means handed to the operating system.

use std::{
    path::Path,
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Context;
use artifact::{ArtifactError, RunPaths};
use prometheus_client::metrics::counter::Counter;
use serde_json::json;

use crate::telemetry::{
    log::Log,
    prediction_log_files::{PredictionLogFiles, is_ours},
    prediction_record::Record,
};

/// Records that wait in the queue at most.
const QUEUED: usize = 10_000;
/// Bytes of records that are written together; more are written before the time is over.
const BATCH_BYTES: usize = 64 << 10;
/// A file is closed when it has grown to this many bytes.
const FILE_BYTES: u64 = 64 << 20;
/// Records are on the disk after this time, and files of which somebody took one away are looked for as often.
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
pub(crate) struct PredictionLog {
    /// `None` is the end.
    queue: SyncSender<Option<Record>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    lost: Counter,
}

impl PredictionLog {
    /// Opens a file in `folder`; of closed ones the newest `keep` stay. Records that are not on the disk are added to `lost`.
    ///
    /// # Errors
    /// If no file can be written there.
    pub(crate) fn open(folder: &Path, keep: usize, log: &Log, lost: &Counter) -> anyhow::Result<Self> {
        Self::with_limit(folder, keep, FILE_BYTES, log, lost)
    }

    fn with_limit(folder: &Path, keep: usize, limit: u64, log: &Log, lost: &Counter) -> anyhow::Result<Self> {
        let mut files = PredictionLogFiles::new(folder, keep, limit, lost.clone());
        files.begin().with_context(|| format!("{}: cannot write a file of predictions there", folder.display()))?;
        let (queue, records) = sync_channel(QUEUED);
        let log = log.clone();
        let writer = thread::spawn(move || write_all(&mut files, &records, &log));
        Ok(Self { queue, writer: Mutex::new(Some(writer)), lost: lost.clone() })
    }

    /// Adds a record, a line of JSON without its end. It is counted as lost if there is no space for it.
    pub(crate) fn add(&self, mut line: Vec<u8>) {
        line.push(b'\n');
        // what is not taken comes back, and is dropped
        let _ = self.queue.try_send(Some(Record { line, is_written: false, lost: self.lost.clone() }));
    }

    /// Waits until all that was added is on the disk; what is added later is lost.
    pub(crate) fn close(&self) {
        let _ = self.queue.send(None);
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        writer.into_iter().for_each(|writer| {
            let _ = writer.join();
        });
    }
}

/// Writes records until the end comes, and those that came behind it.
fn write_all(files: &mut PredictionLogFiles, records: &Receiver<Option<Record>>, log: &Log) {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    let mut due = Instant::now() + DELAY;
    let (mut is_open, mut is_failing) = (true, false);
    while is_open {
        match records.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(Some(record)) => {
                bytes += record.line.len();
                batch.push(record);
                if bytes < BATCH_BYTES && Instant::now() < due {
                    continue;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Ok(None) | Err(RecvTimeoutError::Disconnected) => {
                is_open = false;
                batch.extend(records.try_iter().flatten());
            }
        }
        let gone = files.check_open_file();
        if gone > 0 {
            log.warn("records of the prediction log were deleted by another program", json!({"records": gone}));
        }
        // said once, not a line a record
        match files.write(&mut batch) {
            Err(error) if !is_failing => {
                log.warn("the prediction log cannot be written", json!({"error": error}));
                is_failing = true;
            }
            Ok(()) if is_failing && !batch.is_empty() => {
                log.info("the prediction log is written again", json!({"lost": files.lost()}));
                is_failing = false;
            }
            _ => {}
        }
        // what could not be written is dropped, and counted
        batch.clear();
        bytes = 0;
        due = Instant::now() + DELAY;
    }
    files.check_open_file();
    log.info("the prediction log is closed", json!({"written": files.line_count(), "lost": files.lost()}));
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use serde_json::Value;

    use super::*;
    use crate::args::LogRequests;

    /// A journal in a folder of its own.
    struct Folder {
        folder: tempfile::TempDir,
        journal: PredictionLog,
        lost: Counter,
    }

    impl Folder {
        fn new(keep: usize, limit: u64) -> Self {
            let (folder, lost) = (tempfile::tempdir().unwrap(), Counter::default());
            let log = Log::new(LogRequests::None);
            let journal = PredictionLog::with_limit(&folder.path().join("kept"), keep, limit, &log, &lost).unwrap();
            Self { folder, journal, lost }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("kept")
        }

        fn files(&self) -> Vec<PathBuf> {
            let mut files: Vec<PathBuf> =
                fs::read_dir(self.path()).into_iter().flatten().flatten().map(|e| e.path()).collect();
            files.sort();
            files
        }

        fn add(&self, numbers: std::ops::Range<u64>) {
            numbers.for_each(|number| self.journal.add(format!("{{\"number\":{number}}}").into_bytes()));
        }

        /// The numbers on the disk; every line is whole.
        fn numbers(&self) -> Vec<u64> {
            let text: String = self.files().iter().map(|file| fs::read_to_string(file).unwrap()).collect();
            let number = |line: &str| serde_json::from_str::<Value>(line).unwrap()["number"].as_u64().unwrap();
            text.lines().map(number).collect()
        }

        fn wait(&self, what: &str, holds: impl Fn(&Self) -> bool) {
            let started = Instant::now();
            while !holds(self) {
                assert!(started.elapsed() < Duration::from_secs(10), "{what}: {:?}, {} lost", self.files(), self.lost.get());
                thread::sleep(Duration::from_millis(5));
            }
        }
    }

    #[test]
    fn records_are_kept_in_order_and_old_files_go() {
        let folder = Folder::new(2, 100);
        folder.add(0..100);
        folder.journal.close();
        assert_eq!(folder.files().len(), 3, "{:?}", folder.files());
        let numbers = folder.numbers();
        assert_eq!(numbers, (numbers[0]..100).collect::<Vec<u64>>());
        // old files are removed on purpose
        assert_eq!(folder.lost.get(), 0);
        // what comes behind the end is in no file
        folder.add(0..3);
        assert_eq!((folder.numbers().len(), folder.lost.get()), (numbers.len(), 3));
    }

    #[test]
    fn a_file_that_is_in_use_is_not_removed() {
        let folder = Folder::new(0, 100);
        let log = Log::new(LogRequests::None);
        let other = PredictionLog::with_limit(&folder.path(), 0, 100, &log, &folder.lost).unwrap();
        folder.add(0..50);
        folder.journal.close();
        other.add(b"{\"number\":50}".to_vec());
        other.close();
        // of each server the file that was open
        assert_eq!((folder.files().len(), folder.numbers().contains(&50), folder.lost.get()), (2, true, 0));
    }

    #[test]
    fn what_somebody_deletes_or_shortens_is_counted() {
        let folder = Folder::new(20, 1 << 20);
        let written = |count: usize| move |folder: &Folder| folder.numbers().len() == count;
        folder.add(0..100);
        folder.wait("the first records", written(100));
        fs::remove_file(&folder.files()[0]).unwrap();
        folder.wait("the loss of a file", |folder| folder.lost.get() == 100);
        folder.add(100..150);
        folder.wait("another file", written(50));
        // a part of a line stays
        let file = fs::File::options().write(true).open(&folder.files()[0]).unwrap();
        file.set_len(15 * 11 + 5).unwrap();
        folder.wait("the loss of lines", |folder| folder.lost.get() == 100 + 39);
        folder.add(150..160);
        folder.wait("a third file", written(11 + 10));
        // moved is not lost
        fs::rename(folder.path(), folder.folder.path().join("elsewhere")).unwrap();
        folder.add(160..170);
        folder.wait("another folder", written(10));
        // and the folder as a whole
        fs::remove_dir_all(folder.path()).unwrap();
        folder.wait("the loss of the folder", |folder| folder.lost.get() == 100 + 39 + 10);
        fs::write(folder.path(), "a file").unwrap();
        folder.add(170..175);
        folder.wait("that no folder can be made", |folder| folder.lost.get() == 100 + 39 + 10 + 5);
        fs::remove_file(folder.path()).unwrap();
        folder.add(175..180);
        folder.journal.close();
        assert_eq!(folder.numbers(), (175..180).collect::<Vec<u64>>());
        assert_eq!(folder.lost.get(), 100 + 39 + 10 + 5);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "").unwrap();
        let log = Log::new(LogRequests::None);
        let error = PredictionLog::open(&path, 1, &log, &Counter::default()).unwrap_err();
        let expected = format!("{}: cannot write a file of predictions there: File exists (os error 17)", path.display());
        assert_eq!(format!("{error:#}"), expected);
    }
}
