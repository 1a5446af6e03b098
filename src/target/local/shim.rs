//! The last step before the bootstrap: ties this process to its supervisor, applies limits, and becomes the bootstrap.
//!
//! These calls must be made in the child itself; made here, in a program of our own that then replaces itself, they need no unsafe code.

use std::path::PathBuf;
use std::process::Command;

use crate::support::platform;

/// What to do before becoming the bootstrap.
#[derive(Debug, Clone)]
pub struct Shim {
    /// The supervisor's process id: when it is gone, nothing starts.
    pub parent: i32,
    /// Restricts the job to this many CPUs.
    pub cpus: Option<u32>,
    /// The cgroup's file to join.
    pub join: Option<PathBuf>,
    /// The script.
    pub script: PathBuf,
}

/// Becomes the bootstrap; returns only what went wrong.
pub fn enter(shim: &Shim) -> std::io::Error {
    if !platform::die_with_parent(shim.parent) {
        return std::io::Error::other("the supervisor is gone");
    }
    // The bootstrap takes in, and so reaps, what the command orphans; when it is gone itself, the supervisor does.
    platform::adopt_orphans();
    if let Some(file) = &shim.join
        && let Err(error) = std::fs::write(file, std::process::id().to_string())
    {
        return error;
    }
    if let Some(count) = shim.cpus
        && let Err(error) = platform::limit_cpus(count)
    {
        return error;
    }
    platform::become_program(Command::new("/bin/sh").arg(&shim.script))
}
