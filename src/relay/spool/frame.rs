//! How a record stands in a file: its length and checksum, then the record.

use super::super::record::Record;

/// Frames a record: its length and CRC-32, both as 4 bytes little-endian, then the record as JSON.
pub(super) fn encode(record: &Record, into: &mut Vec<u8>) {
    let start = into.len();
    into.extend_from_slice(&[0; 8]);
    serde_json::to_writer(&mut *into, record).expect("plain data of ours always serialises");
    let length = u32::try_from(into.len() - start - 8).unwrap_or(u32::MAX);
    let checksum = crc32fast::hash(&into[start + 8..]);
    into[start..start + 4].copy_from_slice(&length.to_le_bytes());
    into[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
}

/// What stands between two offsets of a spool file.
#[derive(Debug, PartialEq)]
pub(super) struct Framed {
    /// The record; `None` where the bytes are not what was written.
    pub(super) record: Option<Box<Record>>,
    /// Where it begins.
    pub(super) start: usize,
    /// Where the next frame starts.
    pub(super) end: usize,
}

/// Reads frame after frame from the beginning, up to the end or to what was cut off while it was written.
pub(super) fn frames(bytes: &[u8]) -> impl Iterator<Item = Framed> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let (record, end) = match decode(bytes, start) {
            Frame::Record(record, end) => (Some(record), end),
            Frame::Damaged(end) => (None, end),
            Frame::End => return None,
        };
        Some(Framed { record, start: std::mem::replace(&mut start, end), end })
    })
}

/// What stands at an offset of a spool file.
#[derive(Debug, PartialEq)]
enum Frame {
    /// A record, and the offset of the next.
    Record(Box<Record>, usize),
    /// Bytes that are not what was written, and where the next frame starts.
    Damaged(usize),
    /// The end; what may follow was cut off while it was written.
    End,
}

/// Reads the frame at an offset. Where it cannot be read and a whole one stands further on, what lies between is damaged; else it is the end.
fn decode(bytes: &[u8], at: usize) -> Frame {
    match whole(bytes, at) {
        Some((record, next)) => Frame::Record(record, next),
        None => next_whole(bytes, at).map_or(Frame::End, Frame::Damaged),
    }
}

/// Returns the record at an offset, when all of it is there as it was written.
fn whole(bytes: &[u8], at: usize) -> Option<(Box<Record>, usize)> {
    let head = bytes.get(at..at.checked_add(8)?)?;
    let number = |part: &[u8]| part.try_into().map_or(0, u32::from_le_bytes);
    let (length, checksum) = (number(&head[..4]) as usize, number(&head[4..]));
    let next = at.checked_add(8)?.checked_add(length)?;
    let payload = bytes.get(at + 8..next).filter(|payload| !payload.is_empty())?;
    if crc32fast::hash(payload) != checksum {
        return None;
    }
    Some((serde_json::from_slice(payload).ok()?, next))
}

/// Returns where the next whole record stands, looking for how each of them begins.
fn next_whole(bytes: &[u8], at: usize) -> Option<usize> {
    const BEGINS: &[u8] = br#"{"n":"#;
    let mut from = at + 9;
    while let Some(found) = bytes.get(from..)?.windows(BEGINS.len()).position(|window| window == BEGINS) {
        let start = from + found - 8;
        if whole(bytes, start).is_some() {
            return Some(start);
        }
        from += found + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::super::record::{Call, Entry, Seq};
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn record(seq: Seq, value: f64) -> Record {
        let body = json!({ "run_id": "r", "key": "k", "value": value, "unknown": [1, { "a": null }] });
        let Value::Object(body) = body else { unreachable!("it is written as an object") };
        Record { seq, connection: 3, at: 5, entry: Entry::Call(Call { path: "/api/2.0/mlflow/runs/log-metric".into(), body }) }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_to_the_last_bit(values in proptest::collection::vec(proptest::num::f64::NORMAL, 1..20), cut in 0..400_usize) {
            let mut bytes = Vec::new();
            let mut ends = Vec::new();
            for (index, value) in values.iter().enumerate() {
                encode(&record(index as u64 + 1, *value), &mut bytes);
                ends.push(bytes.len());
            }
            // A file that was cut anywhere gives all records before the cut, and no other.
            let kept = bytes.len().saturating_sub(cut);
            let whole = ends.iter().filter(|end| **end <= kept).count();
            let (mut at, mut read) = (0, Vec::new());
            while let Frame::Record(record, next) = decode(&bytes[..kept], at) {
                read.push(*record);
                at = next;
            }
            let expected: Vec<Record> = values.iter().take(whole).enumerate().map(|(index, value)| record(index as u64 + 1, *value)).collect();
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn a_damaged_record_is_passed_over_and_a_damaged_tail_is_the_end() {
        let mut bytes = Vec::new();
        encode(&record(1, 0.5), &mut bytes);
        let first = bytes.len();
        encode(&record(2, 0.5), &mut bytes);
        bytes[20] ^= 1;
        assert_eq!(decode(&bytes, 0), Frame::Damaged(first));
        assert!(matches!(decode(&bytes, first), Frame::Record(..)));
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert_eq!(decode(&bytes, first), Frame::End);
    }

    #[test]
    fn a_damaged_length_does_not_hide_what_follows() {
        let mut bytes = Vec::new();
        for seq in 1..=3 {
            encode(&record(seq, 0.5), &mut bytes);
        }
        let second = bytes.len() / 3;
        bytes[second + 2] ^= 0x40;
        assert!(matches!(decode(&bytes, 0), Frame::Record(..)));
        assert_eq!(decode(&bytes, second), Frame::Damaged(second * 2));
        assert!(matches!(decode(&bytes, second * 2), Frame::Record(..)));
    }
}
