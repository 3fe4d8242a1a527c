//! Finds the run of a search that was stopped before its selection was trained, so that one search is one run. Before the run is
//! recorded, it is written to a note beside the leaderboard. The note is removed once the selection is trained or the search failed. A
//! program locks its note, so that no other program resumes a running search.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use artifact::RunRecord;

use crate::search::shard::Shard;

/// Bytes of a note at most: a record of a few settings.
const MAX_NOTE_BYTES: u64 = 1 << 20;

/// The note of a search, locked as long as this value exists.
#[derive(Debug)]
pub(super) struct SearchNote {
    path: PathBuf,
    file: File,
}

/// The path of the note of a search below the folder of models; each shard has its own.
pub(super) fn note_path(models_dir: &Path, search: &str, Shard { index, count }: Shard) -> PathBuf {
    models_dir.join(format!("search/.search-{search}-{index}-{count}.json"))
}

impl SearchNote {
    /// Opens and locks the note; `None` if another program holds it, or it cannot be created.
    pub(super) fn hold(path: PathBuf) -> Option<Self> {
        fs::create_dir_all(path.parent()?).ok()?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).ok()?;
        file.try_lock().ok()?;
        // the last holder may have removed it in between
        path.exists().then_some(Self { path, file })
    }

    /// The run in the note, if its settings are those of this search.
    pub(super) fn stopped(&mut self, parent: &RunRecord) -> Option<RunRecord> {
        let mut text = String::new();
        (&self.file).take(MAX_NOTE_BYTES).read_to_string(&mut text).ok()?;
        let recorded = RunRecord::parse(&text).ok()?;
        let settings = |record: &RunRecord| (record.name.clone(), record.parameters.clone(), record.tags.clone());
        (settings(&recorded) == settings(parent)).then_some(recorded)
    }

    /// Writes the run that is about to be recorded.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn write(&mut self, parent: &RunRecord) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(parent)?;
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(format!("{text}\n").as_bytes())?;
        Ok(self.file.sync_all()?)
    }

    /// Removes the note: the search ended.
    pub(super) fn remove(self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use artifact::{RUN_RECORD_VERSION, RunIdentity};
    use serde_json::json;

    use super::*;

    fn record(id: &str, minutes: f64) -> RunRecord {
        RunRecord {
            format_version: RUN_RECORD_VERSION,
            identity: RunIdentity { run_id: id.into(), ..RunIdentity::default() },
            name: "m".into(),
            parameters: [("minutes".to_owned(), json!(minutes))].into(),
            tags: [("search".to_owned(), "1a2b".to_owned())].into(),
            ..RunRecord::default()
        }
    }

    #[test]
    fn a_stopped_search_is_found_again_and_one_under_way_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = note_path(folder.path(), "1a2b", Shard::WHOLE);
        let mut note = SearchNote::hold(path.clone()).unwrap();
        assert!(note.stopped(&record("a", 1.0)).is_none());
        note.write(&record("a", 1.0)).unwrap();
        assert!(SearchNote::hold(path.clone()).is_none(), "it is under way");
        drop(note);

        let mut note = SearchNote::hold(path.clone()).unwrap();
        assert_eq!(note.stopped(&record("b", 1.0)).unwrap().identity.run_id, "a");
        drop(note);
        // other settings are another run
        let mut note = SearchNote::hold(path.clone()).unwrap();
        assert!(note.stopped(&record("b", 2.0)).is_none());
        note.write(&record("b", 2.0)).unwrap();
        drop(note);
        let mut note = SearchNote::hold(path.clone()).unwrap();
        assert_eq!(note.stopped(&record("c", 2.0)).unwrap().identity.run_id, "b");
        note.remove();
        assert!(!path.exists());
    }
}
