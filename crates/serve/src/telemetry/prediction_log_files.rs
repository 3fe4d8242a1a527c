//! The files of the prediction log. They contain complete lines only; records that are in no file are counted.

use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use prometheus_client::metrics::counter::Counter;

use crate::telemetry::prediction_record::PredictionRecord;

/// Names that are tried for a new file, because another server may use the same folder.
const MAX_NAME_ATTEMPTS: u32 = 100;

/// The files of a folder, one of them open.
pub(crate) struct PredictionLogFiles {
    folder: PathBuf,
    /// The number of closed files that stay.
    keep: usize,
    /// Bytes after which a file is closed.
    limit: u64,
    open: Option<OpenFile>,
    /// The number of names tried. No name is used twice, so that names of one millisecond sort, too.
    names: u64,
    /// Lines written, whether or not their files still exist.
    line_count: u64,
    dropped: Counter,
}

/// The file that is being written.
struct OpenFile {
    path: PathBuf,
    file: File,
    /// Bytes of complete lines.
    bytes: u64,
    /// Complete lines.
    lines: u64,
}

/// A change of the open file by another program.
enum FileChange {
    None,
    /// It was moved, or another program writes to it: its lines are on disk.
    Move,
    /// It was deleted with its lines.
    Deletion,
    /// It was truncated.
    Truncation,
}

impl PredictionLogFiles {
    pub(crate) fn new(folder: &Path, keep: usize, limit: u64, dropped: Counter) -> Self {
        Self { folder: folder.to_owned(), keep, limit, open: None, names: 0, line_count: 0, dropped }
    }

    /// The number of lines written.
    pub(crate) fn line_count(&self) -> u64 {
        self.line_count
    }

    /// The number of records that are not on disk.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.get()
    }

    /// Appends records, and marks those that were written.
    ///
    /// # Errors
    /// With the reason why records were not written.
    pub(crate) fn write(&mut self, records: &mut [PredictionRecord]) -> Result<(), String> {
        let mut rest = records;
        while !rest.is_empty() {
            if self.open.as_ref().is_none_or(|open| open.bytes >= self.limit)
                && let Err(error) = self.begin()
                && self.open.is_none()
            {
                return Err(format!("{}: cannot create a file in this folder: {error}", self.folder.display()));
            }
            let Some(open) = &mut self.open else { return Ok(()) };
            // if no other file can be created, the full one takes all records
            let space = self.limit.checked_sub(open.bytes).filter(|space| *space > 0).unwrap_or(u64::MAX);
            let (now, later) = rest.split_at_mut(fitting(rest, space));
            let before = open.lines;
            let result = open.append(now);
            self.line_count += open.lines - before;
            if let Err(error) = result {
                let message = format!("{}: cannot write: {error}", open.path.display());
                // the next line must not follow a part of a line
                if open.cut().is_err() {
                    self.open = None;
                }
                return Err(message);
            }
            rest = later;
        }
        Ok(())
    }

    /// Checks whether the open file was changed; counts the lost lines, and returns their number. The next record then begins another file.
    pub(crate) fn check_open_file(&mut self) -> u64 {
        let Some(open) = &mut self.open else { return 0 };
        let lost_lines = match open.change() {
            FileChange::None => return 0,
            FileChange::Move => 0,
            FileChange::Deletion => open.lines,
            FileChange::Truncation => open.lines.saturating_sub(open.cut_to_lines().unwrap_or(0)),
        };
        self.dropped.inc_by(lost_lines);
        self.open = None;
        lost_lines
    }

    /// Closes the open file and creates the next one; names sort by time. If that fails, the open file stays open.
    ///
    /// # Errors
    /// If the folder or the file cannot be created.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        self.check_open_file();
        fs::create_dir_all(&self.folder)?;
        let time = cli::rfc3339(cli::now_ms()).replace([':', '.'], "-");
        let mut create = || -> io::Result<OpenFile> {
            self.names += 1;
            let path = self.folder.join(format!("predictions-{time}-{:04}.ndjson", self.names));
            let file = File::options().create_new(true).read(true).append(true).open(&path)?;
            Ok(OpenFile { path, file, bytes: 0, lines: 0 })
        };
        let mut created = create();
        for _ in 1..MAX_NAME_ATTEMPTS {
            match created {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => created = create(),
                _ => break,
            }
        }
        let next = created?;
        // the lock shows other servers that the file is in use; without support for locks they cannot know
        let _ = next.file.lock();
        self.open = Some(next);
        self.remove_surplus();
        Ok(())
    }

    /// Removes all closed files but the newest. A file that cannot be removed is tried again later.
    fn remove_surplus(&self) {
        let open = self.open.as_ref().map(|open| open.path.as_path());
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let ours =
            entries.map(|entry| entry.path()).filter(|path| is_prediction_log_file(path) && Some(path.as_path()) != open);
        let mut closed: Vec<PathBuf> = ours.filter(|path| !is_in_use(path)).collect();
        closed.sort();
        let surplus = closed.len().saturating_sub(self.keep);
        closed[..surplus].iter().for_each(|path| {
            let _ = fs::remove_file(path);
        });
    }
}

impl OpenFile {
    /// Writes records. Completely written ones are marked and counted, even if an error is returned.
    fn append(&mut self, records: &mut [PredictionRecord]) -> io::Result<()> {
        let text = records.iter().map(|record| record.line.as_slice()).collect::<Vec<_>>().concat();
        let mut written = 0;
        let result = loop {
            if written == text.len() {
                break Ok(());
            }
            match self.file.write(&text[written..]) {
                Ok(0) => break Err(ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        let mut end = 0;
        for record in records {
            end += record.line.len();
            if end > written {
                break;
            }
            record.is_written = true;
            self.bytes += record.line.len() as u64;
            self.lines += 1;
        }
        result
    }

    /// Removes a partial line at the end.
    fn cut(&self) -> io::Result<()> {
        self.file.set_len(self.bytes)
    }

    fn change(&self) -> FileChange {
        let Ok(open) = self.file.metadata() else { return FileChange::Deletion };
        if open.nlink() == 0 {
            return FileChange::Deletion;
        }
        let at_path = fs::symlink_metadata(&self.path);
        let is_same = at_path.is_ok_and(|at_path| (at_path.dev(), at_path.ino()) == (open.dev(), open.ino()));
        if open.len() < self.bytes {
            FileChange::Truncation
        } else if !is_same || open.len() > self.bytes {
            FileChange::Move
        } else {
            FileChange::None
        }
    }

    /// Removes a partial line at the end of a truncated file; returns the number of complete lines.
    fn cut_to_lines(&mut self) -> io::Result<u64> {
        let mut text = Vec::new();
        self.file.seek(SeekFrom::Start(0))?;
        self.file.read_to_end(&mut text)?;
        let end = memchr::memrchr(b'\n', &text).map_or(0, |last| last + 1);
        self.file.set_len(end as u64)?;
        Ok(memchr::memchr_iter(b'\n', &text).count() as u64)
    }
}

/// The number of records, at least one, that begin within `space` bytes.
fn fitting(records: &[PredictionRecord], space: u64) -> usize {
    let mut begin = 0;
    let fitting = records.iter().take_while(|record| {
        let fits = begin < space;
        begin += record.line.len() as u64;
        fits
    });
    fitting.count().max(1)
}

/// Whether a file is named like a file of the prediction log.
pub(crate) fn is_prediction_log_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("predictions-") && name.ends_with(".ndjson")
}

/// Whether another server writes to the file.
fn is_in_use(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}
