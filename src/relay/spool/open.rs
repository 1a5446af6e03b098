//! Takes up a spool again: what is still kept, and where to go on.

use std::collections::BTreeSet;
use std::io::{Seek, SeekFrom};
use std::path::Path;

use super::super::Error;
use super::super::record::{Entry, Record};
use super::cursor::CursorFile;
use super::frame::frames;
use super::pending::weight;
use super::{Pending, Spool, segment};
use crate::support::fs::{self, Context};
use crate::support::lock::Lock;

impl Spool {
    /// Opens a spool, or makes a new one, and shows every record that is still kept, in order.
    pub(in crate::relay) fn open(folder: &Path, mut visit: impl FnMut(&Record)) -> Result<Self, Error> {
        fs::create_private_dir_all(folder)?;
        let lock = Lock::try_exclusive(&folder.join("lock"))?.ok_or_else(|| Error::InUse(folder.display().to_string()))?;
        let (cursor_file, cursor) = CursorFile::open(folder)?;
        let mut segments = segment::list(folder)?;
        let (mut next, mut pending, mut head, mut last_pending) = (1, Pending::default(), None, cursor.delivered);
        let last = segments.len().saturating_sub(1);
        let mut blobs = BTreeSet::new();
        for (index, (first, size)) in segments.iter_mut().enumerate() {
            let path = segment::path(folder, *first);
            let bytes = fs::read(&path)?;
            let mut whole = 0;
            for framed in frames(&bytes) {
                whole = framed.end;
                let Some(record) = framed.record else {
                    pending.damaged += 1;
                    continue;
                };
                if record.seq > cursor.delivered {
                    head.get_or_insert((*first, framed.start as u64));
                    if record.entry.is_pending() {
                        if let Entry::Upload(upload) = &record.entry {
                            blobs.insert(upload.blob.clone());
                        }
                        pending.records += 1;
                        pending.bytes += weight(&record, framed.end - framed.start);
                        last_pending = record.seq;
                    }
                }
                next = record.seq + 1;
                visit(&record);
            }
            if index == last {
                *size = whole as u64;
            }
        }
        // A number is never used twice, whatever the disk has lost.
        next = next.max(cursor.delivered + 1).max(cursor.in_doubt + 1).max(1);
        if segments.is_empty() {
            segments.push((next, 0));
        }
        let (first, size) = segments[segments.len() - 1];
        let path = segment::path(folder, first);
        let mut file = segment::private(&path)?;
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

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::super::tests::{call, keys};
    use super::*;

    #[test]
    fn a_record_that_was_cut_is_taken_back_and_its_number_is_used_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut spool = Spool::open(folder.path(), |_| {}).expect("a new spool");
        spool.append(1, call("a", 0)).expect("writable");
        let cut = spool.append(1, call("b", 0)).expect("writable").seq;
        drop(spool);
        let path = segment::path(folder.path(), 1);
        let size = std::fs::metadata(&path).expect("it is there").len();
        File::options().write(true).open(&path).and_then(|file| file.set_len(size - 3)).expect("writable");
        let mut spool = Spool::open(folder.path(), |_| {}).expect("readable");
        assert_eq!(spool.append(1, call("c", 0)).expect("writable").seq, cut);
        assert_eq!(keys(&spool.window(9).expect("readable")), ["a", "c"]);
    }

    #[test]
    fn one_process_writes_at_a_time() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let _spool = Spool::open(folder.path(), |_| {}).expect("a new spool");
        assert!(matches!(Spool::open(folder.path(), |_| {}), Err(Error::InUse(_))));
    }
}
