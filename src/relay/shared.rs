//! What the parts of a running relay share.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use super::record::{Entry, Seq};
use super::spool::Spool;
use super::upstream::{Cause, Trouble, Upstream};
use super::view::View;
use super::{Error, Limits};
use crate::support::{clock, fs};

/// Whether the tracker answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Since when it does not; `None` while it does.
    pub away_since: Option<jiff::Timestamp>,
    /// Why not.
    pub reason: Option<String>,
}

/// The name of the file that says whether the tracker answers.
pub(super) const HEALTH: &str = "health.json";

/// Returns whether the tracker answered when a relay last asked it; a relay that says nothing has had no trouble.
pub fn health(folder: &std::path::Path) -> Health {
    std::fs::read(folder.join(HEALTH)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// A running relay.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) upstream: Upstream,
    pub(super) limits: Limits,
    /// The spool and what is known, changed together.
    books: Mutex<Books>,
    /// Wakes the delivery.
    pub(super) work: Notify,
    /// How many requests wait for the delivery of everything before them.
    pub(super) waiting: watch::Sender<usize>,
    /// Up to where the server has everything.
    pub(super) delivered: watch::Sender<Seq>,
    /// Whether the server answers.
    pub(super) health: watch::Sender<Health>,
}

/// The spool and what is known of runs.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) spool: Spool,
    pub(super) view: View,
}

impl Books {
    /// Appends an entry and takes over what it says; nothing is taken over when it cannot be written.
    pub(super) fn append(&mut self, connection: u64, entry: Entry) -> Result<Seq, Error> {
        let view = &self.view;
        self.spool.rotate(|| view.to_value())?;
        let record = self.spool.append(connection, entry)?;
        self.view.apply(&record);
        Ok(record.seq)
    }
}

impl Shared {
    pub(super) fn new(upstream: Upstream, limits: Limits, spool: Spool, view: View) -> Self {
        let delivered = spool.cursor().delivered;
        Self {
            upstream,
            limits,
            books: Mutex::new(Books { spool, view }),
            work: Notify::new(),
            waiting: watch::Sender::new(0),
            delivered: watch::Sender::new(delivered),
            health: watch::Sender::new(Health::default()),
        }
    }

    /// Does something with the books; never across an await.
    pub(super) fn books<T>(&self, act: impl FnOnce(&mut Books) -> T) -> T {
        act(&mut self.books.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Notes that the server answered.
    pub(super) fn is_there(&self) {
        self.set_health(None);
    }

    /// Notes that the server did not answer.
    pub(super) fn is_away(&self, trouble: &Trouble) {
        self.set_health(Some(&trouble.detail));
    }

    fn set_health(&self, reason: Option<&str>) {
        let changed = self.health.send_if_modified(|health| {
            let before = health.clone();
            *health =
                Health { away_since: reason.map(|_| before.away_since.unwrap_or_else(clock::now)), reason: reason.map(str::to_owned) };
            *health != before
        });
        if changed {
            let (text, path) = (
                serde_json::to_vec(&*self.health.borrow()).expect("plain data of ours always serialises"),
                self.books(|books| books.spool.folder().join(HEALTH)),
            );
            // For people only: a full disk may leave it out.
            let _ = fs::write_private(path, &text);
        }
    }

    /// Waits until everything that was spooled before now is delivered, or until the server is away.
    ///
    /// Returns whether it is delivered.
    pub(super) async fn barrier(&self) -> bool {
        let mut delivered = self.delivered.subscribe();
        let mut health = self.health.subscribe();
        let (target, pending) = self.books(|books| (books.spool.last_pending(), books.spool.pending().records));
        if pending == 0 {
            return true;
        }
        let _waiting = Waiting::new(&self.waiting);
        self.work.notify_one();
        tokio::select! {
            _ = delivered.wait_for(|seq| *seq >= target) => true,
            _ = health.wait_for(|health| health.away_since.is_some()) => false,
        }
    }

    /// Returns why a request that waits for what was spooled before it is given up: there is no way, or it has waited too long.
    pub(super) fn given_up(&self, deadline: Instant) -> Option<Trouble> {
        let too_long = || {
            let reason = self.health.borrow().reason.clone();
            Trouble::new(Cause::Connect, reason.unwrap_or_else(|| "it is away".to_owned()))
        };
        self.upstream.no_way().or_else(|| (Instant::now() > deadline).then(too_long))
    }

    /// Waits a little before something is tried again: until the server is there, or for a time that grows with each try.
    pub(super) async fn pause(&self, tries: u32, wanted: Option<Duration>) {
        let pause = wanted.unwrap_or_else(|| backoff(tries));
        let mut health = self.health.subscribe();
        health.mark_unchanged();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = health.wait_for(|health| health.away_since.is_none()), if wanted.is_none() && health.borrow().away_since.is_some() => {}
        }
    }

    /// Returns when a request that begins now is given up.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.limits.outage
    }
}

/// One request that waits for delivery; counted until it is dropped, also when its client goes away.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Returns how long to wait before the next try: from 100 ms, doubled each time, at most 5 s.
pub(super) fn backoff(tries: u32) -> Duration {
    Duration::from_millis(100 << tries.min(6)).min(Duration::from_secs(5))
}
