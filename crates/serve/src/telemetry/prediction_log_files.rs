//! The files of the prediction log: whole lines only, and a count of those that are in no file.

use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use prometheus_client::metrics::counter::Counter;

use crate::telemetry::prediction_record::Record;

/// Names that are tried for a new file, where another server in the same folder was quicker.
const NAMES: u32 = 100;

/// The files of a folder, one of them open.
pub(crate) struct PredictionLogFiles {
    folder: PathBuf,
    /// Closed files that stay.
    keep: usize,
    /// Bytes after which a file is closed.
    limit: u64,
    open: Option<OpenFile>,
    /// Names that were tried: no name is used twice, so that names of one millisecond sort, too.
    names: u64,
    /// Lines that were written, whatever became of their files.
    line_count: u64,
    lost: Counter,
}

/// The file that is being written.
struct OpenFile {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines.
    bytes: u64,
    /// Whole lines.
    lines: u64,
}

/// What somebody else did to the file that is being written.
enum Change {
    None,
    /// It is elsewhere, or somebody else writes to it: its lines are on the disk.
    Move,
    /// Its lines are on no disk.
    Deletion,
    /// It ends before its last line.
    Truncation,
}

impl PredictionLogFiles {
    pub(crate) fn new(folder: &Path, keep: usize, limit: u64, lost: Counter) -> Self {
        Self { folder: folder.to_owned(), keep, limit, open: None, names: 0, line_count: 0, lost }
    }

    /// Lines that were written.
    pub(crate) fn line_count(&self) -> u64 {
        self.line_count
    }

    /// Records that are not on the disk.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.get()
    }

    /// Writes records behind those that are there, and marks those that are on the disk.
    ///
    /// # Errors
    /// With the reason why records are left, in words.
    pub(crate) fn write(&mut self, records: &mut [Record]) -> Result<(), String> {
        let mut rest = records;
        while !rest.is_empty() {
            if self.open.as_ref().is_none_or(|open| open.bytes >= self.limit)
                && let Err(error) = self.begin()
                && self.open.is_none()
            {
                return Err(format!("{}: cannot begin a file there: {error}", self.folder.display()));
            }
            let Some(open) = &mut self.open else { return Ok(()) };
            // a file that is full and stays open, because no other can be begun, takes them all
            let space = self.limit.checked_sub(open.bytes).filter(|space| *space > 0).unwrap_or(u64::MAX);
            let (now, later) = rest.split_at_mut(fitting(rest, space));
            let before = open.lines;
            let done = open.append(now);
            self.line_count += open.lines - before;
            if let Err(error) = done {
                let message = format!("{}: cannot write to it: {error}", open.path.display());
                // the next line must not follow a part of one
                if open.cut().is_err() {
                    self.open = None;
                }
                return Err(message);
            }
            rest = later;
        }
        Ok(())
    }

    /// Looks whether the open file is as it was left; counts the lines that are gone, and returns how many. Another file is begun with the
    /// next record.
    pub(crate) fn check_open_file(&mut self) -> u64 {
        let Some(open) = &mut self.open else { return 0 };
        let gone = match open.change() {
            Change::None => return 0,
            Change::Move => 0,
            Change::Deletion => open.lines,
            Change::Truncation => open.lines.saturating_sub(open.cut_to_lines().unwrap_or(0)),
        };
        self.lost.inc_by(gone);
        self.open = None;
        gone
    }

    /// Closes the open file and begins the next; names sort by time. The open file stays open where that cannot be.
    ///
    /// # Errors
    /// If the folder or a file cannot be made.
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
        for _ in 1..NAMES {
            match created {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => created = create(),
                _ => break,
            }
        }
        let next = created?;
        // other servers in this folder see that it is in use; where files cannot be locked, they cannot
        let _ = next.file.lock();
        self.open = Some(next);
        self.remove_surplus();
        Ok(())
    }

    /// Removes all closed files but the newest. One that cannot be removed stays, and is tried again with the next file.
    fn remove_surplus(&self) {
        let open = self.open.as_ref().map(|open| open.path.as_path());
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let ours = entries.map(|entry| entry.path()).filter(|path| is_ours(path) && Some(path.as_path()) != open);
        let mut closed: Vec<PathBuf> = ours.filter(|path| !is_in_use(path)).collect();
        closed.sort();
        let surplus = closed.len().saturating_sub(self.keep);
        closed[..surplus].iter().for_each(|path| {
            let _ = fs::remove_file(path);
        });
    }
}

impl OpenFile {
    /// Writes records; those that are whole in the file are marked and counted, even where an error is returned.
    fn append(&mut self, records: &mut [Record]) -> io::Result<()> {
        let text = records.iter().map(|record| record.line.as_slice()).collect::<Vec<_>>().concat();
        let mut taken = 0;
        let done = loop {
            if taken == text.len() {
                break Ok(());
            }
            match self.file.write(&text[taken..]) {
                Ok(0) => break Err(ErrorKind::WriteZero.into()),
                Ok(count) => taken += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        let mut end = 0;
        for record in records {
            end += record.line.len();
            if end > taken {
                break;
            }
            record.is_written = true;
            self.bytes += record.line.len() as u64;
            self.lines += 1;
        }
        done
    }

    /// Removes what stands behind the last whole line.
    fn cut(&self) -> io::Result<()> {
        self.file.set_len(self.bytes)
    }

    fn change(&self) -> Change {
        let Ok(open) = self.file.metadata() else { return Change::Deletion };
        if open.nlink() == 0 {
            return Change::Deletion;
        }
        let there = fs::symlink_metadata(&self.path);
        let is_same = there.is_ok_and(|there| (there.dev(), there.ino()) == (open.dev(), open.ino()));
        if open.len() < self.bytes {
            Change::Truncation
        } else if !is_same || open.len() > self.bytes {
            Change::Move
        } else {
            Change::None
        }
    }

    /// Removes a part of a line at the end of a file that was shortened; returns the whole lines before it.
    fn cut_to_lines(&mut self) -> io::Result<u64> {
        let mut text = Vec::new();
        self.file.seek(SeekFrom::Start(0))?;
        self.file.read_to_end(&mut text)?;
        let end = memchr::memrchr(b'\n', &text).map_or(0, |last| last + 1);
        self.file.set_len(end as u64)?;
        Ok(memchr::memchr_iter(b'\n', &text).count() as u64)
    }
}

/// How many of the records, one at least, are begun within `space` bytes.
fn fitting(records: &[Record], space: u64) -> usize {
    let mut begin = 0;
    let fitting = records.iter().take_while(|record| {
        let fits = begin < space;
        begin += record.line.len() as u64;
        fits
    });
    fitting.count().max(1)
}

/// Whether a file has the name of one of the prediction log.
pub(crate) fn is_ours(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("predictions-") && name.ends_with(".ndjson")
}

/// Whether another server writes to it.
fn is_in_use(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}
