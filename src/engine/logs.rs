//! What a container wrote, in order of arrival, to its last byte.
//!
//! Engines end a stream that follows a container a little too early now and then, and drop what it wrote last. So the end of the
//! stream is not believed: while the container runs it is followed on, and once it has ended the tail of its log is compared
//! with what went by. The engine's time stamps, which are taken off again, make each record one of a kind.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error as Client;
use bollard::query_parameters::LogsOptionsBuilder;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt};

use super::error::Object;
use super::{Engine, Error, State, name};

/// Where a log stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// At what is there now.
    No,
    /// When the container ends.
    Yes,
}

/// How many records that are ready are passed on as one.
const AT_ONCE: usize = 256;
/// How many records are remembered, to find the place in the log's tail.
const REMEMBERED: usize = 64;
/// How long the tails are in which the place is looked for, before the whole log is read.
const TAILS: [&str; 2] = ["1000", "20000"];
/// How long to wait before it is looked again whether a container runs whose stream has ended.
const PAUSE: Duration = Duration::from_millis(20);
/// After how many such looks it is followed on.
const LOOKS: u32 = 5;

type Records = Pin<Box<dyn Stream<Item = Vec<Result<Bytes, Client>>> + Send>>;

impl Engine {
    /// Returns what a container wrote to stdout and stderr, in order of arrival, without the first `skip` bytes.
    ///
    /// The two are two pipes, so that what was written to both at the same moment may change places; a process that wants its own
    /// order writes both into one.
    ///
    /// Whoever keeps what it got resumes exactly: `skip` is the number of bytes kept. The engine keeps the log from the
    /// container's start, in files of its own that [`super::ContainerSpec`] never lets rotate. It keeps text: bytes that are not
    /// UTF-8 are replaced.
    pub fn logs(
        &self,
        container: &str,
        skip: u64,
        follow: Follow,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + use<>, Error> {
        let container = name::plain(Object::Container, container)?.to_owned();
        let reader = Reader {
            records: Some(open(self, &container, follow, "all")),
            act: format!("read the log of the container `{container}`"),
            engine: self.clone(),
            container,
            follow,
            skip,
            seen: 0,
            last: VecDeque::with_capacity(REMEMBERED),
        };
        Ok(Box::pin(futures_util::stream::try_unfold(reader, |mut reader| async { Ok(reader.next().await?.map(|bytes| (bytes, reader))) })))
    }
}

/// Asks for records with their time stamps in front.
fn open(engine: &Engine, container: &str, follow: Follow, tail: &str) -> Records {
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).timestamps(true).follow(follow == Follow::Yes).tail(tail).build();
    let records = engine.docker.logs(container, Some(options)).map_ok(LogOutput::into_bytes);
    Box::pin(Box::pin(records).ready_chunks(AT_ONCE))
}

/// Where the reading of a log is.
struct Reader {
    engine: Engine,
    container: String,
    act: String,
    follow: Follow,
    /// What the engine sends; nothing at the end.
    records: Option<Records>,
    /// How many bytes are still to be left out.
    skip: u64,
    /// How many bytes of the log went by.
    seen: u64,
    /// The last records that went by.
    last: VecDeque<Bytes>,
}

impl Reader {
    /// Returns the next bytes; nothing at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while let Some(records) = &mut self.records {
            let Some(records) = records.next().await else {
                self.records = None;
                if self.follow == Follow::Yes
                    && let Some(missed) = self.go_on().await?
                {
                    return Ok(Some(missed));
                }
                continue;
            };
            let mut bytes = BytesMut::new();
            for record in records {
                match record {
                    Ok(record) => self.pass(record, &mut bytes),
                    // What came before the error is not lost: whoever resumes asks for it again.
                    Err(error) => return Err(self.engine.failed(self.act.clone(), error)),
                }
            }
            if !bytes.is_empty() {
                return Ok(Some(bytes.freeze()));
            }
        }
        Ok(None)
    }

    /// Takes a record: remembers it, and appends what is to be passed on.
    fn pass(&mut self, record: Bytes, to: &mut BytesMut) {
        let content = content(&record);
        let left_out = usize::try_from(self.skip).unwrap_or(usize::MAX).min(content.len());
        self.skip -= left_out as u64;
        self.seen += content.len() as u64;
        to.extend_from_slice(&content[left_out..]);
        if self.last.len() == REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(record);
    }

    /// Goes on after the end of a stream: with the container, if it runs; else returns what of its log did not come.
    async fn go_on(&mut self) -> Result<Option<Bytes>, Error> {
        // A container outlives its output by a moment: the second look spares reading all of the log again.
        let mut looks = 0;
        loop {
            match self.engine.inspect(&self.container).await?.map(|container| container.state) {
                None => return Ok(None),
                Some(State::Running | State::Paused | State::Restarting) if looks == LOOKS => {
                    self.again(Follow::Yes);
                    return Ok(None);
                }
                Some(State::Running | State::Paused | State::Restarting) => tokio::time::sleep(PAUSE).await,
                Some(_) => break,
            }
            looks += 1;
        }
        self.follow = Follow::No;
        if !self.last.is_empty() {
            for tail in TAILS {
                let records = open(&self.engine, &self.container, Follow::No, tail).flat_map(futures_util::stream::iter);
                let records: Vec<Bytes> = records.try_collect().await.map_err(|error| self.engine.failed(self.act.clone(), error))?;
                if let Some(place) = after(&records, &self.last) {
                    let mut bytes = BytesMut::new();
                    for record in records.into_iter().skip(place) {
                        self.pass(record, &mut bytes);
                    }
                    return Ok(Some(bytes.freeze()).filter(|bytes| !bytes.is_empty()));
                }
            }
        }
        self.again(Follow::No);
        Ok(None)
    }

    /// Reads the log from its start once more, without what went by.
    fn again(&mut self, follow: Follow) {
        self.records = Some(open(&self.engine, &self.container, follow, "all"));
        self.skip += self.seen;
        self.seen = 0;
        self.last.clear();
    }
}

/// Returns a record without its time stamp: `2026-11-24T12:00:00.000000000Z text`.
fn content(record: &[u8]) -> &[u8] {
    record.iter().take(40).position(|byte| *byte == b' ').map_or(record, |space| &record[space + 1..])
}

/// Returns how many records there are up to the end of `last`, which are records in a row.
fn after(records: &[Bytes], last: &VecDeque<Bytes>) -> Option<usize> {
    (last.len()..=records.len()).rev().find(|end| records[end - last.len()..*end].iter().eq(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(texts: &[&'static str]) -> Vec<Bytes> {
        texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect()
    }

    #[test]
    fn the_place_in_a_tail_is_after_the_last_that_went_by() {
        let tail = records(&["1 a", "2 a", "2 a", "3 b"]);
        for (last, expected) in [
            (vec!["1 a"], Some(1)),
            (vec!["1 a", "2 a"], Some(2)),
            (vec!["2 a", "2 a"], Some(3)),
            (vec!["3 b"], Some(4)),
            (vec!["0 z"], None),
            (vec!["0 z", "1 a"], None),
        ] {
            assert_eq!(after(&tail, &records(&last).into()), expected, "{last:?}");
        }
    }

    #[test]
    fn a_record_loses_its_time_stamp_and_nothing_else() {
        for (record, text) in [
            ("2026-11-24T12:00:00.000000000Z  two spaces\n", " two spaces\n"),
            ("2026-11-24T12:00:00.000000000Z ", ""),
            ("2026-11-24T12:00:00.000000000+01:00 x y\n", "x y\n"),
        ] {
            assert_eq!(content(record.as_bytes()), text.as_bytes());
        }
    }
}
