//! Limits the memory of a job by a cgroup, v2 or v1.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::platform::MemoryLimit;

/// How long processes that were ended may take to leave their group.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks for a way to limit memory; changes nothing.
pub fn memory_limit() -> MemoryLimit {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    if let Some(folder) = find_v2(&own) {
        return MemoryLimit::CgroupV2(folder);
    }
    if let Some(folder) = find_v1(&own) {
        return MemoryLimit::CgroupV1(folder);
    }
    MemoryLimit::Unavailable { reason: "no cgroup with the memory controller is writable for this user".to_owned() }
}

/// Returns the nearest group, upward from our own, that hands the memory controller down: one with processes of its own never does.
fn find_v2(own: &str) -> Option<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let own = root.join(own.lines().find_map(|line| line.strip_prefix("0::"))?.trim_start_matches('/'));
    let hands_down = |folder: &Path| {
        let controllers = std::fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
        controllers.split_whitespace().any(|word| word == "memory") && is_writable(folder)
    };
    own.ancestors().take_while(|folder| folder.starts_with(root)).find(|folder| hands_down(folder)).map(Path::to_owned)
}

/// Returns our own group of the memory hierarchy, or its root.
fn find_v1(own: &str) -> Option<PathBuf> {
    let root = Path::new("/sys/fs/cgroup/memory");
    let own = own.lines().find_map(|line| line.split_once(":memory:").map(|(_, path)| path))?;
    [root.join(own.trim_start_matches('/')), root.to_owned()]
        .into_iter()
        .find(|folder| folder.join("memory.limit_in_bytes").exists() && is_writable(folder))
}

fn is_writable(folder: &Path) -> bool {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok()
        && rustix::fs::statvfs(folder).is_ok_and(|facts| !facts.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

/// A cgroup of a job, which limits its memory and holds all of its processes, whatever they do to leave.
#[derive(Debug)]
pub struct MemoryGroup {
    folder: PathBuf,
}

impl MemoryGroup {
    /// Creates a group of this name, which nobody else may use, with a limit in bytes; `None` when the machine has no way.
    pub fn create(name: &str, bytes: u64) -> std::io::Result<Option<Self>> {
        let (parent, limit, swap, swap_bytes) = match memory_limit() {
            // Without swap the limit means what it says.
            MemoryLimit::CgroupV2(parent) => (parent, "memory.max", "memory.swap.max", 0),
            MemoryLimit::CgroupV1(parent) => (parent, "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", bytes),
            MemoryLimit::Unavailable { .. } => return Ok(None),
        };
        let group = Self { folder: parent.join(name) };
        std::fs::create_dir(&group.folder)?;
        if let Err(error) = std::fs::write(group.folder.join(limit), bytes.to_string()) {
            let _ = std::fs::remove_dir(&group.folder);
            return Err(error);
        }
        // A kernel without swap accounting has no such file.
        let _ = std::fs::write(group.folder.join(swap), swap_bytes.to_string());
        Ok(Some(group))
    }

    /// Names a group that was created before; it may be gone.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Returns its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the file to which a process writes its id to join.
    pub fn join_file(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// Returns the ids of its processes.
    pub fn members(&self) -> Vec<i32> {
        let text = std::fs::read_to_string(self.join_file()).unwrap_or_default();
        text.lines().filter_map(|line| line.trim().parse().ok()).collect()
    }

    /// Returns how many processes of the group the kernel has killed for memory; `None` when it does not say.
    pub fn kills(&self) -> Option<u64> {
        // The first is v2's, the second v1's.
        ["memory.events", "memory.oom_control"].iter().find_map(|file| {
            let text = std::fs::read_to_string(self.folder.join(file)).ok()?;
            text.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|count| count.trim().parse().ok())
        })
    }

    /// Removes the group. It empties only after its last process has ended, on a busy machine some time after; a group that is gone is fine.
    pub fn remove(self) {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(1);
        while let Err(error) = std::fs::remove_dir(&self.folder) {
            if error.kind() == ErrorKind::NotFound || Instant::now() > deadline {
                return;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_empties_late_is_removed_all_the_same() {
        // A folder that is not empty refuses as a group with processes does.
        let parent = tempfile::tempdir().expect("a temporary folder");
        let folder = parent.path().join("group");
        std::fs::create_dir(&folder).expect("writable");
        std::fs::write(folder.join("process"), "").expect("writable");
        let late = folder.join("process");
        let process = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(1));
            std::fs::remove_file(late).expect("it is there");
        });
        MemoryGroup::at(folder.clone()).remove();
        assert!(!folder.exists());
        process.join().expect("no panic");
        MemoryGroup::at(folder).remove();
    }
}
