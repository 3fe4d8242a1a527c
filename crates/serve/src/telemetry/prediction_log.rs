//! The prediction log: predictions and actual values as NDJSON, in files of limited size.
//!
//! A separate thread writes, so that no request waits for the disk. A record that is not written counts as dropped: the queue was full, a
//! write failed, the server stopped, or another program deleted or truncated the open file. Written means passed to the operating system.

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
    prediction_log_files::{PredictionLogFiles, is_prediction_log_file},
    prediction_record::PredictionRecord,
};

/// The maximum number of records that wait in the queue.
const MAX_QUEUED_RECORDS: usize = 10_000;
/// Bytes of records that are written together; more bytes are written before the delay is over.
const WRITE_BATCH_BYTES: usize = 64 << 10;
/// Bytes at which a file is closed.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// The maximum delay of a write, and the interval at which files deleted by other programs are detected.
const MAX_WRITE_DELAY: Duration = Duration::from_millis(500);

/// Checks that no file that is inputs, each with its flag, is in `folder`, from which old records are removed.
///
/// # Errors
/// Names the flag and the path.
pub(crate) fn check_folder<'a>(
    folder: &Path,
    inputs: impl Iterator<Item = (&'a str, &'a Path)>,
) -> Result<(), ArtifactError> {
    let label = "--log-predictions";
    let mut paths = RunPaths::default().new_files_in(label, folder);
    for (flag, path) in inputs {
        paths = paths.input(flag, path);
        if is_prediction_log_file(path) {
            paths = paths.output(label, &folder.join(path.file_name().unwrap_or_default()));
        }
    }
    paths.check()
}

/// The queue of records, and the thread that writes them.
#[derive(Debug)]
pub(crate) struct PredictionLog {
    /// `None` is the end.
    queue: SyncSender<Option<PredictionRecord>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    dropped: Counter,
}

impl PredictionLog {
    /// Opens a file in `folder`; of the closed files the newest `keep` stay. Records that are not written are added to `dropped`.
    ///
    /// # Errors
    /// If no file can be written there.
    pub(crate) fn open(folder: &Path, keep: usize, log: &Log, dropped: &Counter) -> anyhow::Result<Self> {
        Self::with_limit(folder, keep, MAX_FILE_BYTES, log, dropped)
    }

    fn with_limit(folder: &Path, keep: usize, limit: u64, log: &Log, dropped: &Counter) -> anyhow::Result<Self> {
        let mut files = PredictionLogFiles::new(folder, keep, limit, dropped.clone());
        files.begin().with_context(|| format!("{}: cannot write the prediction log to this folder", folder.display()))?;
        let (queue, records) = sync_channel(MAX_QUEUED_RECORDS);
        let log = log.clone();
        let writer = thread::spawn(move || write_all(&mut files, &records, &log));
        Ok(Self { queue, writer: Mutex::new(Some(writer)), dropped: dropped.clone() })
    }

    /// Adds a record, a line of JSON without its end. It counts as dropped if the queue is full.
    pub(crate) fn add(&self, mut line: Vec<u8>) {
        line.push(b'\n');
        // a record that is not accepted is returned, and dropped
        let _ = self.queue.try_send(Some(PredictionRecord { line, is_written: false, dropped: self.dropped.clone() }));
    }

    /// Waits until all added records are written; later ones are dropped.
    pub(crate) fn close(&self) {
        let _ = self.queue.send(None);
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        writer.into_iter().for_each(|writer| {
            let _ = writer.join();
        });
    }
}

