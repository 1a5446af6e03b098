//! What differs between systems: process identity, sessions, signals, limits. The one module with calls that only some systems have.
//!
//! ```text
//! linux    `/proc`, parent-death signals, orphans, affinity, cgroups      other    "not known", "not supported"
//! unix     signals, sessions, users, what a file is                       foreign  the same, for systems that are not Unix
//! terminal the terminal's size and mode
//! ```
//!
//! Jobs run on Linux. The client builds elsewhere too: there the questions have honest answers ("not known", "not supported").
//! `--cfg sendoff_portable="macos"` and `="windows"` choose the other halves on Linux, so that their use is checked without those systems.

#[cfg(not(all(unix, not(sendoff_portable = "windows"))))]
mod foreign;
#[cfg(all(target_os = "linux", not(any(sendoff_portable = "macos", sendoff_portable = "windows"))))]
mod linux;
#[cfg(not(all(target_os = "linux", not(any(sendoff_portable = "macos", sendoff_portable = "windows")))))]
mod other;
#[cfg(all(unix, not(sendoff_portable = "windows")))]
mod terminal;
#[cfg(all(unix, not(sendoff_portable = "windows")))]
mod unix;

use std::path::PathBuf;

#[cfg(not(all(unix, not(sendoff_portable = "windows"))))]
pub use foreign::*;
#[cfg(all(target_os = "linux", not(any(sendoff_portable = "macos", sendoff_portable = "windows"))))]
pub use linux::*;
#[cfg(not(all(target_os = "linux", not(any(sendoff_portable = "macos", sendoff_portable = "windows")))))]
pub use other::*;
#[cfg(all(unix, not(sendoff_portable = "windows")))]
pub use terminal::*;
#[cfg(all(unix, not(sendoff_portable = "windows")))]
pub use unix::*;

/// A process as the system shows it.
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
    /// When it started, in clock ticks since boot: with the pid, an identity that is not reused.
    pub started: u64,
    /// Whether it has ended and only waits for its parent to notice.
    pub zombie: bool,
}

/// What tells that a file has not changed, beside its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// When its content was last written, in nanoseconds since 1970.
    pub modified: i64,
    /// When its content or metadata last changed, in nanoseconds since 1970.
    pub changed: i64,
    /// The inode.
    pub inode: u64,
}

/// Who interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// Ctrl-C: somebody is there who can be asked.
    Keyboard,
    /// SIGTERM: nobody is.
    Termination,
}

/// The signals that we send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Asks to end as Ctrl-C does.
    Interrupt,
    /// Asks to end.
    Term,
    /// Ends.
    Kill,
}

/// How this machine lets us limit the memory of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemoryLimit {
    /// A cgroup v2 folder in which we may create groups with the memory controller.
    CgroupV2(PathBuf),
    /// A cgroup v1 memory hierarchy in which we may create groups.
    CgroupV1(PathBuf),
    /// There is no way.
    Unavailable {
        /// Why, for the plan's message.
        reason: String,
    },
}

/// Returns this process's id.
pub fn own_pid() -> i32 {
    i32::try_from(std::process::id()).expect("process ids are small")
}

#[cfg(test)]
mod tests {
    /// What only some systems have, and where it may stand all the same: what runs beside a job runs where jobs do.
    const WORDS: [&str; 5] = ["std::os::unix", "std::os::linux", "rustix::", "signal::unix", "target_os"];
    const APART: [&str; 2] = ["support/platform/", "relay/"];

    #[test]
    fn calls_that_only_some_systems_have_stand_in_this_module_alone() {
        let source = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
        let mut found = Vec::new();
        for file in walkdir::WalkDir::new(source).into_iter().flatten().filter(|entry| entry.file_type().is_file()) {
            let name = file.path().strip_prefix(source).expect("it is below").display().to_string();
            if APART.iter().any(|folder| name.starts_with(folder)) {
                continue;
            }
            let text = std::fs::read_to_string(file.path()).unwrap_or_default();
            let product = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            let lines =
                product.lines().filter(|line| WORDS.iter().any(|word| line.contains(word) && !line.contains(&format!("cfg!({word}"))));
            found.extend(lines.map(|line| format!("{name}: {}", line.trim())));
        }
        assert_eq!(found, Vec::<String>::new());
    }
}
