//! The nodes of computes: given in order of asking, made when none is idle, gone again after a time without work.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::super::identity::guid;
use crate::support::clock;

/// By what a pool is known: workspace and compute.
pub(in super::super) type Key = (String, String);

/// How long a new node takes to be there. The service takes minutes.
pub(super) const PROVISIONING: Duration = Duration::from_secs(1);

/// How many nodes a compute may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Scale {
    pub(in super::super) min: usize,
    pub(in super::super) max: usize,
    /// After this time without work a node goes.
    pub(in super::super) idle: Duration,
}

impl Scale {
    /// Reads the properties of a compute.
    pub(in super::super) fn of(compute: &Value) -> Self {
        if compute["computeType"] == "ComputeInstance" {
            // One machine, which is there or not.
            let there = usize::from(compute["properties"]["state"] != "Stopped");
            return Self { min: there, max: there, idle: Duration::ZERO };
        }
        let settings = &compute["properties"]["scaleSettings"];
        let count = |name: &str| settings[name].as_u64().and_then(|count| usize::try_from(count).ok());
        let idle = settings["nodeIdleTimeBeforeScaleDown"].as_str().and_then(super::drive::seconds);
        Self {
            min: count("minNodeCount").unwrap_or(0),
            max: count("maxNodeCount").unwrap_or(1),
            idle: idle.unwrap_or(Duration::from_mins(2)),
        }
    }

    /// What a job without a compute gets its nodes from.
    pub(super) fn serverless() -> Self {
        Self { min: 0, max: 64, idle: Duration::ZERO }
    }
}

/// What a node does.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Use {
    Idle {
        since: Timestamp,
    },
    /// It is made for a job.
    Preparing(String),
    Running(String),
}

/// The nodes of one compute.
#[derive(Debug, Default)]
struct Pool {
    nodes: BTreeMap<String, Use>,
    /// Who waits, in order.
    waiting: VecDeque<u64>,
}

impl Pool {
    /// Lets idle nodes go, and makes those that are always there.
    fn settle(&mut self, scale: Scale, now: Timestamp) {
        let is_old = |since: Timestamp| Duration::try_from(now.duration_since(since)).is_ok_and(|idle| idle >= scale.idle);
        let surplus = self.nodes.len().saturating_sub(scale.min);
        let old: Vec<String> =
            self.nodes.iter().filter(|(_, what)| matches!(what, Use::Idle { since } if is_old(*since))).map(|(id, _)| id.clone()).collect();
        for id in old.into_iter().take(surplus) {
            self.nodes.remove(&id);
        }
        while self.nodes.len() < scale.min {
            self.nodes.insert(new_id(), Use::Idle { since: now });
        }
    }

    /// Takes as many nodes as a job wants, idle ones first; nothing when there are not enough. Returns their ids and how many are new.
    fn take(&mut self, job: &str, count: usize, scale: Scale, now: Timestamp) -> Option<(Vec<String>, usize)> {
        self.settle(scale, now);
        let idle: Vec<String> =
            self.nodes.iter().filter(|(_, what)| matches!(what, Use::Idle { .. })).map(|(id, _)| id.clone()).take(count).collect();
        let fresh = count - idle.len();
        if self.nodes.len() + fresh > scale.max {
            return None;
        }
        let mut taken = idle;
        for id in &taken {
            self.nodes.insert(id.clone(), Use::Running(job.to_owned()));
        }
        for _ in 0..fresh {
            let id = new_id();
            self.nodes.insert(id.clone(), Use::Preparing(job.to_owned()));
            taken.push(id);
        }
        Some((taken, fresh))
    }
}

/// Returns a name as the service gives them.
fn new_id() -> String {
    format!("tvmps_{}_d", guid().replace('-', ""))
}

/// The nodes of all computes.
#[derive(Debug, Default)]
pub(in super::super) struct Pools {
    pools: Mutex<HashMap<Key, Pool>>,
    /// Something has become free, or a compute has changed.
    changed: Notify,
    tickets: std::sync::atomic::AtomicU64,
}

impl Pools {
    fn with<T>(&self, key: &Key, use_it: impl FnOnce(&mut Pool) -> T) -> T {
        use_it(self.pools.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default())
    }

    /// Waits for nodes, in order of asking. `scale` is asked each time, since a compute may change meanwhile.
    pub(super) async fn acquire(self: &Arc<Self>, key: &Key, job: &str, count: usize, scale: impl Fn() -> Scale) -> Grant {
        let number = self.tickets.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let ticket = Ticket { pools: self, key, number };
        self.with(key, |pool| pool.waiting.push_back(number));
        loop {
            let changed = self.changed.notified();
            let taken = self.with(key, |pool| {
                // Who came first goes first, also when a smaller job would fit.
                if pool.waiting.front() == Some(&number) { pool.take(job, count, scale(), clock::now()) } else { None }
            });
            if let Some((nodes, fresh)) = taken {
                drop(ticket);
                return Grant { pools: self.clone(), key: key.clone(), nodes, fresh };
            }
            changed.await;
        }
    }

    /// Gives a job the nodes that it already runs on.
    pub(super) fn occupy(self: &Arc<Self>, key: &Key, job: &str, count: usize) -> Grant {
        let nodes: Vec<String> = (0..count).map(|_| new_id()).collect();
        self.with(key, |pool| pool.nodes.extend(nodes.iter().map(|id| (id.clone(), Use::Running(job.to_owned())))));
        Grant { pools: self.clone(), key: key.clone(), nodes, fresh: 0 }
    }