/// Writes records until the end, and those that arrived after it.
fn write_all(files: &mut PredictionLogFiles, records: &Receiver<Option<PredictionRecord>>, log: &Log) {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    let mut due = Instant::now() + MAX_WRITE_DELAY;
    let (mut is_open, mut is_failing) = (true, false);
    while is_open {
        match records.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(Some(record)) => {
                bytes += record.line.len();
                batch.push(record);
                if bytes < WRITE_BATCH_BYTES && Instant::now() < due {
                    continue;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Ok(None) | Err(RecvTimeoutError::Disconnected) => {
                is_open = false;
                batch.extend(records.try_iter().flatten());
            }
        }
        let deleted = files.check_open_file();
        if deleted > 0 {
            log.warn(
                "prediction_log_deleted",
                "another program deleted records of the prediction log",
                json!({"records": deleted}),
            );
        }
        // logged once, not for every record
        match files.write(&mut batch) {
            Err(error) if !is_failing => {
                log.warn("prediction_log_write_failed", "cannot write the prediction log", json!({"error": error}));
                is_failing = true;
            }
            Ok(()) if is_failing && !batch.is_empty() => {
                log.info(
                    "prediction_log_write_resumed",
                    "writing the prediction log again",
                    json!({"lost": files.dropped()}),
                );
                is_failing = false;
            }
            _ => {}
        }
        // records that were not written are dropped, and counted
        batch.clear();
        bytes = 0;
        due = Instant::now() + MAX_WRITE_DELAY;
    }
    files.check_open_file();
    log.info(
        "prediction_log_closed",
        "prediction log closed",
        json!({"written": files.line_count(), "lost": files.dropped()}),
    );
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use serde_json::Value;

    use super::*;
    use crate::args::LogRequests;

    /// A prediction log in a temporary folder.
    struct Folder {
        folder: tempfile::TempDir,
        prediction_log: PredictionLog,
        dropped: Counter,
    }

    impl Folder {
        fn new(keep: usize, limit: u64) -> Self {
            let (folder, dropped) = (tempfile::tempdir().unwrap(), Counter::default());
            let log = Log::new(LogRequests::None);
            let prediction_log =
                PredictionLog::with_limit(&folder.path().join("kept"), keep, limit, &log, &dropped).unwrap();
            Self { folder, prediction_log, dropped }
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
            numbers.for_each(|number| self.prediction_log.add(format!("{{\"number\":{number}}}").into_bytes()));
        }

        /// The numbers on disk; every line is complete.
        fn numbers(&self) -> Vec<u64> {
            let text: String = self.files().iter().map(|file| fs::read_to_string(file).unwrap()).collect();
            let number = |line: &str| serde_json::from_str::<Value>(line).unwrap()["number"].as_u64().unwrap();
            text.lines().map(number).collect()
        }

        fn wait(&self, what: &str, holds: impl Fn(&Self) -> bool) {
            let started = Instant::now();
            while !holds(self) {
                assert!(
                    started.elapsed() < Duration::from_secs(10),
                    "{what}: {:?}, {} dropped",
                    self.files(),
                    self.dropped.get()
                );
                thread::sleep(Duration::from_millis(5));
            }
        }
    }

    #[test]
    fn records_are_kept_in_order_and_old_files_go() {
        let folder = Folder::new(2, 100);
        folder.add(0..100);
        folder.prediction_log.close();
        assert_eq!(folder.files().len(), 3, "{:?}", folder.files());
        let numbers = folder.numbers();
        assert_eq!(numbers, (numbers[0]..100).collect::<Vec<u64>>());
        // old files are removed on purpose
        assert_eq!(folder.dropped.get(), 0);
        // records after the end are in no file
        folder.add(0..3);
        assert_eq!((folder.numbers().len(), folder.dropped.get()), (numbers.len(), 3));
    }

    #[test]
    fn a_file_that_is_in_use_is_not_removed() {
        let folder = Folder::new(0, 100);
        let log = Log::new(LogRequests::None);
        let other = PredictionLog::with_limit(&folder.path(), 0, 100, &log, &folder.dropped).unwrap();
        folder.add(0..50);
        folder.prediction_log.close();
        other.add(b"{\"number\":50}".to_vec());
        other.close();
        // each server keeps the file that was open
        assert_eq!((folder.files().len(), folder.numbers().contains(&50), folder.dropped.get()), (2, true, 0));
    }

    #[test]
    fn what_somebody_deletes_or_shortens_is_counted() {
        let folder = Folder::new(20, 1 << 20);
        let written = |count: usize| move |folder: &Folder| folder.numbers().len() == count;
        folder.add(0..100);
        folder.wait("the first records", written(100));
        fs::remove_file(&folder.files()[0]).unwrap();
        folder.wait("the loss of a file", |folder| folder.dropped.get() == 100);
        folder.add(100..150);
        folder.wait("another file", written(50));
        // a part of a line stays
        let file = fs::File::options().write(true).open(&folder.files()[0]).unwrap();
        file.set_len(15 * 11 + 5).unwrap();
        folder.wait("the loss of lines", |folder| folder.dropped.get() == 100 + 39);
        folder.add(150..160);
        folder.wait("a third file", written(11 + 10));
        // moved is not dropped
        fs::rename(folder.path(), folder.folder.path().join("elsewhere")).unwrap();
        folder.add(160..170);
        folder.wait("another folder", written(10));
        // and the whole folder
        fs::remove_dir_all(folder.path()).unwrap();
        folder.wait("the loss of the folder", |folder| folder.dropped.get() == 100 + 39 + 10);
        fs::write(folder.path(), "a file").unwrap();
        folder.add(170..175);
        folder.wait("that no folder can be made", |folder| folder.dropped.get() == 100 + 39 + 10 + 5);
        fs::remove_file(folder.path()).unwrap();
        folder.add(175..180);
        folder.prediction_log.close();
        assert_eq!(folder.numbers(), (175..180).collect::<Vec<u64>>());
        assert_eq!(folder.dropped.get(), 100 + 39 + 10 + 5);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "").unwrap();
        let log = Log::new(LogRequests::None);
        let error = PredictionLog::open(&path, 1, &log, &Counter::default()).unwrap_err();
        let expected =
            format!("{}: cannot write the prediction log to this folder: File exists (os error 17)", path.display());
        assert_eq!(format!("{error:#}"), expected);
    }
}
