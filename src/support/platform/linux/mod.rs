//! Linux: `/proc`, parent-death signals, orphans, affinity; cgroups in [`memory`](MemoryGroup).

mod memory;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::{Pid, Signal};

use super::Process;

pub use memory::{MemoryGroup, memory_limit};

/// Returns what is known of a process, `None` when there is none of this id.
fn process(pid: i32) -> Option<Process> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads a line of `/proc/<pid>/stat`: `pid (comm) state ppid pgrp session ... starttime ...`; `comm` may hold anything.
fn parse_stat(text: &str) -> Option<Process> {
    let pid = text.split(' ').next()?.parse().ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Process {
        pid,
        zombie: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

/// Returns when a process started, in clock ticks since boot; `None` when it is gone or a zombie.
pub fn start_time(pid: i32) -> Option<u64> {
    process(pid).filter(|process| !process.zombie).map(|process| process.started)
}

/// Returns an id of this boot of the machine: start times of another boot say nothing.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// Returns a name of the network that this process is in, which no other network has until the next boot.
pub fn network_namespace() -> String {
    std::fs::read_link("/proc/self/ns/net").map(|link| link.display().to_string()).unwrap_or_default()
}

/// Returns all processes, zombies included.
fn processes() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(process).collect()
}

/// Returns the living processes of a session, zombies left out.
pub fn session_members(session: i32) -> Vec<Process> {
    processes().into_iter().filter(|process| process.session == session && !process.zombie).collect()
}

/// Returns the living processes below one, whatever session they moved to; a spared process hides what is below it.
///
/// What was orphaned is below `ancestor` only when that called [`adopt_orphans`].
pub fn descendants(ancestor: i32, spared: impl Fn(&Process) -> bool) -> Vec<Process> {
    let mut children: BTreeMap<i32, Vec<Process>> = BTreeMap::new();
    for process in processes() {
        children.entry(process.parent).or_default().push(process);
    }
    let (mut found, mut parents) = (Vec::new(), vec![ancestor]);
    while let Some(parent) = parents.pop() {
        for process in children.remove(&parent).unwrap_or_default() {
            if !process.zombie && spared(&process) {
                continue;
            }
            parents.push(process.pid);
            if !process.zombie {
                found.push(process);
            }
        }
    }
    found
}

/// Returns the living processes that were started with this value of a variable.
pub fn processes_with(name: &str, value: &Path) -> Vec<Process> {
    processes()
        .into_iter()
        .filter(|process| !process.zombie && variable(process.pid, name).is_some_and(|found| found == value.as_os_str()))
        .collect()
}

/// Returns a variable with which a process was started; `None` when it has none, is gone, or is another user's.
pub fn variable(pid: i32, name: &str) -> Option<OsString> {
    let text = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    text.split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(|value| OsStr::from_bytes(value).to_owned()))
}

/// Makes this process the new parent of what is orphaned below it, through a later `exec` too; otherwise the system's first process is.
pub fn adopt_orphans() {
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// Asks the kernel to end this process when its parent dies; returns `false` when the parent is gone already.
pub fn die_with_parent(parent: i32) -> bool {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    rustix::process::getppid().map(Pid::as_raw_nonzero).map(i32::from) == Some(parent)
}

/// Restricts this process and its children to `count` of the CPUs that it may use now.
pub fn limit_cpus(count: u32) -> std::io::Result<()> {
    let allowed = rustix::thread::sched_getaffinity(None)?;
    let mut chosen = rustix::thread::CpuSet::new();
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).take(count as usize).for_each(|cpu| chosen.set(cpu));
    rustix::thread::sched_setaffinity(None, &chosen)?;
    Ok(())
}

/// Returns how many CPUs this process may use.
pub fn cpu_count() -> u32 {
    rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count())
}

/// Returns whether a folder lies on a file system that is shared between machines.
pub fn is_shared(folder: &Path) -> bool {
    // NFS, CIFS, SMB2, AFS, Lustre, FUSE, 9p: the magic numbers of statfs(2).
    const SHARED: [u64; 7] = [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x5346_414f, 0x0bd0_0bd0, 0x6573_5546, 0x0102_1997];
    rustix::fs::statfs(folder).is_ok_and(|facts| SHARED.contains(&(facts.f_type.cast_unsigned() & 0xffff_ffff)))
}

/// Returns the numbers of the NVIDIA devices of this machine that this process may use.
///
/// A list in `CUDA_VISIBLE_DEVICES` narrows them; one by unique names does not, since they cannot be leased by number.
pub fn gpu_devices() -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/dev") else { return Vec::new() };
    let mut devices: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.strip_prefix("nvidia")?.parse().ok()).collect();
    devices.sort_unstable();
    if let Some(allowed) = std::env::var("CUDA_VISIBLE_DEVICES").ok().and_then(|list| parse_devices(&list)) {
        devices.retain(|device| allowed.contains(device));
    }
    devices
}

/// Reads `0,2`; `None` when it holds something else than numbers.
fn parse_devices(list: &str) -> Option<Vec<u32>> {
    if list.trim().is_empty() {
        return Some(Vec::new());
    }
    list.split(',').map(|device| device.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_parentheses_does_not_confuse_the_parser() {
        let line = "42 (a) b) S 1 42 40 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 7777 0 0";
        let process = parse_stat(line).expect("the line is well formed");
        assert_eq!((process.pid, process.parent, process.group, process.session, process.started), (42, 1, 42, 40, 7777));
    }

    #[test]
    fn this_process_is_alive_and_a_reaped_one_is_not() {
        let own = i32::try_from(std::process::id()).expect("process ids are small");
        assert!(start_time(own).is_some());
        let mut child = std::process::Command::new("true").spawn().expect("`true` exists");
        let pid = i32::try_from(child.id()).expect("process ids are small");
        child.wait().expect("the child ends");
        assert_eq!(start_time(pid), None);
    }

    #[test]
    fn a_list_of_devices_is_read_when_it_holds_numbers() {
        assert_eq!(parse_devices("0, 2"), Some(vec![0, 2]));
        assert_eq!(parse_devices(""), Some(Vec::new()));
        assert_eq!(parse_devices("GPU-5ab1"), None);
    }

    #[test]
    fn a_child_that_left_the_session_is_found_by_descent_and_by_its_variable() {
        let mark = std::env::temp_dir().join(format!("mark-{}", std::process::id()));
        let mut child =
            std::process::Command::new("setsid").args(["sleep", "600"]).env("SENDOFF_TEST_MARK", &mark).spawn().expect("`setsid` exists");
        let pid = i32::try_from(child.id()).expect("process ids are small");
        let own = i32::try_from(std::process::id()).expect("process ids are small");
        // Between fork and exec the child still has this process's variables.
        while variable(pid, "SENDOFF_TEST_MARK").is_none() {
            std::thread::yield_now();
        }
        let pids = |processes: Vec<Process>| processes.into_iter().map(|process| process.pid).collect::<Vec<_>>();
        assert!(pids(descendants(own, |_| false)).contains(&pid));
        assert!(!pids(descendants(own, |process| process.pid == pid)).contains(&pid));
        assert_eq!(pids(processes_with("SENDOFF_TEST_MARK", &mark)), [pid]);
        child.kill().expect("it runs");
        // Dead soon after, and not reaped before the end of this test.
        while process(pid).is_some_and(|process| !process.zombie) {
            std::thread::yield_now();
        }
        assert!(!pids(descendants(own, |_| false)).contains(&pid), "a zombie is not alive");
        child.wait().expect("it ended");
    }
}
