//! Systems on which jobs are submitted but not run by us: every answer is "not known".

use std::path::PathBuf;

/// A process; never known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its parent's id.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    /// When it started.
    pub started: u64,
    /// Whether it has ended.
    pub zombie: bool,
}

/// Returns `None`.
pub fn process(_pid: i32) -> Option<Process> {
    None
}

/// Returns `None`.
pub fn start_time(_pid: i32) -> Option<u64> {
    None
}

/// Returns an empty text.
pub fn boot_id() -> String {
    String::new()
}

/// Returns nothing.
pub fn session_members(_session: i32) -> Vec<Process> {
    Vec::new()
}

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

/// How this machine lets us limit the memory of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemoryLimit {
    /// There is no way.
    Unavailable {
        /// Why.
        reason: String,
    },
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

    /// Returns an empty path.
    pub fn join_file(&self) -> PathBuf {
        PathBuf::new()
    }

    /// Returns `None`.
    pub fn kills(&self) -> Option<u64> {
        None
    }

    /// Does nothing.
    pub fn remove(self) {}
}

/// Returns nothing.
pub fn gpu_devices() -> Vec<u32> {
    Vec::new()
}
