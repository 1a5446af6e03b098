//! What a relay that died has acknowledged, or begun, and its clients may not have heard of: they make the same request again.

use std::sync::Mutex;
use std::time::Duration;

use super::record::{Call, Entry};
use crate::support::clock;

/// For how long a request is taken for the same when it is made again.
const REPEATED: Duration = Duration::from_mins(15);

/// The last request of each connection of the process before this one. Earlier ones were heard: their connection went on.
#[derive(Debug, Default)]
pub(super) struct Unheard {
    writes: Mutex<Vec<(i64, Call)>>,
    /// With the mark of each.
    creations: Mutex<Vec<(i64, String, Call)>>,
}

impl Unheard {
    /// Takes the last entries of the connections, with their times in milliseconds since 1970.
    pub(super) fn new(last: impl Iterator<Item = (i64, Entry)>) -> Self {
        let own = Self::default();
        for (at, entry) in last {
            match entry {
                // The others may be repeated without harm.
                Entry::Call(call) if matches!(call.act(), "runs/log-metric" | "runs/log-batch" | "runs/log-inputs" | "runs/delete-tag") => {
                    lock(&own.writes).push((at, call));
                }
                Entry::Creating(creating) => lock(&own.creations).push((at, creating.mark, creating.call)),
                _ => {}
            }
        }
        own
    }

    /// Returns whether this very write was acknowledged before; only once for each time that it was.
    pub(super) fn has(&self, call: &Call) -> bool {
        let mut writes = lock(&self.writes);
        let now = clock::now().as_millisecond();
        writes.retain(|(at, _)| is_recent(*at, now));
        let found = writes.iter().position(|(_, known)| known == call);
        found.map(|index| writes.swap_remove(index)).is_some()
    }

    /// Returns the mark of this very creation, if it was begun before; only once for each time that it was.
    pub(super) fn creation(&self, call: &Call) -> Option<String> {
        let mut creations = lock(&self.creations);
        let now = clock::now().as_millisecond();
        creations.retain(|(at, _, _)| is_recent(*at, now));
        let found = creations.iter().position(|(_, _, known)| known == call)?;
        Some(creations.swap_remove(found).1)
    }
}

fn is_recent(at: i64, now: i64) -> bool {
    now - at < i64::try_from(REPEATED.as_millis()).unwrap_or(i64::MAX)
}

fn lock<T>(list: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    list.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::record::Creating;
    use super::*;

    fn call(act: &str) -> Call {
        Call { path: format!("/api/2.0/mlflow/{act}"), body: serde_json::Map::new() }
    }

    #[test]
    fn a_write_and_a_creation_are_the_same_once_and_not_for_ever() {
        let now = clock::now().as_millisecond();
        let creating = Creating { mark: "m".into(), call: call("runs/create") };
        let old = now - 3_600_000;
        let unheard = Unheard::new(
            [
                (now, Entry::Call(call("runs/log-metric"))),
                (now, Entry::Creating(creating)),
                (now, Entry::Call(call("runs/set-tag"))),
                (old, Entry::Call(call("runs/log-batch"))),
            ]
            .into_iter(),
        );
        assert!(unheard.has(&call("runs/log-metric")) && !unheard.has(&call("runs/log-metric")));
        assert_eq!(unheard.creation(&call("runs/create")).as_deref(), Some("m"));
        assert_eq!(unheard.creation(&call("runs/create")), None);
        // One may be repeated as it is, the other is too long ago.
        assert!(!unheard.has(&call("runs/set-tag")) && !unheard.has(&call("runs/log-batch")));
    }
}
