//! What differs between systems: process identity, parent-death signals, limits.

use rustix::process::{Signal, getpid, kill_process};

/// Ends this process as SIGKILL would: nothing of ours runs after it.
pub fn kill_self() {
    let _ = kill_process(getpid(), Signal::KILL);
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}
