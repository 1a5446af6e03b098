//! How the nodes of a job end, and which of them decides how the job has ended.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::engine::{self, Engine};
use crate::job::attempt::Attempt;
use crate::job::{NodeState, NodeWord};
use crate::support::causes;
use crate::support::words::Size;
use crate::target::supervised::{Evidence, Exit, Stop};

use super::collect::state;
use super::elsewhere;
use super::nodes::Made;
use super::watch::{AWAY, TICK};

/// How often what an engine refuses is asked for, of a container that has ended.
const TRIES: u32 = 3;

/// What is known so far of how the nodes ended.
pub(super) struct Ends<'a> {
    made: &'a [Made],
    /// When each was started, as far as that is known.
    started: Vec<Option<Timestamp>>,
    /// The place of each node that has ended, in the order in which their ends were heard of.
    heard: Vec<(usize, End)>,
}

impl<'a> Ends<'a> {
    /// Begins with what is known of containers that have been started.
    pub(super) fn new(made: &'a [Made], found: &[Option<engine::Container>]) -> Self {
        let started = (0..made.len()).map(|index| found.get(index)?.as_ref()?.started_at).collect();
        Self { made, started, heard: Vec::new() }
    }

    /// Takes note of the end of a node.
    pub(super) fn hear(&mut self, index: usize, end: End) {
        self.heard.push((index, end));
    }

    /// Returns whether all have ended.
    pub(super) fn are_complete(&self) -> bool {
        self.heard.len() == self.made.len()
    }

    /// Returns the nodes that have not ended.
    pub(super) fn running(&self) -> impl Iterator<Item = &'a Made> {
        self.made.iter().enumerate().filter(|(index, _)| self.of(*index).is_none()).map(|(_, made)| made)
    }

    /// Returns whether the container of a node was removed.
    pub(super) fn is_gone(&self, index: usize) -> bool {
        self.of(index).is_some_and(|end| end.container.is_none())
    }

    /// Returns whether a node has failed.
    pub(super) fn has_failure(&self) -> bool {
        self.first_failed().is_some()
    }

    /// Writes down how the nodes stand, if there are several.
    pub(super) fn note(&self, attempt: &Attempt) {
        if self.made.len() == 1 {
            return;
        }
        let stand = |(index, made): (usize, &Made)| {
            let (state, exit_code) = match self.of(index).map(|end| &end.container) {
                None => (NodeWord::Running, None),
                Some(None) => (NodeWord::Gone, None),
                Some(Some(container)) => (NodeWord::Ended, container.exit_code),
            };
            let container = self.of(index).and_then(|end| end.container.as_ref());
            let (started_at, ended_at) = container.map_or((None, None), |container| (container.started_at, container.finished_at));
            NodeState {
                rank: made.node.rank,
                name: made.node.name.clone(),
                state,
                exit_code,
                started_at: started_at.or(self.started[index]),
                ended_at,
            }
        };
        attempt.note_nodes(&self.made.iter().enumerate().map(stand).collect::<Vec<_>>());
    }

    /// Returns why the job was ended, when somebody else was asked to.
    pub(super) fn stopped(&self) -> Option<Stop> {
        self.heard.iter().find_map(|(_, end)| elsewhere::stopped(&end.state))
    }

    /// Returns what was seen of the node whose end is the job's, once all have ended: the one that failed first, unless we ended them all.
    pub(super) fn evidence(&self, asked: Option<Stop>) -> Evidence {
        let failed = self.first_failed().filter(|_| asked.is_none());
        let end = self.of(failed.unwrap_or(0)).expect("all have ended");
        let mut evidence = end.evidence(asked);
        evidence.node = failed.filter(|_| self.made.len() > 1).map(|index| self.made[index].node.rank);
        evidence
    }

    fn of(&self, index: usize) -> Option<&End> {
        self.heard.iter().find(|(known, _)| *known == index).map(|(_, end)| end)
    }

    /// Returns the place of the node that failed before the others: what comes after it may be its consequence.
    fn first_failed(&self) -> Option<usize> {
        let failed: Vec<&(usize, End)> = self.heard.iter().filter(|(_, end)| end.has_failed()).collect();
        let (first, end) = failed.first()?;
        if end.container.is_none() {
            return Some(*first);
        }
        let there = failed.into_iter().filter(|(_, end)| end.container.is_some());
        // A bootstrap sees the end of its command well before the engine sees the container's.
        let all_saw = there.clone().all(|(_, end)| end.uptime.is_some());
        let when = |end: &End| (end.uptime.filter(|_| all_saw), end.container.as_ref().and_then(|container| container.finished_at));
        there.min_by_key(|(_, end)| when(end)).map(|(index, _)| *index)
    }
}

