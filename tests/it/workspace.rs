//! Workspaces of Azure ML, all in one emulation that every test of this process shares: it takes a while to start.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::Connection;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::{Sandbox, engine, wait_until};

/// The image of jobs that need no environment of their own.
pub(crate) const IMAGE: &str = "python:3.11-slim";

/// The emulation, and what ends it.
struct Shared {
    sandbox: Sandbox,
    /// A process that waits for the end of this pipe, however this process ends.
    _guard: ChildStdin,
}

fn shared() -> &'static Sandbox {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    let start = || {
        let sandbox = Sandbox::new();
        let down = sandbox.command(&[]);
        let mut guard = Command::new("/bin/sh");
        guard.args(["-c", "cat; \"$0\" emulator down azureml; \"$0\" tracking stop; cd /; rm -rf \"$1\""]);
        guard.arg(down.get_program()).arg(sandbox.project().parent().expect("it is in a folder")).env_clear();
        guard.envs(down.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(sandbox.project());
        // An interruption of the tests is not meant for it.
        guard.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let guard = guard.spawn().expect("a shell starts").stdin.take().expect("a pipe");
        sandbox.sendoff(&["emulator", "up", "azureml"]).expect(0);
        Shared { sandbox, _guard: guard }
    };
    &SHARED.get_or_init(start).sandbox
}

fn folder() -> PathBuf {
    shared().home().join("data/emulator/azureml")
}

/// A workspace of a test's own.
pub(crate) struct Workspace {
    name: String,
}

/// A job as the emulation keeps it.
pub(crate) struct Kept {
    pub(crate) name: String,
    active: bool,
    uuid: String,
}

impl Workspace {
    /// Makes one, and has a sandbox find the shared emulation where it would make its own.
    pub(crate) fn of(sandbox: &Sandbox) -> Self {
        static WORKSPACES: AtomicUsize = AtomicUsize::new(0);
        Self::link(&sandbox.home());
        Self { name: format!("ws{}", WORKSPACES.fetch_add(1, Ordering::Relaxed)) }
    }

    /// Has a home of sendoff find the shared emulation.
    pub(crate) fn link(home: &Path) {
        let data = home.join("data");
        std::fs::create_dir_all(&data).expect("writable");
        std::os::unix::fs::symlink(shared().home().join("data/emulator"), data.join("emulator")).expect("writable");
    }

    /// Returns the compute target, as a run config has it.
    pub(crate) fn target(&self) -> String {
        format!("{{type: azureml, subscription_id: tests, resource_group: tests, workspace_name: {}, compute: nodes}}", self.name)
    }

    fn scope(&self) -> String {
        format!("/subscriptions/tests/resourceGroups/tests/providers/Microsoft.MachineLearningServices/workspaces/{}", self.name)
    }

    /// Returns the address of the emulation that jobs reach.
    pub(crate) fn gateway() -> String {
        let state: Value = serde_json::from_slice(&std::fs::read(folder().join("running.json")).expect("it runs")).expect("JSON");
        let url = state["gateway_url"].as_str().expect("there is an engine");
        let authority = url.rsplit('/').next().expect("an address");
        authority.rsplit_once(':').expect("a port").0.to_owned()
    }

    /// Has requests fail whose path contains a text: the words of `emulator fault`. The text is to be one that no other test's path has.
    pub(crate) fn fault(&self, path: &str, words: &[&str]) {
        shared().sendoff(&[&["emulator", "fault", "azureml", "--path", path][..], words].concat()).expect(0);
    }

    /// Returns a part of the path of every request to this workspace: `/jobs/j` after it is one of its job.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/workspaces/{}{rest}", self.name)
    }

    /// Returns the beginning of the path of every blob of this workspace.
    pub(crate) fn storage(&self) -> String {
        let digest = Sha256::digest(self.scope().to_lowercase().as_bytes());
        let digits: String = digest.iter().take(11).map(|byte| format!("{byte:02x}")).collect();
        format!("/st{digits}/")
    }

    /// Returns how much of the trouble that was ordered for a path has not come yet.
    pub(crate) fn faults(&self, path: &str) -> usize {
        let files = std::fs::read_dir(folder().join("faults")).into_iter().flatten().flatten();
        files.filter(|file| std::fs::read_to_string(file.path()).is_ok_and(|text| text.contains(path))).count()
    }

    /// Returns the jobs of the workspace.
    pub(crate) fn jobs(&self) -> Vec<Kept> {
        let database = Connection::open(folder().join("state.db")).expect("it is there");
        let mut statement = database.prepare("SELECT name, active, body FROM jobs WHERE workspace = ?1 ORDER BY number").expect("SQL");
        let rows = statement.query_map([self.scope().to_lowercase()], |row| {
            let body: Value = serde_json::from_str(&row.get::<_, String>(2)?).expect("JSON");
            let uuid = body["uuid"].as_str().expect("each has one").to_owned();
            Ok(Kept { name: row.get(0)?, active: row.get(1)?, uuid })
        });
        rows.expect("SQL").collect::<Result<_, _>>().expect("rows")
    }

    /// Waits until every job of the workspace has ended, and nothing is left of it on the engine.
    #[track_caller]
    pub(crate) fn nothing_runs(&self) {
        wait_until(|| {
            let jobs = self.jobs();
            let active: Vec<&str> = jobs.iter().filter(|job| job.active).map(|job| job.name.as_str()).collect();
            let containers = engine(async |engine| engine.list(&[]).await.expect("they are listed"));
            let is_ours = |labels: &std::collections::BTreeMap<String, String>| {
                labels.get("sendoff.emulator.job").is_some_and(|uuid| jobs.iter().any(|job| job.uuid == *uuid))
            };
            let left: Vec<String> = containers.into_iter().filter(|listed| is_ours(&listed.labels)).map(|listed| listed.name).collect();
            if active.is_empty() && left.is_empty() { Ok(()) } else { Err(format!("jobs {active:?}, containers {left:?}")) }
        });
    }
}
