//! Linux: `/proc`, parent-death signals, affinity, cgroups.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal};

/// A process as `/proc/<pid>/stat` shows it.
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

/// Returns what is known of a process, `None` when there is none of this id.
pub fn process(pid: i32) -> Option<Process> {
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

/// Returns the living processes of a session, zombies left out.
pub fn session_members(session: i32) -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(process)
        .filter(|process| process.session == session && !process.zombie)
        .collect()
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

/// Looks for a way to limit memory; changes nothing.
pub fn memory_limit() -> MemoryLimit {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let v2 = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let candidate = Path::new("/sys/fs/cgroup").join(v2.trim_start_matches('/'));
    let controllers = std::fs::read_to_string(candidate.join("cgroup.subtree_control")).unwrap_or_default();
    if controllers.split_whitespace().any(|word| word == "memory") && writable(&candidate) {
        return MemoryLimit::CgroupV2(candidate);
    }
    let v1 = own.lines().find_map(|line| line.split_once(":memory:").map(|(_, path)| path));
    let candidates = v1.map(|path| Path::new("/sys/fs/cgroup/memory").join(path.trim_start_matches('/')));
    if let Some(folder) = candidates
        .into_iter()
        .chain([PathBuf::from("/sys/fs/cgroup/memory")])
        .find(|folder| v1.is_some() && folder.join("memory.limit_in_bytes").exists() && writable(folder))
    {
        return MemoryLimit::CgroupV1(folder);
    }
    MemoryLimit::Unavailable { reason: "no cgroup with the memory controller is writable for this user".to_owned() }
}

fn writable(folder: &Path) -> bool {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok()
        && rustix::fs::statvfs(folder).is_ok_and(|facts| !facts.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

/// A cgroup of a job, which limits its memory.
#[derive(Debug)]
pub struct MemoryGroup {
    folder: PathBuf,
    v2: bool,
}

impl MemoryGroup {
    /// Creates a group of this name with a limit in bytes; `None` when the machine has no way.
    pub fn create(name: &str, bytes: u64) -> std::io::Result<Option<Self>> {
        let (parent, v2) = match memory_limit() {
            MemoryLimit::CgroupV2(parent) => (parent, true),
            MemoryLimit::CgroupV1(parent) => (parent, false),
            MemoryLimit::Unavailable { .. } => return Ok(None),
        };
        let folder = parent.join(name);
        match std::fs::create_dir(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if v2 {
            std::fs::write(folder.join("memory.max"), bytes.to_string())?;
            // Without swap the limit means what it says; a kernel without swap accounting has no such file.
            let _ = std::fs::write(folder.join("memory.swap.max"), "0");
        } else {
            std::fs::write(folder.join("memory.limit_in_bytes"), bytes.to_string())?;
            let _ = std::fs::write(folder.join("memory.memsw.limit_in_bytes"), bytes.to_string());
        }
        Ok(Some(Self { folder, v2 }))
    }

    /// Returns the file to which a process writes its id to join.
    pub fn join_file(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// Returns how many processes of the group the kernel has killed for memory; `None` when it does not say.
    pub fn kills(&self) -> Option<u64> {
        let file = if self.v2 { "memory.events" } else { "memory.oom_control" };
        let text = std::fs::read_to_string(self.folder.join(file)).ok()?;
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|count| count.trim().parse().ok())
    }

    /// Removes the group, which must be empty.
    pub fn remove(self) {
        for _ in 0..50 {
            if std::fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// Returns the numbers of the NVIDIA devices of this machine.
pub fn gpu_devices() -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/dev") else { return Vec::new() };
    let mut devices: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.strip_prefix("nvidia")?.parse().ok()).collect();
    devices.sort_unstable();
    devices
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
}
