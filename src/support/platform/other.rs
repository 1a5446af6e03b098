//! Systems on which jobs are submitted but not run by us: every answer is "not known" or "not supported".

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{MemoryLimit, Process};

/// Returns `None`.
pub fn start_time(_pid: i32) -> Option<u64> {
    None
}

/// Returns an empty text.
pub fn boot_id() -> String {
    String::new()
}

/// Returns nothing: there is one network.
pub fn network_namespace() -> String {
    String::new()
}

/// Returns nothing.
pub fn session_members(_session: i32) -> Vec<Process> {
    Vec::new()
}

/// Returns nothing.
pub fn descendants(_ancestor: i32, _spared: impl Fn(&Process) -> bool) -> Vec<Process> {
    Vec::new()
}

/// Returns nothing.
pub fn processes_with(_name: &str, _value: &Path) -> Vec<Process> {
    Vec::new()
}

/// Returns `None`.
pub fn variable(_pid: i32, _name: &str) -> Option<OsString> {
    None
}

/// Does nothing: orphans go where the system sends them.
pub fn adopt_orphans() {}

/// Returns `true`: the pipe from the supervisor is the only tie here.
pub fn die_with_parent(_parent: i32) -> bool {
    true
}

/// Fails: affinity is not supported here.
pub fn limit_cpus(_count: u32) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Returns the standard library's answer.
pub fn cpu_count() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}

/// Says that there is no way.
pub fn memory_limit() -> MemoryLimit {
    MemoryLimit::Unavailable { reason: "memory limits need Linux cgroups".to_owned() }
}

/// A group that limits memory; never made here.
#[derive(Debug)]
pub struct MemoryGroup;

impl MemoryGroup {
    /// Returns `None`.
    pub fn create(_name: &str, _bytes: u64) -> std::io::Result<Option<Self>> {
        Ok(None)
    }

    /// Returns a group; nothing is known of it.
    pub fn at(_folder: PathBuf) -> Self {
        Self
    }

    /// Returns an empty path.
    pub fn folder(&self) -> &Path {
        Path::new("")
    }

    /// Returns an empty path.
    pub fn join_file(&self) -> PathBuf {
        PathBuf::new()
    }

    /// Returns nothing.
    pub fn members(&self) -> Vec<i32> {
        Vec::new()
    }

    /// Returns `None`.
    pub fn kills(&self) -> Option<u64> {
        None
    }

    /// Does nothing.
    pub fn remove(self) {}
}

/// Returns `false`: not known here.
pub fn is_shared(_folder: &Path) -> bool {
    false
}

/// Returns nothing.
pub fn gpu_devices() -> Vec<u32> {
    Vec::new()
}
