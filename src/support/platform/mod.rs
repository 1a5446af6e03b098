//! What differs between systems: process identity, sessions, parent-death signals, limits. The one module with Linux-only calls.
//!
//! On other systems the questions have honest answers ("not known", "not supported"), so that the client builds there.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
pub use linux::*;
#[cfg(not(target_os = "linux"))]
pub use other::*;

use rustix::process::{Pid, Signal};

/// Ends this process as SIGKILL would: nothing of ours runs after it.
pub fn kill_self() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}

/// Sends a signal to one process; a process that is gone is fine.
pub fn signal_process(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid).filter(|_| pid > 1) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Sends a signal to a process group; a group that is gone is fine.
pub fn signal_group(group: i32, signal: Signal) {
    if let Some(group) = Pid::from_raw(group).filter(|_| group > 1) {
        let _ = rustix::process::kill_process_group(group, signal);
    }
}

/// Makes this process the leader of a new session, cut off from any terminal.
pub fn new_session() {
    let _ = rustix::process::setsid();
}

/// Returns the name of this machine.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Returns the user's name as the environment or the system knows it.
pub fn user_name() -> String {
    ["USER", "LOGNAME", "USERNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw()))
}
