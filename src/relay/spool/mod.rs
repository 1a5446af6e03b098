//! The spool: writes on their way to the tracker, in files that outlive every process.
//!
//! ```text
//! <folder>/spool-<number of its first record>   records, each with length and checksum; a new file after 32 MiB
//!         /cursor                               up to where the server has everything, and up to where it may have it
//!         /blob-<n>                             the bytes of an artifact upload
//!         /refused.jsonl                        what the server refused, with its reason
//!         /lock                                 held by the one process that writes here
//! ```
//!
//! A record is in its file before its write is acknowledged: the death of any process loses nothing. What [`Spool::unsynced`] returns is synced at
//! least every 100 ms, which makes it outlive the machine too.

mod cursor;
mod frame;
mod open;
mod pending;
mod segment;
mod window;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::Error;
use super::record::{Entry, Record, Seq};
use crate::support::clock;
use crate::support::fs::{self, Context};
use crate::support::lock::Lock;
use cursor::{Cursor, CursorFile};
use frame::encode;
use pending::weight;

pub use pending::{Pending, pending};

/// The spool of one job.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    _lock: Lock,
    /// First record and size of each file, in order; the last is written to.
    segments: Vec<(Seq, u64)>,
    file: File,
    next: Seq,
    cursor: Cursor,
    cursor_file: CursorFile,
    pending: Pending,
    /// Where the first record that is not delivered stands: file and offset.
    head: (Seq, u64),
    /// The newest record that has to be delivered.
    last_pending: Seq,
    dirty: bool,
}

impl Spool {
    /// Appends an entry and returns its record. When this returns, the death of this process cannot lose it; when it fails, nothing is left of it.
    pub(super) fn append(&mut self, connection: u64, entry: Entry) -> Result<Record, Error> {
        let record = Record { seq: self.next, connection, at: clock::now().as_millisecond(), entry };
        let mut bytes = Vec::with_capacity(256);
        encode(&record, &mut bytes);
        let (first, size) = *self.segments.last().expect("there is always a file to write to");
        if let Err(error) = self.file.write_all(&bytes) {
            // What was written of it before the disk was full is taken back.
            let _ = self.file.set_len(size).and_then(|()| self.file.seek(SeekFrom::Start(size)).map(drop));
            return Err(Err::<(), _>(error).context("write", segment::path(&self.folder, first)).expect_err("it is an error").into());
        }
        self.segments.last_mut().expect("there is always a file to write to").1 += bytes.len() as u64;
        if record.entry.is_pending() {
            self.pending.records += 1;
            self.pending.bytes += weight(&record, bytes.len());
            self.last_pending = record.seq;
        } else if self.pending.records == 0 {
            // Nothing waits before it, so nothing has to be read to get past it.
            self.head = (first, size + bytes.len() as u64);
            self.cursor.delivered = record.seq;
        }
        self.next += 1;
        self.dirty = true;
        Ok(record)
    }

    /// Begins a new file when the present one is large, with all that is known as its first record; then removes what is no longer needed.
    pub(super) fn rotate(&mut self, view: impl FnOnce() -> serde_json::Value) -> Result<(), Error> {
        if self.segments.last().is_none_or(|(_, size)| *size < segment::FULL) {
            return Ok(());
        }
        self.file.sync_data().context("sync", &self.folder)?;
        let first = self.next;
        let path = segment::path(&self.folder, first);
        let file = segment::private(&path)?;
        let before = std::mem::replace(&mut self.file, file);
        self.segments.push((first, 0));
        if let Err(error) = self.append(0, Entry::View(Box::new(view()))) {
            self.segments.pop();
            self.file = before;
            fs::remove_file(&path)?;
            return Err(error);
        }
        // The file of the head and the one before it stay: they tell what was delivered when an outcome is not known.
        let needed = self.segments.iter().rposition(|(first, _)| *first <= self.head.0).unwrap_or(0).saturating_sub(1);
        for (first, _) in self.segments.drain(..needed) {
            fs::remove_file(segment::path(&self.folder, first))?;
        }
        Ok(())
    }

    /// Notes that records up to this one are about to be sent.
    pub(super) fn intend(&mut self, through: Seq) -> Result<(), Error> {
        self.cursor.in_doubt = self.cursor.in_doubt.max(through);
        self.write_cursor()
    }

