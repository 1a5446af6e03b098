//! A shell where a job runs, or where it would run again: what is asked for, and what there is to be attended to.

use std::collections::BTreeMap;
use std::process::Command;

use tempfile::TempDir;

use super::docker::Inside;
use crate::engine::Terminal;
use crate::support::lock::Lock;
use crate::support::secret::Secret;

/// Becomes what is asked for.
pub(super) const SCRIPT: &str = include_str!("../../templates/shell.sh");

/// What somebody wants of a shell.
#[derive(Debug, Clone, Default)]
pub struct Visit {
    /// What runs; a shell when empty.
    pub command: Vec<String>,
    /// On which node of the job.
    pub node: u32,
    /// The terminal of whoever asks, if it is at one.
    pub terminal: Option<Terminal>,
    /// What kind of terminal that is.
    pub term: Option<String>,
    /// The job's secrets, as far as they are known.
    pub secrets: BTreeMap<String, Secret>,
    /// Variables of the job that lead nowhere outside of it.
    pub without: &'static [&'static str],
}

impl Visit {
    /// Returns the words that run.
    pub(super) fn words(&self) -> Vec<String> {
        ["/bin/sh", "-c", SCRIPT, "sh"].into_iter().map(str::to_owned).chain(self.command.iter().cloned()).collect()
    }

    /// Returns the variables that are added, given the job's own.
    pub(super) fn variables(&self, own: &[(String, String)]) -> BTreeMap<String, String> {
        let kept = own.iter().filter(|(name, _)| !self.without.contains(&name.as_str())).cloned();
        let secret = self.secrets.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
        let term = self.term.iter().map(|term| ("TERM".to_owned(), term.clone()));
        kept.chain(secret).chain(term).collect()
    }
}

/// Whether a shell is beside the job, or where it would run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// The job runs, and the shell is where it is.
    TheJobs,
    /// The job has ended and was to be kept: its working directory as it left it.
    AsLeft,
    /// The job does not run: the same snapshot and environment, made anew, gone after.
    Fresh,
}

/// A shell that is there to be attended to.
pub struct Shell {
    /// Where it is.
    pub room: Room,
    /// What it has not got, although the job has it.
    pub missing: Vec<String>,
    /// How it is attended to.
    pub door: Door,
}

/// How a shell is attended to.
pub enum Door {
    /// A program of this machine, to be started with our own ends.
    Here(Box<Here>),
    /// A process in a container, which has started.
    Inside(Box<Inside>),
}

/// A program of this machine.
#[derive(Debug)]
pub struct Here {
    /// The program.
    pub command: Command,
    /// The folder in which it runs, when that is its own.
    pub(super) _folder: Option<TempDir>,
    /// Keeps its environment.
    pub(super) _leases: Vec<Lock>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "needs `shellcheck`"]
    fn shellcheck_finds_nothing_in_the_script_of_shells() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("shell.sh");
        std::fs::write(&path, SCRIPT).expect("writable");
        let output = Command::new("shellcheck").arg(&path).output().expect("`shellcheck` runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
