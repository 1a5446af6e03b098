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
//! A record is in its file before its write is acknowledged: the death of any process loses nothing. [`Spool::sync`] is called at least every
//! 100 ms and makes it outlive the machine too.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::Error;
use super::cursor::{self, Cursor, CursorFile};
use super::record::{Entry, Frame, Record, Seq, decode, encode};
use crate::support::clock;
use crate::support::fs::{self, Context};
use crate::support::lock::Lock;

/// Bytes after which a new file is begun.
const SEGMENT: u64 = 32 << 20;

/// Bytes of records that are taken at a time.
const WINDOW: usize = 1 << 20;

/// What waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Pending {
    /// Writes that the tracker does not have yet.
    pub records: u64,
    /// Their bytes, artifacts included.
    pub bytes: u64,
    /// Writes that the tracker refused; they are kept in `refused.jsonl`.
    pub refused: u64,
    /// Records that cannot be read back, because the disk changed them.
    pub damaged: u64,
}

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
    /// Opens a spool, or makes a new one, and shows every record that is still kept, in order.
    pub(super) fn open(folder: &Path, mut visit: impl FnMut(&Record)) -> Result<Self, Error> {
        fs::create_private_dir_all(folder)?;
        let lock = Lock::try_exclusive(&folder.join("lock"))?.ok_or_else(|| Error::InUse(folder.display().to_string()))?;
        let (cursor_file, cursor) = CursorFile::open(folder)?;
        let mut segments = segments(folder)?;
        let (mut next, mut pending, mut head, mut last_pending) = (1, Pending::default(), None, cursor.delivered);
        let last = segments.len().saturating_sub(1);
        let mut blobs = BTreeSet::new();
        for (index, (first, size)) in segments.iter_mut().enumerate() {
            let path = segment_path(folder, *first);
            let bytes = fs::read(&path)?;
            let mut at = 0;
            loop {
                match decode(&bytes, at) {
                    Frame::Record(record, end) => {
                        if record.seq > cursor.delivered {
                            head.get_or_insert((*first, at as u64));
                            if record.entry.is_pending() {
                                if let Entry::Upload(upload) = &record.entry {
                                    blobs.insert(upload.blob.clone());
                                }
                                pending.records += 1;
                                pending.bytes += weight(&record, end - at);
                                last_pending = record.seq;
                            }
                        }
                        next = record.seq + 1;
                        visit(&record);
                        at = end;
                    }
                    Frame::Damaged(end) => {
                        pending.damaged += 1;
                        at = end;
                    }
                    Frame::End => break,
                }
            }
            if index == last {
                *size = at as u64;
            }
        }
        // A number is never used twice, whatever the disk has lost.
        next = next.max(cursor.delivered + 1).max(cursor.in_doubt + 1).max(1);
        if segments.is_empty() {
            segments.push((next, 0));
        }
        let (first, size) = segments[segments.len() - 1];
        let path = segment_path(folder, first);
        let mut file = private(&path)?;
        file.set_len(size).and_then(|()| file.seek(SeekFrom::Start(size)).map(drop)).context("write", &path)?;
        pending.refused = std::fs::read_to_string(folder.join("refused.jsonl")).map_or(0, |text| text.lines().count() as u64);
        let head = head.unwrap_or((first, size));
        remove_strays(folder, &blobs)?;
        Ok(Self {
            folder: folder.to_owned(),
            _lock: lock,
            segments,
            file,
            next,
            cursor,
            cursor_file,
            pending,
            head,
            last_pending,
            dirty: false,
        })
    }

    /// Appends an entry and returns its record. When this returns, the death of this process cannot lose it; when it fails, nothing is left of it.
    pub(super) fn append(&mut self, connection: u64, entry: Entry) -> Result<Record, Error> {
        let record = Record { seq: self.next, connection, at: clock::now().as_millisecond(), entry };
        let mut bytes = Vec::with_capacity(256);
        encode(&record, &mut bytes);
        let (first, size) = *self.segments.last().expect("there is always a file to write to");
        if let Err(error) = self.file.write_all(&bytes) {
            // What was written of it before the disk was full is taken back.
            let _ = self.file.set_len(size).and_then(|()| self.file.seek(SeekFrom::Start(size)).map(drop));
            return Err(Err::<(), _>(error).context("write", segment_path(&self.folder, first)).expect_err("it is an error").into());
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
        if self.segments.last().is_none_or(|(_, size)| *size < SEGMENT) {
            return Ok(());
        }
        self.file.sync_data().context("sync", &self.folder)?;
        let first = self.next;
        let path = segment_path(&self.folder, first);
        let file = private(&path)?;
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
            fs::remove_file(segment_path(&self.folder, first))?;
        }
        Ok(())
    }

    /// Returns the next records that have to be delivered, in order: at most `count` and about a mebibyte, and none after an upload.
    pub(super) fn window(&self, count: usize) -> Result<Vec<Record>, Error> {
        let (mut records, mut bytes): (Vec<Record>, usize) = (Vec::new(), 0);
        let start = self.segments.iter().position(|(first, _)| *first == self.head.0).unwrap_or(0);
        for (index, (first, size)) in self.segments.iter().enumerate().skip(start) {
            let mut at = if index == start { self.head.1 } else { 0 };
            let path = segment_path(&self.folder, *first);
            let file = File::open(&path).context("read", &path)?;
            while at < *size {
                // A piece at a time: the file may be large and the memory is meant to stay small.
                let want = usize::try_from((*size - at).min(1 << 20)).unwrap_or(1 << 20);
                let mut piece = vec![0; want];
                file.read_exact_at(&mut piece, at).context("read", &path)?;
                let mut here = 0;
                loop {
                    match decode(&piece, here) {
                        Frame::Record(record, end) => {
                            let length = end - here;
                            here = end;
                            if record.seq <= self.cursor.delivered || !record.entry.is_pending() {
                                continue;
                            }
                            let is_upload = matches!(record.entry, Entry::Upload(_));
                            records.push(*record);
                            bytes += length;
                            if is_upload || records.len() >= count || bytes > WINDOW {
                                return Ok(records);
                            }
                        }
                        Frame::Damaged(end) => here = end,
                        Frame::End => break,
                    }
                }
                if here == 0 {
                    // A record that is larger than a piece.
                    let mut head = [0; 4];
                    file.read_exact_at(&mut head, at).context("read", &path)?;
                    let mut piece = vec![0; u32::from_le_bytes(head) as usize + 8];
                    if file.read_exact_at(&mut piece, at).is_err() {
                        break;
                    }
                    if let Frame::Record(record, _) = decode(&piece, 0)
                        && record.seq > self.cursor.delivered
                        && record.entry.is_pending()
                    {
                        records.push(*record);
                        return Ok(records);
                    }
                    here = piece.len();
                }
                at += here as u64;
            }
        }
        Ok(records)
    }

    /// Shows the records before a number that are still kept, oldest first.
    pub(super) fn before(&self, seq: Seq, mut visit: impl FnMut(&Record)) -> Result<(), Error> {
        for (first, _) in self.segments.iter().filter(|(first, _)| *first < seq) {
            let bytes = fs::read(segment_path(&self.folder, *first))?;
            let mut at = 0;
            loop {
                match decode(&bytes, at) {
                    Frame::Record(record, end) => {
                        if record.seq >= seq {
                            return Ok(());
                        }
                        visit(&record);
                        at = end;
                    }
                    Frame::Damaged(end) => at = end,
                    Frame::End => break,
                }
            }
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

    /// Returns where the record after this one stands, as well as it is cheaply known: the file that holds it, from the old head on.
    fn position_after(&self, seq: Seq) -> (Seq, u64) {
        if self.pending.records == 0 {
            return *self.segments.last().expect("there is always a file to write to");
        }
        let holder = self.segments.iter().rev().find(|(first, _)| *first <= seq + 1).map_or(self.head.0, |(first, _)| *first);
        let from = if holder == self.head.0 { self.head.1 } else { 0 };
        let path = segment_path(&self.folder, holder);
        let skip = || -> std::io::Result<u64> {
            let file = File::open(&path)?;
            let size = self.segments.iter().find(|(first, _)| *first == holder).map_or(0, |(_, size)| *size);
            let mut at = from;
            while at < size {
                let want = usize::try_from((size - at).min(1 << 20)).unwrap_or(1 << 20);
                let mut piece = vec![0; want];
                file.read_exact_at(&mut piece, at)?;
                let mut here = 0;
                loop {
                    match decode(&piece, here) {
                        Frame::Record(record, end) => {
                            if record.seq > seq {
                                return Ok(at + here as u64);
                            }
                            here = end;
                        }
                        Frame::Damaged(end) => here = end,
                        Frame::End => break,
                    }
                }
                if here == 0 {
                    return Ok(at);
                }
                at += here as u64;
            }
            Ok(at)
        };
        (holder, skip().unwrap_or(from))
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
        let file = private(&path)?;
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

/// Removes the bytes of uploads that were broken off, or are delivered; what was refused is kept.
fn remove_strays(folder: &Path, wanted: &BTreeSet<String>) -> Result<(), Error> {
    let kept = std::fs::read_to_string(folder.join("refused.jsonl")).unwrap_or_default();
    for entry in std::fs::read_dir(folder).context("read", folder)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("blob-") && !wanted.contains(&name) && !kept.contains(&name) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Returns what waits in a spool that another process may be writing; `None` where there is none.
pub fn pending(folder: &Path) -> Option<Pending> {
    let cursor = cursor::read(folder)?;
    let mut pending = Pending::default();
    let segments = segments(folder).ok()?;
    for (index, (first, _)) in segments.iter().enumerate() {
        if segments.get(index + 1).is_some_and(|(next, _)| *next <= cursor.delivered + 1) {
            continue;
        }
        let bytes = std::fs::read(segment_path(folder, *first)).ok()?;
        let mut at = 0;
        loop {
            match decode(&bytes, at) {
                Frame::Record(record, end) => {
                    if record.seq > cursor.delivered && record.entry.is_pending() {
                        pending.records += 1;
                        pending.bytes += weight(&record, end - at);
                    }
                    at = end;
                }
                Frame::Damaged(end) => {
                    pending.damaged += 1;
                    at = end;
                }
                Frame::End => break,
            }
        }
    }
    pending.refused = std::fs::read_to_string(folder.join("refused.jsonl")).map_or(0, |text| text.lines().count() as u64);
    Some(pending)
}

fn weight(record: &Record, framed: usize) -> u64 {
    framed as u64 + if let Entry::Upload(upload) = &record.entry { upload.size } else { 0 }
}

fn segment_path(folder: &Path, first: Seq) -> PathBuf {
    folder.join(format!("spool-{first:012}"))
}

fn segments(folder: &Path) -> Result<Vec<(Seq, u64)>, Error> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).context("read", folder)?.flatten() {
        let name = entry.file_name();
        let Some(first) = name.to_str().and_then(|name| name.strip_prefix("spool-")?.parse().ok()) else { continue };
        found.push((first, entry.metadata().context("read", entry.path())?.len()));
    }
    found.sort_unstable();
    Ok(found)
}

pub(super) fn private(path: &Path) -> Result<File, Error> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(options.open(path).context("open", path)?)
}

#[cfg(test)]
mod tests {
    use super::super::record::Call;
    use super::*;
    use serde_json::json;

    fn call(key: &str, filler: usize) -> Entry {
        let body = json!({ "run_id": "r", "key": key, "filler": "x".repeat(filler) });
        let serde_json::Value::Object(body) = body else { unreachable!("it is written as an object") };
        Entry::Call(Call { path: "/api/2.0/mlflow/runs/set-tag".into(), body })
    }

    fn keys(records: &[Record]) -> Vec<String> {
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

    #[test]
    fn a_record_that_was_cut_is_taken_back_and_its_number_is_used_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut spool = Spool::open(folder.path(), |_| {}).expect("a new spool");
        spool.append(1, call("a", 0)).expect("writable");
        let cut = spool.append(1, call("b", 0)).expect("writable").seq;
        drop(spool);
        let path = segment_path(folder.path(), 1);
        let size = std::fs::metadata(&path).expect("it is there").len();
        File::options().write(true).open(&path).and_then(|file| file.set_len(size - 3)).expect("writable");
        let mut spool = Spool::open(folder.path(), |_| {}).expect("readable");
        assert_eq!(spool.append(1, call("c", 0)).expect("writable").seq, cut);
        assert_eq!(keys(&spool.window(9).expect("readable")), ["a", "c"]);
    }

    #[test]
    fn large_records_and_many_files_are_read_in_order_and_old_files_go() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut spool = Spool::open(folder.path(), |_| {}).expect("a new spool");
        let names: Vec<String> = (0..30).map(|number| format!("k{number}")).collect();
        for name in &names {
            spool.append(1, call(name, 3 << 20)).expect("writable");
            spool.rotate(|| json!({ "known": true })).expect("writable");
        }
        assert!(spool.segments.len() >= 3, "{:?}", spool.segments);
        let mut read = Vec::new();
        loop {
            let window = spool.window(4).expect("readable");
            if window.is_empty() {
                break;
            }
            spool.delivered(&window, &BTreeSet::new()).expect("writable");
            read.extend(keys(&window));
        }
        assert_eq!(read, names);
        assert_eq!(spool.pending(), Pending::default());
        for name in 0..12 {
            spool.append(1, call(&name.to_string(), 3 << 20)).expect("writable");
            spool.rotate(|| json!({})).expect("writable");
        }
        assert!(segments(folder.path()).expect("readable").len() <= 4);
    }

    #[test]
    fn one_process_writes_at_a_time() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let _spool = Spool::open(folder.path(), |_| {}).expect("a new spool");
        assert!(matches!(Spool::open(folder.path(), |_| {}), Err(Error::InUse(_))));
    }
}
