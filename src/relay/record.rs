//! What stands in the spool: the client's own calls, and notes of the relay to itself.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A number that says where in the order of everything a record stands, from 1.
pub(super) type Seq = u64;

/// One record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Its place in the order.
    #[serde(rename = "n")]
    pub(super) seq: Seq,
    /// The client's connection; on one connection, whoever sends the next request has read the answer to the last.
    #[serde(rename = "c", default)]
    pub(super) connection: u64,
    /// When it was written, in milliseconds since 1970.
    #[serde(rename = "t")]
    pub(super) at: i64,
    /// What it says.
    #[serde(rename = "e")]
    pub(super) entry: Entry,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    /// A call of the client that was acknowledged and has to be delivered.
    Call(Call),
    /// An artifact upload that was acknowledged; its bytes are in a file of their own.
    Upload(Upload),
    /// Nothing to deliver: a call of the client that is answered from here for good (the injected run's final status).
    Kept(Call),
    /// Nothing to deliver: an MLflow run as the server last showed it.
    Seen(Seen),
    /// Nothing to deliver: a run is about to be created, under this request's mark.
    Creating(Creating),
    /// Nothing to deliver: the record before it is the supervisor's own end of the injected run.
    Ended,
    /// Nothing to deliver: everything that is known, so that older files can go.
    View(Box<Value>),
}

impl Entry {
    /// Returns whether the server has to hear of it.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self, Self::Call(_) | Self::Upload(_))
    }
}

/// A call of MLflow's REST API as the client made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Call {
    /// The path, from the server's root: `/api/2.0/mlflow/runs/log-metric`.
    pub(super) path: String,
    /// The body, with all of its fields.
    pub(super) body: Map<String, Value>,
}

impl Call {
    /// Returns the name of the act: `runs/log-metric`.
    pub(super) fn act(&self) -> &str {
        super::call::act(&self.path).unwrap_or_default()
    }

    /// Returns the MLflow run that it is about.
    pub(super) fn run_id(&self) -> &str {
        run_id(&self.body)
    }
}

/// Returns the MLflow run that a body names: clients send `run_id`, and `run_uuid` for servers of long ago.
pub(super) fn run_id(body: &Map<String, Value>) -> &str {
    let text = |key: &str| body.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    text("run_id").or_else(|| text("run_uuid")).unwrap_or_default()
}

/// An artifact upload through the server's proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Upload {
    /// The path with its query, from the server's root.
    pub(super) target: String,
    /// The file beside the spool that holds the bytes.
    pub(super) blob: String,
    /// How many bytes.
    pub(super) size: u64,
    /// `Content-Type`, if the client said it.
    pub(super) content_type: Option<String>,
    /// SHA-256 of the bytes, in hexadecimal digits.
    pub(super) digest: String,
}

/// An MLflow run as the server last showed it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// `run` of the answer.
    pub(super) run: Value,
    /// The mark of the request that created it here, if one did.
    pub(super) mark: Option<String>,
}

/// A run that is about to be created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Creating {
    /// The request's mark, which stands on the run as a tag until it is known to be there.
    pub(super) mark: String,
    /// The client's call.
    pub(super) call: Call,
}

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

/// What stands at an offset of a spool file.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    /// A record, and the offset of the next.
    Record(Box<Record>, usize),
    /// Bytes that are not what was written, and where the next frame starts.
    Damaged(usize),
    /// The end; what may follow was cut off while it was written.
    End,
}

/// Reads the frame at an offset. Where it cannot be read and a whole one stands further on, what lies between is damaged; else it is the end.
pub(super) fn decode(bytes: &[u8], at: usize) -> Frame {
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
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

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
