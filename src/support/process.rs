//! A process in a file: which one it is, told from every later one that gets its number.

use serde::{Deserialize, Serialize};

use super::platform;

/// A process of this machine, as another one finds it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its id.
    pub pid: i32,
    /// When it started, in ticks since boot.
    started_ticks: u64,
    boot: String,
}

impl Identity {
    /// Returns the identity of a process that runs now.
    pub fn of(pid: i32) -> Self {
        Self { pid, started_ticks: platform::start_time(pid).unwrap_or(0), boot: platform::boot_id() }
    }

    /// Returns whether that very process still runs.
    pub fn is_alive(&self) -> bool {
        self.boot == platform::boot_id() && platform::start_time(self.pid) == Some(self.started_ticks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_of_the_same_number_is_not_the_same() {
        let own = Identity::of(platform::own_pid());
        assert!(own.is_alive());
        assert!(!Identity { started_ticks: own.started_ticks + 1, ..own.clone() }.is_alive());
        assert!(!Identity { boot: "another".to_owned(), ..own }.is_alive());
    }
}
