//! Systems that are not Unix: jobs are submitted from there, and run elsewhere.

use std::path::Path;
use std::process::{Command, ExitStatus};

use super::Signal;

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

/// Returns the user's name as the environment knows it.
pub fn user_name() -> String {
    variable("USERNAME").unwrap_or_else(|| "unknown".to_owned())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
