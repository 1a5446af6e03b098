//! What git knows of the source directory: commit, branch, and what is not committed.
//!
//! Nothing of the repository is executed: hooks, the file-system monitor, external diff drivers and text converters are switched off.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::support::command;

/// Bytes of a patch that are kept.
const MAX_PATCH: usize = 4 << 20;

/// The state of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Facts {
    /// The repository's root.
    pub root: PathBuf,
    /// The commit that is checked out; `None` before the first one.
    pub commit: Option<String>,
    /// The branch; `None` when the head is detached.
    pub branch: Option<String>,
    /// The address of the remote, without credentials.
    pub remote: Option<String>,
    /// Whether anything is not committed, untracked files included.
    pub dirty: bool,
}

/// Returns the facts, or `None` where there is no repository or no git.
pub fn facts(folder: &Path) -> Option<Facts> {
    let answer = git(folder, &["rev-parse", "--show-toplevel", "--abbrev-ref", "HEAD"]);
    let (root, branch) = match answer {
        Some(text) => {
            let mut lines = text.lines();
            (PathBuf::from(lines.next()?), lines.next().map(str::to_owned))
        }
        // Before the first commit HEAD names nothing.
        None => (PathBuf::from(git(folder, &["rev-parse", "--show-toplevel"])?.trim()), None),
    };
    let commit = git(folder, &["rev-parse", "--verify", "--quiet", "HEAD"]).map(|text| text.trim().to_owned());
    let remote = git(folder, &["config", "--get", "remote.origin.url"]).map(|text| {
        let text = text.trim();
        url::Url::parse(text).map_or_else(|_| text.to_owned(), |url| crate::support::secret::redacted(&url).to_string())
    });
    let dirty = git(folder, &["status", "--porcelain", "--ignore-submodules=all", "--", "."]).is_some_and(|text| !text.trim().is_empty());
    Some(Facts { root, commit, branch: branch.filter(|branch| branch != "HEAD"), remote, dirty })
}

/// Returns the changes of tracked files as a patch, at most 4 MiB of it; `None` when there are none.
pub fn patch(folder: &Path) -> Option<String> {
    let mut patch = git(folder, &["diff", "--no-ext-diff", "--no-textconv", "--ignore-submodules=all", "HEAD", "--", "."])?;
    if patch.len() > MAX_PATCH {
        let mut end = MAX_PATCH;
        while !patch.is_char_boundary(end) {
            end -= 1;
        }
        patch.truncate(end);
        patch.push_str("\n# cut here: the patch is larger than 4 MiB\n");
    }
    (!patch.is_empty()).then_some(patch)
}

/// Returns the name that an experiment gets by default: the repository's, else the folder's.
pub fn default_experiment(folder: &Path) -> String {
    let root = folder.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(folder);
    root.file_name().map_or_else(|| "default".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(folder)
        .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=true"])
        .args(arguments)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_EXTERNAL_DIFF");
    let output = command::capture(&mut command, Duration::from_secs(20)).ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
