//! What waits in a spool.

use std::path::Path;

use super::super::record::{Entry, Record};
use super::frame::frames;
use super::{cursor, segment};

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

/// Returns what waits in a spool that another process may be writing; `None` where there is none.
pub fn pending(folder: &Path) -> Option<Pending> {
    let cursor = cursor::read(folder)?;
    let mut pending = Pending::default();
    let segments = segment::list(folder).ok()?;
    for (index, (first, _)) in segments.iter().enumerate() {
        if segments.get(index + 1).is_some_and(|(next, _)| *next <= cursor.delivered + 1) {
            continue;
        }
        let bytes = std::fs::read(segment::path(folder, *first)).ok()?;
        for framed in frames(&bytes) {
            match framed.record {
                Some(record) if record.seq > cursor.delivered && record.entry.is_pending() => {
                    pending.records += 1;
                    pending.bytes += weight(&record, framed.end - framed.start);
                }
                Some(_) => {}
                None => pending.damaged += 1,
            }
        }
    }
    pending.refused = std::fs::read_to_string(folder.join("refused.jsonl")).map_or(0, |text| text.lines().count() as u64);
    Some(pending)
}

/// Returns the bytes that a record counts, of which these are its frame.
pub(super) fn weight(record: &Record, framed: usize) -> u64 {
    framed as u64 + if let Entry::Upload(upload) = &record.entry { upload.size } else { 0 }
}