    /// Notes that the server has, or has refused, the first records of those that waited, up to the last of these. May be repeated.
    ///
    /// The bytes of uploads go, those of refused ones apart.
    pub(super) fn delivered(&mut self, window: &[Record], refused: &BTreeSet<Seq>) -> Result<(), Error> {
        let Some(last) = window.last().filter(|last| last.seq > self.cursor.delivered) else { return Ok(()) };
        let before = self.cursor;
        self.cursor = Cursor { delivered: last.seq, in_doubt: before.in_doubt.max(last.seq) };
        if let Err(error) = self.write_cursor() {
            self.cursor = before;
            return Err(error);
        }
        let mut bytes = Vec::new();
        for record in window {
            bytes.clear();
            encode(record, &mut bytes);
            self.pending.records = self.pending.records.saturating_sub(1);
            self.pending.bytes = self.pending.bytes.saturating_sub(weight(record, bytes.len()));
        }
        self.head = self.position_after(last.seq);
        for record in window.iter().filter(|record| !refused.contains(&record.seq)) {
            if let Entry::Upload(upload) = &record.entry {
                // One that stays is removed when the spool is opened again.
                let _ = fs::remove_file(self.folder.join(&upload.blob));
            }
        }
        Ok(())
    }

    fn write_cursor(&mut self) -> Result<(), Error> {
        self.cursor_file.write(self.cursor)?;
        self.dirty = true;
        Ok(())
    }

    /// Keeps what the server refused, with its reason.
    pub(super) fn refuse(&mut self, refusal: &impl serde::Serialize) -> Result<(), Error> {
        let path = self.folder.join("refused.jsonl");
        let mut line = serde_json::to_vec(refusal).expect("plain data of ours always serialises");
        line.push(b'\n');
        let mut file = fs::append(&path)?;
        file.write_all(&line).context("write", &path)?;
        self.pending.refused += 1;
        Ok(())
    }

    /// Returns handles to what has to reach the disk, or `None` when all of it has.
    pub(super) fn unsynced(&mut self) -> Option<File> {
        if !std::mem::take(&mut self.dirty) {
            return None;
        }
        self.file.try_clone().ok()
    }

    /// Returns a new file for the bytes of an upload.
    pub(super) fn blob(&self, name: &str) -> Result<(File, PathBuf), Error> {
        let path = self.folder.join(name);
        let file = segment::private(&path)?;
        file.set_len(0).context("write", &path)?;
        Ok((file, path))
    }

    /// Returns the folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the newest record that has, or had, to be delivered.
    pub(super) fn last_pending(&self) -> Seq {
        self.last_pending
    }

    /// Returns the number that the next record gets.
    pub(super) fn next(&self) -> Seq {
        self.next
    }

    /// Returns how far delivery has come.
    pub(super) fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Returns what waits.
    pub(super) fn pending(&self) -> Pending {
        self.pending
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Call;
    use super::*;
    use serde_json::json;

    pub(super) fn call(key: &str, filler: usize) -> Entry {
        let body = json!({ "run_id": "r", "key": key, "filler": "x".repeat(filler) });
        let serde_json::Value::Object(body) = body else { unreachable!("it is written as an object") };
        Entry::Call(Call { path: "/api/2.0/mlflow/runs/set-tag".into(), body })
    }

    pub(super) fn keys(records: &[Record]) -> Vec<String> {
        let key = |record: &Record| match &record.entry {
            Entry::Call(call) => call.body["key"].as_str().unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        records.iter().map(key).collect()
    }

    #[test]
    fn what_was_appended_is_there_after_a_death_and_what_was_delivered_is_not_given_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut spool = Spool::open(folder.path(), |_| {}).expect("a new spool");
        for key in ["a", "b", "c"] {
            spool.append(1, call(key, 0)).expect("writable");
        }
        let window = spool.window(2).expect("readable");
        assert_eq!(keys(&window), ["a", "b"]);
        spool.intend(window[1].seq).expect("writable");
        spool.delivered(&window[..1], &BTreeSet::new()).expect("writable");
        drop(spool);
        let mut seen = 0;
        let spool = Spool::open(folder.path(), |_| seen += 1).expect("readable");
        assert_eq!((seen, keys(&spool.window(9).expect("readable"))), (3, vec!["b".to_owned(), "c".to_owned()]));
        assert_eq!(spool.cursor(), Cursor { delivered: 1, in_doubt: 2 });
        assert_eq!((spool.pending().records, spool.pending()), (2, pending(folder.path()).expect("it is there")));
    }
}
