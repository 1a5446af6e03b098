//! Reads records back, a piece of a file at a time: the files may be large, and the memory is meant to stay small.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::super::Error;
use super::super::record::{Entry, Record, Seq};
use super::frame::frames;
use super::{Spool, segment};
use crate::support::fs::{self, Context};

/// Bytes of records that are taken at a time.
const WINDOW: usize = 1 << 20;

/// Bytes of a file that are read at a time.
const PIECE: usize = 1 << 20;

impl Spool {
    /// Returns the next records that have to be delivered, in order: at most `count` and about a mebibyte, and none after an upload.
    pub(in crate::relay) fn window(&self, count: usize) -> Result<Vec<Record>, Error> {
        let (mut records, mut bytes): (Vec<Record>, usize) = (Vec::new(), 0);
        let start = self.segments.iter().position(|(first, _)| *first == self.head.0).unwrap_or(0);
        for (index, (first, size)) in self.segments.iter().enumerate().skip(start) {
            let mut at = if index == start { self.head.1 } else { 0 };
            let path = segment::path(&self.folder, *first);
            let file = File::open(&path).context("read", &path)?;
            while at < *size {
                let piece = piece(&file, at, *size).context("read", &path)?;
                let mut here = 0;
                for framed in frames(&piece) {
                    here = framed.end;
                    let Some(record) = framed.record.filter(|record| self.is_due(record)) else { continue };
                    let is_upload = matches!(record.entry, Entry::Upload(_));
                    records.push(*record);
                    bytes += framed.end - framed.start;
                    if is_upload || records.len() >= count || bytes > WINDOW {
                        return Ok(records);
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
                    if let Some(record) = frames(&piece).next().and_then(|framed| framed.record).filter(|record| self.is_due(record)) {
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

    fn is_due(&self, record: &Record) -> bool {
        record.seq > self.cursor.delivered && record.entry.is_pending()
    }

    /// Shows the records before a number that are still kept, oldest first.
    pub(in crate::relay) fn before(&self, seq: Seq, mut visit: impl FnMut(&Record)) -> Result<(), Error> {
        for (first, _) in self.segments.iter().filter(|(first, _)| *first < seq) {
            let bytes = fs::read(segment::path(&self.folder, *first))?;
            for record in frames(&bytes).filter_map(|framed| framed.record) {
                if record.seq >= seq {
                    return Ok(());
                }
                visit(&record);
            }
        }
        Ok(())
    }

    /// Returns where the record after this one stands, as well as it is cheaply known: the file that holds it, from the old head on.
    pub(super) fn position_after(&self, seq: Seq) -> (Seq, u64) {
        if self.pending.records == 0 {
            return *self.segments.last().expect("there is always a file to write to");
        }
        let holder = self.segments.iter().rev().find(|(first, _)| *first <= seq + 1).map_or(self.head.0, |(first, _)| *first);
        let from = if holder == self.head.0 { self.head.1 } else { 0 };
        let path = segment::path(&self.folder, holder);
        let skip = || -> std::io::Result<u64> {
            let file = File::open(&path)?;
            let size = self.segments.iter().find(|(first, _)| *first == holder).map_or(0, |(_, size)| *size);
            let mut at = from;
            while at < size {
                let mut here = 0;
                for framed in frames(&piece(&file, at, size)?) {
                    if framed.record.is_some_and(|record| record.seq > seq) {
                        return Ok(at + framed.start as u64);
                    }
                    here = framed.end;
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
}

/// Reads the piece at an offset of a file of this size.
fn piece(file: &File, at: u64, size: u64) -> std::io::Result<Vec<u8>> {
    let mut piece = vec![0; usize::try_from(size - at).unwrap_or(PIECE).min(PIECE)];
    file.read_exact_at(&mut piece, at)?;
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::super::Pending;
    use super::super::tests::{call, keys};
    use super::*;

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
        assert!(segment::list(folder.path()).expect("readable").len() <= 4);
    }
}
