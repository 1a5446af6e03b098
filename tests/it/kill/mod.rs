//! Clients and supervisors are killed at each of their points, stores are lost, submissions race: one execution or none, wherever a job runs.
//!
//! A promise is a function that takes a [`Ground`]; [`on_every_ground!`] makes a test of it for each.

mod client;
mod elsewhere;
mod engine_away;
mod races;
mod service;
mod supervisor;
mod unstarted;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{Sandbox, wait_until};
use crate::workspace::{IMAGE, Workspace};

/// Where the jobs run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ground {
    /// In processes of this machine.
    Local,
    /// In containers of this machine's engine.
    Docker,
    /// In a workspace of Azure ML, emulated.
    AzureMl,
}

/// A sandbox whose jobs leave a line in a file of the test's choice each time that they run.
pub(crate) struct World {
    ground: Ground,
    number: usize,
    pub(crate) sandbox: Sandbox,
    workspace: Option<Workspace>,
}

/// How many lines each job writes, after those of its bootstrap.
const LINES: usize = 40;

impl Ground {
    /// Returns a world with the target `one`, which runs one job at once, and a `run.yaml` for it.
    pub(crate) fn world(self) -> World {
        static WORLDS: AtomicUsize = AtomicUsize::new(0);
        let sandbox = Sandbox::new();
        let workspace = (self == Self::AzureMl).then(|| Workspace::of(&sandbox));
        let world = World { ground: self, number: WORLDS.fetch_add(1, Ordering::Relaxed), sandbox, workspace };
        let folder = world.witnesses();
        std::fs::create_dir_all(&folder).expect("writable");
        // The job's user may be another.
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).expect("ours");
        let target = match self {
            Self::Local => "{type: local, max_jobs: 1}".to_owned(),
            Self::Docker => format!("{{type: docker, mounts: [\"{}:/witness\"], max_jobs: 1}}", folder.display()),
            Self::AzureMl => world.workspace().target(),
        };
        world.sandbox.file("sendoff.yaml", &format!("compute_targets: {{one: {target}}}\n"));
        world.config("run.yaml", "");
        world.sandbox.file("blocker.yaml", "command: sleep 600\ncompute_target: one\ngrace: 1s\n");
        world
    }
}

impl World {
    /// Writes the job's run config, with more keys.
    pub(crate) fn config(&self, name: &str, more: &str) {
        let command = format!("for i in $(seq {LINES}); do echo line $i; done; sleep 0.2");
        let command = match self.ground {
            Ground::Local => format!("setsid sleep 0.3 & echo ran >> ${{{{inputs.witness}}}}; {command}"),
            Ground::Docker => format!("echo ran >> ${{{{inputs.witness}}}}; {command}"),
            Ground::AzureMl => format!("{} ${{{{inputs.witness}}}}; {command}", service::tells()),
        };
        let more = if self.ground == Ground::AzureMl { format!("environment: {{image: '{IMAGE}'}}\n{more}") } else { more.to_owned() };
        let keys = format!("command: {command}\ninputs: {{witness: W}}\ncompute_target: one\nexperiment_name: e\n{more}");
        self.sandbox.file(name, &keys);
    }

    fn workspace(&self) -> &Workspace {
        self.workspace.as_ref().expect("this ground has one")
    }

    /// Returns the words that submit something here.
    pub(crate) fn submit<'a>(&self, more: &[&'a str]) -> Vec<&'a str> {
        let emulate: &[&str] = if self.ground == Ground::AzureMl { &["--emulate"] } else { &[] };
        [&["submit"], more, emulate].concat()
    }

    /// Returns an id that no other test has: containers are named after their jobs, and tests share an engine.
    pub(crate) fn id(&self, name: &str) -> String {
        format!("{name}-{}-{}", std::process::id(), self.number)
    }

    fn witnesses(&self) -> PathBuf {
        self.sandbox.project().with_file_name("witnesses")
    }

    /// Returns where a job leaves its line, and the flag's value that tells it.
    pub(crate) fn witness(&self, name: &str) -> (PathBuf, String) {
        let path = self.witnesses().join(name);
        let inside = match self.ground {
            // A service's machines have none of our files: there it is a name, which the job tells us.
            Ground::Local | Ground::AzureMl => path.display().to_string(),
            Ground::Docker => format!("/witness/{name}"),
        };
        (path, format!("inputs.witness={inside}"))
    }

    /// Asserts that a job's log has each of its lines once.
    #[track_caller]
    pub(crate) fn has_whole_log(&self, job: &str) {
        let log = self.sandbox.sendoff(&["logs", job]).expect(0).stdout;
        let lines: Vec<&str> = log.lines().filter_map(|line| line.strip_prefix("line ")).collect();
        let expected: Vec<String> = (1..=LINES).map(|number| number.to_string()).collect();
        assert_eq!(lines, expected, "{log}");
    }

    /// Waits until nothing of any job runs, and nothing is left of it on an engine.
    #[track_caller]
    pub(crate) fn nothing_runs(&self) {
        self.sandbox.nothing_runs();
        if self.ground == Ground::Docker {
            wait_until(|| {
                let left = self.sandbox.containers();
                if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
            });
        }
        if let Some(workspace) = &self.workspace {
            workspace.nothing_runs();
        }
    }

    /// Returns the word of a job's state.
    pub(crate) fn state(&self, job: &str) -> String {
        let status = self.sandbox.sendoff(&["status", job, "--output", "json"]).expect(0).json();
        status["state"].as_str().expect("a state").to_owned()
    }

    /// Loses the job store.
    pub(crate) fn lose_store(&self) {
        for name in ["jobs.db", "jobs.db-wal", "jobs.db-shm"] {
            let _ = std::fs::remove_file(self.sandbox.home().join("data").join(name));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.ground == Ground::Docker {
            self.sandbox.remove_containers();
        }
    }
}

/// Makes a test of each promise for each ground.
macro_rules! on_every_ground {
    ($($promise:ident,)*) => {
        crate::kill::on_every_ground_of_ours! { $($promise,)* }
        mod azureml_engine {
            $(#[test] #[ignore = "needs a Docker engine"] fn $promise() { super::$promise(crate::kill::Ground::AzureMl); })*
        }
    };
}
/// Makes a test of each promise for each ground where a supervisor of ours watches over jobs.
macro_rules! on_every_ground_of_ours {
    ($($promise:ident,)*) => {
        mod local {
            $(#[test] fn $promise() { super::$promise(crate::kill::Ground::Local); })*
        }
        mod docker {
            $(#[test] #[ignore = "needs a Docker engine"] fn $promise() { super::$promise(crate::kill::Ground::Docker); })*
        }
    };
}
use {on_every_ground, on_every_ground_of_ours};