    /// Waits until something has become free, or a compute has changed.
    pub(super) fn changed(&self) -> impl Future<Output = ()> {
        self.changed.notified()
    }

    /// Says that a compute has changed.
    pub(in super::super) fn look_again(&self) {
        self.changed.notify_waiters();
    }

    /// Returns what a compute's nodes do, as the control plane shows it: counts, and each node.
    pub(in super::super) fn shown(&self, key: &Key, scale: Scale) -> (Value, Value) {
        self.with(key, |pool| {
            pool.settle(scale, clock::now());
            let count = |wanted: fn(&Use) -> bool| pool.nodes.values().filter(|what| wanted(what)).count();
            let preparing = count(|what| matches!(what, Use::Preparing(_)));
            let counts = json!({
                "allocationState": if preparing > 0 { "Resizing" } else { "Steady" }, "currentNodeCount": pool.nodes.len(),
                "targetNodeCount": pool.nodes.len(),
                "nodeStateCounts": {
                    "idleNodeCount": count(|what| matches!(what, Use::Idle { .. })), "preparingNodeCount": preparing,
                    "runningNodeCount": count(|what| matches!(what, Use::Running(_))), "unusableNodeCount": 0, "leavingNodeCount": 0,
                    "preemptedNodeCount": 0,
                },
            });
            let nodes = pool.nodes.iter().map(|(id, what)| {
                let (state, run) = match what {
                    Use::Idle { .. } => ("idle", None),
                    Use::Preparing(job) => ("preparing", Some(job)),
                    Use::Running(job) => ("running", Some(job)),
                };
                json!({ "nodeId": id, "nodeState": state, "runId": run, "privateIpAddress": null, "publicIpAddress": null, "port": null })
            });
            (counts, nodes.collect())
        })
    }
}

/// A place in the queue, given up when dropped.
struct Ticket<'a> {
    pools: &'a Pools,
    key: &'a Key,
    number: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.pools.with(self.key, |pool| pool.waiting.retain(|number| *number != self.number));
        self.pools.changed.notify_waiters();
    }
}

/// Nodes that a job has until this is dropped.
pub(super) struct Grant {
    pools: Arc<Pools>,
    key: Key,
    nodes: Vec<String>,
    /// How many of them are new.
    pub(super) fresh: usize,
}

impl Grant {
    /// Says that new nodes are there.
    pub(super) fn ready(&self, job: &str) {
        self.pools.with(&self.key, |pool| pool.nodes.extend(self.nodes.iter().map(|id| (id.clone(), Use::Running(job.to_owned())))));
    }
}

impl Grant {
    /// Gives nodes up that are gone.
    pub(super) fn preempt(mut self) {
        self.pools.with(&self.key, |pool| {
            for id in self.nodes.drain(..) {
                pool.nodes.remove(&id);
            }
        });
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        let since = clock::now();
        self.pools.with(&self.key, |pool| pool.nodes.extend(self.nodes.drain(..).map(|id| (id, Use::Idle { since }))));
        self.pools.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCALE: Scale = Scale { min: 0, max: 2, idle: Duration::from_mins(1) };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn idle_nodes_are_taken_first_and_go_after_their_time() {
        let mut pool = Pool::default();
        let (first, fresh) = pool.take("a", 1, SCALE, at(0)).expect("there is room");
        assert_eq!(fresh, 1);
        pool.nodes.insert(first[0].clone(), Use::Idle { since: at(10) });
        let (again, fresh) = pool.take("b", 2, SCALE, at(60)).expect("there is room");
        assert_eq!((fresh, again.contains(&first[0])), (1, true));
        assert!(pool.take("c", 1, SCALE, at(60)).is_none());
        for id in again {
            pool.nodes.insert(id, Use::Idle { since: at(60) });
        }
        pool.settle(SCALE, at(119));
        assert_eq!(pool.nodes.len(), 2);
        pool.settle(Scale { min: 1, ..SCALE }, at(120));
        assert_eq!(pool.nodes.len(), 1);
        pool.settle(SCALE, at(120));
        assert!(pool.nodes.is_empty());
    }

    #[tokio::test]
    async fn who_came_first_goes_first_and_who_gives_up_holds_nobody_up() {
        let pools = Arc::new(Pools::default());
        let key = ("w".to_owned(), "c".to_owned());
        let one = pools.acquire(&key, "one", 1, || SCALE).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let ask = |name: &'static str, count| {
            let (pools, key, order) = (pools.clone(), key.clone(), order.clone());
            tokio::spawn(async move {
                let grant = pools.acquire(&key, name, count, || SCALE).await;
                order.lock().expect("nobody panicked").push(name);
                grant
            })
        };
        // It wants both nodes; the small one behind it waits for it all the same.
        let big = ask("big", 2);
        tokio::task::yield_now().await;
        let small = ask("small", 1);
        tokio::task::yield_now().await;
        assert!(order.lock().expect("nobody panicked").is_empty());
        big.abort();
        let small = small.await.expect("it gets one");
        let last = ask("last", 2);
        tokio::task::yield_now().await;
        drop((one, small));
        last.await.expect("it gets both");
        assert_eq!(*order.lock().expect("nobody panicked"), ["small", "last"]);
    }
}
