//! How far delivery has come, in a file of two slots that are written in turn, so that one is whole whenever the process dies.
//!
//! A slot has 32 bytes: its turn, the two numbers of a [`Cursor`] (each 8 bytes little-endian), a CRC-32 of these, and 4 bytes of nothing.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::super::Error;
use super::super::record::Seq;
use super::segment::private;
use crate::support::fs::Context;

/// How far delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::relay) struct Cursor {
    /// The server has everything up to here.
    pub(in crate::relay) delivered: Seq,
    /// The server may have something of what comes after, up to here.
    pub(in crate::relay) in_doubt: Seq,
}

/// The file.
#[derive(Debug)]
pub(super) struct CursorFile {
    path: PathBuf,
    file: File,
    turn: u64,
}

const SLOT: usize = 32;

impl CursorFile {
    /// Opens the file of a spool's folder, or makes a new one.
    pub(super) fn open(folder: &Path) -> Result<(Self, Cursor), Error> {
        let path = folder.join("cursor");
        let file = private(&path)?;
        if file.metadata().context("read", &path)?.len() < 2 * SLOT as u64 {
            // Both slots have their room from the beginning: a disk that fills up later does not stop the delivery.
            file.write_all_at(&[0; 2 * SLOT], 0).context("write", &path)?;
        }
        let (cursor, turn) = newest(&file);
        Ok((Self { path, file, turn }, cursor))
    }

    /// Writes into the slot that does not hold the present cursor.
    pub(super) fn write(&mut self, cursor: Cursor) -> Result<(), Error> {
        self.turn += 1;
        let mut slot = [0; SLOT];
        slot[..8].copy_from_slice(&self.turn.to_le_bytes());
        slot[8..16].copy_from_slice(&cursor.delivered.to_le_bytes());
        slot[16..24].copy_from_slice(&cursor.in_doubt.to_le_bytes());
        let checksum = crc32fast::hash(&slot[..24]);
        slot[24..28].copy_from_slice(&checksum.to_le_bytes());
        Ok(self.file.write_all_at(&slot, (self.turn % 2) * SLOT as u64).context("write", &self.path)?)
    }
}

/// Returns the cursor of a folder that another process may be writing; `None` where there is none.
pub(super) fn read(folder: &Path) -> Option<Cursor> {
    Some(newest(&File::open(folder.join("cursor")).ok()?).0)
}

/// Returns the newest whole slot and its turn.
fn newest(file: &File) -> (Cursor, u64) {
    let mut best = (Cursor::default(), 0);
    for slot in 0..2 {
        let mut bytes = [0; SLOT];
        if file.read_exact_at(&mut bytes, slot * SLOT as u64).is_err() {
            continue;
        }
        let number = |at: usize| bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        let checksum = bytes[24..28].try_into().map_or(0, u32::from_le_bytes);
        if crc32fast::hash(&bytes[..24]) == checksum && number(0) > best.1 {
            best = (Cursor { delivered: number(8), in_doubt: number(16) }, number(0));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_was_cut_leaves_the_one_before() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (mut file, cursor) = CursorFile::open(folder.path()).expect("writable");
        assert_eq!(cursor, Cursor::default());
        for delivered in 1..=3 {
            file.write(Cursor { delivered, in_doubt: delivered + 1 }).expect("writable");
        }
        assert_eq!(read(folder.path()).map(|cursor| cursor.delivered), Some(3));
        // The third stands in the second slot.
        let mut bytes = std::fs::read(folder.path().join("cursor")).expect("readable");
        bytes[SLOT + 9] ^= 1;
        std::fs::write(folder.path().join("cursor"), bytes).expect("writable");
        assert_eq!(CursorFile::open(folder.path()).expect("readable").1, Cursor { delivered: 2, in_doubt: 3 });
    }
}