/// How a node ended.
pub(super) struct End {
    /// `None` when it was removed while it ran.
    container: Option<engine::Container>,
    /// What its bootstrap wrote down.
    state: BTreeMap<String, (String, Timestamp)>,
    /// When its bootstrap saw the end, in hundredths of a second by a clock that all containers of an engine share.
    uptime: Option<u64>,
    /// Whether the engine did not answer meanwhile.
    was_away: bool,
    /// Why nobody knows what its bootstrap wrote down.
    unread: Option<String>,
    /// Its limit of memory, when the engine does not tell whether that is why it was killed.
    suspect: Option<u64>,
}

impl End {
    fn has_failed(&self) -> bool {
        let succeeded = |container: &engine::Container| container.exit_code == Some(0) && self.state.contains_key("started");
        !self.container.as_ref().is_some_and(succeeded)
    }

    fn read(&self, name: &str) -> Option<String> {
        self.state.get(name).map(|(text, _)| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn evidence(&self, stop: Option<Stop>) -> Evidence {
        let Some(container) = &self.container else {
            let gone = "its container was removed while it ran".to_owned();
            return Evidence { gone: Some(gone).filter(|_| stop.is_none()), stop, ..Evidence::default() };
        };
        let started_at = self.state.get("started").map(|(_, time)| (*time).max(container.started_at.unwrap_or(*time)));
        Evidence {
            exit: container.exit_code.map(Exit::Code),
            code: self.read("code").and_then(|code| code.parse().ok()),
            started_at,
            failed_step: self.read("failed-step"),
            last_step: self.read("step"),
            kills: u64::from(container.oom_killed),
            stop,
            note: self.note(container),
            ..Evidence::default()
        }
    }

    /// Says what may be behind an end by a signal, or what is not known of an end.
    fn note(&self, container: &engine::Container) -> Option<String> {
        if let Some(why) = &self.unread {
            return Some(format!("what its bootstrap wrote down cannot be read: {why}"));
        }
        if let Some(limit) = self.suspect {
            let words = "and this engine does not tell";
            return Some(format!("it was killed, probably out of memory: its limit was {}, {words}", Size(limit)));
        }
        let signalled = matches!(container.exit_code, Some(137 | 143));
        (self.was_away && signalled).then(|| "its container engine was away meanwhile, and may have ended it".to_owned())
    }
}

/// Waits until a node has ended, and returns its place with how it ended.
pub(super) async fn end(engine: &Engine, index: usize, made: &Made, memory: Option<u64>) -> (usize, End) {
    let (container, was_away) = ended(engine, &made.id).await;
    let (state, unread) = if container.is_some() { written(engine, &made.id).await } else { (BTreeMap::new(), None) };
    let uptime = state.get("ended").and_then(|(text, _)| hundredths(text));
    let suspect = match &container {
        Some(container) if memory.is_some() && is_unexplained(container) && !tells_memory(engine).await => memory,
        _ => None,
    };
    (index, End { container, state, uptime, was_away, unread, suspect })
}

/// Returns whether a container was killed, and not for want of memory as far as its engine knows.
fn is_unexplained(container: &engine::Container) -> bool {
    container.exit_code == Some(137) && !container.oom_killed
}

/// Returns whether an engine knows which of its containers were killed for want of memory: Podman does not with the first version of control
/// groups. One that does not answer is not suspected.
async fn tells_memory(engine: &Engine) -> bool {
    let silent = |about: engine::About| about.product == engine::Product::Podman && about.cgroups != engine::Cgroups::V2;
    !engine.about().await.is_ok_and(silent)
}

/// Returns what a bootstrap wrote down, or why that cannot be read. An engine that is away comes back.
async fn written(engine: &Engine, id: &str) -> (BTreeMap<String, (String, Timestamp)>, Option<String>) {
    let mut tries = 0;
    loop {
        match state(engine, id).await {
            Ok(state) => return (state, None),
            Err(error) => {
                tries += u32::from(!error.is_transient());
                if tries == TRIES {
                    return (BTreeMap::new(), Some(causes::in_one_line(&error)));
                }
            }
        }
        tokio::time::sleep(AWAY).await;
    }
}

/// Reads what `/proc/uptime` begins with: `12345.67`.
fn hundredths(text: &str) -> Option<u64> {
    let (seconds, rest) = text.trim().split_once('.')?;
    Some(seconds.parse::<u64>().ok()? * 100 + rest.get(..2)?.parse::<u64>().ok()?)
}

/// Waits until the container has ended, over restarts of the engine; `None` when it is gone. Says too whether the engine was away.
async fn ended(engine: &Engine, id: &str) -> (Option<engine::Container>, bool) {
    let mut was_away = false;
    loop {
        match engine.wait(id).await {
            Ok(Some(container)) if !container.has_ended() && container.error.is_none() => tokio::time::sleep(TICK).await,
            Ok(end) => return (end, was_away),
            Err(_) => {
                was_away = true;
                tokio::time::sleep(AWAY).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn the_uptime_of_a_machine_is_read_to_its_hundredths() {
        for (text, expected) in [("12345.67\n", Some(1_234_567)), ("0.05", Some(5)), ("7", None), ("", None), ("1.x", None)] {
            assert_eq!(hundredths(text), expected, "{text}");
        }
    }

    /// Answers as an engine that fails at first when it is asked for files.
    fn engine_that_fails(times: usize, failure: &'static str, folder: &std::path::Path) -> Engine {
        let socket = folder.join("engine.sock");
        let listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        std::thread::spawn(move || {
            let mut failures = 0;
            for stream in listener.incoming() {
                let (mut stream, mut head) = (stream.expect("a connection"), Vec::new());
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    match stream.read(&mut byte) {
                        Ok(1) => head.push(byte[0]),
                        _ => break,
                    }
                }
                let answer = |kind: &str, body: &[u8]| {
                    let head =
                        format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                    [head.as_bytes(), body].concat()
                };
                let words = if String::from_utf8_lossy(&head).contains("_ping") {
                    answer("text/plain", b"OK")
                } else if failures < times {
                    failures += 1;
                    failure.as_bytes().to_vec()
                } else {
                    let (mut archive, mut header) = (tar::Builder::new(Vec::new()), tar::Header::new_gnu());
                    header.set_size(2);
                    header.set_mtime(1);
                    archive.append_data(&mut header, "state/code", b"7\n".as_slice()).expect("in memory");
                    answer("application/x-tar", &archive.into_inner().expect("in memory"))
                };
                let _ = stream.write_all(&words);
            }
        });
        let host = format!("unix://{}", socket.display());
        let endpoint = engine::Endpoint::choose(Some(&host), &BTreeMap::new(), folder).expect("an address");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
        runtime.block_on(Engine::connect(&endpoint)).expect("it answers")
    }

    fn read(engine: &Engine) -> (Option<String>, Option<String>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
        let (state, unread) = runtime.block_on(written(engine, "the-job"));
        (state.get("code").map(|(text, _)| text.clone()), unread)
    }

    #[test]
    fn an_engine_that_is_away_is_not_one_where_nothing_was_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // It hangs up without a word, once.
        assert_eq!(read(&engine_that_fails(1, "", folder.path())), (Some("7\n".to_owned()), None));
    }

    #[test]
    fn what_an_engine_refuses_to_tell_is_said() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let refusal = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 17\r\nConnection: close\r\n\r\n{\"message\":\"odd\"}";
        let (code, unread) = read(&engine_that_fails(usize::MAX, refusal, folder.path()));
        assert!(code.is_none() && unread.as_ref().is_some_and(|why| why.contains("odd")), "{unread:?}");
    }
}
