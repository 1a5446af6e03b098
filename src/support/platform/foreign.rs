//! Systems that are not Unix: jobs are submitted from there, and run elsewhere.

use std::fs::{DirBuilder, Metadata, Permissions};
use std::path::Path;
use std::process::{Command, ExitStatus};

use super::{Interruption, Signal, Stamp};

/// Returns the bytes that this user may still write to the file system of a path; not known here.
pub fn free_space(_path: &Path) -> Option<u64> {
    None
}

/// Ends this process at once.
pub fn kill_self() -> ! {
    std::process::abort()
}

/// Does nothing: no process of a job runs here.
pub fn signal_process(_pid: i32, _signal: Signal) {}

/// Does nothing: no process of a job runs here.
pub fn signal_group(_group: i32, _signal: Signal) {}

/// Does nothing: there are no sessions.
pub fn new_session() {}

/// Does nothing: there are no process groups.
pub fn own_group(command: &mut Command) -> &mut Command {
    command
}

/// Fails: a process cannot replace itself here.
pub fn become_program(_command: &mut Command) -> std::io::Error {
    std::io::ErrorKind::Unsupported.into()
}

/// Fails: making a link needs a privilege here.
pub fn link(_target: &Path, _link: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Returns what tells that a file has changed: the time of the last writing alone.
pub fn stamp(metadata: &Metadata) -> Stamp {
    let since = metadata.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    let modified = since.and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or(i64::MAX);
    Stamp { modified, changed: modified, inode: 0 }
}

/// Returns `false`: this system does not tell.
pub fn is_executable(_metadata: &Metadata) -> bool {
    false
}

/// Returns `false`: this system does not tell.
pub fn may_read(_metadata: &Metadata, _user: u32, _group: u32) -> bool {
    false
}

/// Returns `true`: this system does not tell.
pub fn is_ours(_metadata: &Metadata) -> bool {
    true
}

/// Returns `None`: there are no modes.
pub fn permissions(_mode: u32) -> Option<Permissions> {
    None
}

/// Does nothing: a user's folders are the user's.
pub fn for_us_alone(builder: &mut DirBuilder) -> &mut DirBuilder {
    builder
}

/// The ear for Ctrl-C.
#[derive(Debug)]
pub struct Interruptions;

impl Interruptions {
    /// Begins to listen; needs a runtime.
    pub fn listen() -> Self {
        Self
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Interruption {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Interruption::Keyboard
    }
}

/// Returns `None`: not known here.
pub fn free_bytes(_path: &Path) -> Option<u64> {
    None
}

/// Returns `None`: there are no signals.
pub fn ending_signal(_status: ExitStatus) -> Option<i32> {
    None
}

/// Returns the name of this machine as the environment knows it.
pub fn host_name() -> String {
    variable("COMPUTERNAME").unwrap_or_else(|| "localhost".to_owned())
}

/// Returns whether there is something at the place of a local socket.
pub fn answers(path: &Path) -> bool {
    path.exists()
}

/// Returns numbers of a user and a group that are nobody's here.
pub fn own_user() -> (u32, u32) {
    (1000, 1000)
}

/// Returns the user's name as the environment knows it.
pub fn user_name() -> String {
    variable("USERNAME").unwrap_or_else(|| "unknown".to_owned())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns `None`: a terminal is not taken over here, and a shell does without one.
pub fn terminal_size() -> Option<(u16, u16)> {
    None
}

/// A terminal that hands every key on; never taken here.
#[derive(Debug)]
pub struct RawTerminal;

impl RawTerminal {
    /// Fails.
    pub fn take() -> std::io::Result<Self> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

/// The ear for changes of the terminal's size; never heard here.
#[derive(Debug)]
pub struct Resizes;

impl Resizes {
    /// Begins to listen.
    pub fn listen() -> Self {
        Self
    }

    /// Waits for ever.
    pub async fn next(&mut self) {
        std::future::pending::<()>().await;
    }
}
