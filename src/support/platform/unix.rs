//! Unix: signals, sessions, users, what a file is.

use std::fs::{DirBuilder, Metadata, Permissions};
use std::future::pending;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus};

use rustix::process::Pid;
use tokio::signal::unix::{self, SignalKind};

use super::{Interruption, Signal, Stamp};

impl From<Signal> for rustix::process::Signal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Interrupt => Self::INT,
            Signal::Term => Self::TERM,
            Signal::Kill => Self::KILL,
        }
    }
}

/// Returns the bytes that this user may still write to the file system of a path.
pub fn free_space(path: &Path) -> Option<u64> {
    rustix::fs::statvfs(path).ok().map(|facts| facts.f_bavail.saturating_mul(facts.f_frsize))
}

/// Ends this process as SIGKILL would: nothing of ours runs after it.
pub fn kill_self() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}

/// Sends a signal to one process; a process that is gone is fine.
pub fn signal_process(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid).filter(|_| pid > 1) {
        let _ = rustix::process::kill_process(pid, signal.into());
    }
}

/// Sends a signal to a process group; a group that is gone is fine.
pub fn signal_group(group: i32, signal: Signal) {
    if let Some(group) = Pid::from_raw(group).filter(|_| group > 1) {
        let _ = rustix::process::kill_process_group(group, signal.into());
    }
}

/// Makes this process the leader of a new session, cut off from any terminal.
pub fn new_session() {
    let _ = rustix::process::setsid();
}

/// Makes a command the leader of a process group of its own.
pub fn own_group(command: &mut Command) -> &mut Command {
    command.process_group(0)
}

/// Replaces this process by a program; returns only what went wrong.
pub fn become_program(command: &mut Command) -> std::io::Error {
    command.exec()
}

/// Makes a symbolic link.
pub fn link(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

/// Returns what tells that a file has changed.
pub fn stamp(metadata: &Metadata) -> Stamp {
    let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
    Stamp {
        modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        inode: metadata.ino(),
    }
}

/// Returns whether anybody may execute a file.
pub fn is_executable(metadata: &Metadata) -> bool {
    metadata.mode() & 0o111 != 0
}

/// Returns whether a user may read a file, or look into a folder, by its mode alone.
pub fn may_read(metadata: &Metadata, user: u32, group: u32) -> bool {
    let wanted = if metadata.is_dir() { 0o5 } else { 0o4 };
    let class = if metadata.uid() == user {
        metadata.mode() >> 6
    } else if metadata.gid() == group {
        metadata.mode() >> 3
    } else {
        metadata.mode()
    };
    user == 0 || class & wanted == wanted
}

/// Returns whether a file belongs to this user, or to the system's.
pub fn is_ours(metadata: &Metadata) -> bool {
    metadata.uid() == rustix::process::getuid().as_raw() || metadata.uid() == 0
}

/// Returns permissions by their mode; `None` where there are none.
pub fn permissions(mode: u32) -> Option<Permissions> {
    Some(Permissions::from_mode(mode))
}

/// Lets only this user look into the folders that will be made.
pub fn for_us_alone(builder: &mut DirBuilder) -> &mut DirBuilder {
    builder.mode(0o700)
}

/// The ear for SIGINT and SIGTERM. From its making on, neither ends the process by itself.
#[derive(Debug)]
pub struct Interruptions {
    interrupt: Option<unix::Signal>,
    terminate: Option<unix::Signal>,
}

impl Interruptions {
    /// Begins to listen; needs a runtime.
    pub fn listen() -> Self {
        Self { interrupt: unix::signal(SignalKind::interrupt()).ok(), terminate: unix::signal(SignalKind::terminate()).ok() }
    }

    /// Waits for the next one. One that came while nobody waited is not lost.
    pub async fn next(&mut self) -> Interruption {
        async fn heard(signal: &mut Option<unix::Signal>) {
            match signal {
                Some(signal) => drop(signal.recv().await),
                None => pending().await,
            }
        }
        tokio::select! {
            () = heard(&mut self.interrupt) => Interruption::Keyboard,
            () = heard(&mut self.terminate) => Interruption::Termination,
        }
    }
}

/// Returns how many bytes this user may still write to the file system of a path; `None` when it does not say.
pub fn free_bytes(path: &Path) -> Option<u64> {
    let facts = rustix::fs::statvfs(path).ok()?;
    Some(facts.f_bavail.saturating_mul(facts.f_frsize))
}

/// Returns the signal that ended a process.
pub fn ending_signal(status: ExitStatus) -> Option<i32> {
    status.signal()
}

/// Returns the name of this machine.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Returns whether somebody takes connections at a local socket.
pub fn answers(path: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(path).is_ok()
}

/// Returns the numbers of the user and the group that this process runs as.
pub fn own_user() -> (u32, u32) {
    (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
}

/// Returns the user's name as the environment or the system knows it.
pub fn user_name() -> String {
    named_user().unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw()))
}

fn named_user() -> Option<String> {
    ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_mode_says_who_may_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "").expect("writable");
        let own = (std::fs::metadata(&file).expect("it is there").uid(), std::fs::metadata(&file).expect("it is there").gid());
        for (mode, owner, group, others) in
            [(0o644, true, true, true), (0o640, true, true, false), (0o600, true, false, false), (0o044, own.0 == 0, true, true)]
        {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("ours");
            let metadata = std::fs::metadata(&file).expect("it is there");
            let may = |user, group| may_read(&metadata, user, group);
            assert_eq!((may(own.0, own.1), may(54_321, own.1), may(54_321, 54_321)), (owner, group, others), "{mode:o}");
        }
        // A folder is looked into, not only listed.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o744)).expect("ours");
        assert!(!may_read(&std::fs::metadata(folder.path()).expect("it is there"), 54_321, 54_321));
    }
}
