//! A hermetic world for the real binary.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use sendoff::job::attempt::{Attempt, Finding};
use sendoff::support::platform::{Signal, descendants, signal_process};

/// A folder with a home, a sendoff home and a project of its own.
pub(crate) struct Sandbox {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Returns the folder that all tests share, for what is installed once.
pub(crate) fn shared() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// Returns a PATH with a real Python first (no shim of a version manager) and a `uv` that is installed once for all tests.
pub(crate) fn path() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| {
        let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().expect("python3 runs");
        let python = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        let uv = shared().join("uv");
        let _lock = sendoff::support::lock::Lock::exclusive(&shared().join("uv.lock")).expect("a lock");
        if !uv.join("complete").exists() {
            let run = |command: &mut Command| assert!(command.status().expect("it starts").success(), "{command:?}");
            run(Command::new(&python).args(["-m", "venv", "--clear"]).arg(&uv));
            run(Command::new(uv.join("bin/python")).args(["-m", "pip", "install", "--quiet", "uv"]));
            std::fs::create_dir_all(uv.join("only")).expect("writable");
            std::os::unix::fs::symlink(uv.join("bin/uv"), uv.join("only/uv")).expect("writable");
            std::fs::write(uv.join("complete"), "").expect("writable");
        }
        let folder = python.parent().expect("a program has a folder").display();
        format!("{folder}:{}:/usr/local/bin:/usr/bin:/bin", uv.join("only").display())
    })
}

/// Does something with the container engine of this machine.
pub(crate) fn engine<T>(act: impl AsyncFnOnce(sendoff::engine::Engine) -> T) -> T {
    let variables = std::env::vars().collect();
    let endpoint = sendoff::engine::Endpoint::choose(None, &variables, Path::new("/nonexistent")).expect("there is an engine");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    runtime.block_on(async { act(sendoff::engine::Engine::connect(&endpoint).await.expect("it answers")).await })
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["home", "project", "tmp"] {
            std::fs::create_dir(folder.path().join(name)).expect("writable");
        }
        Self { folder, variables: Vec::new() }
    }

    /// Sets a variable for every later command.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.set(name, value);
        self
    }

    /// Sets a variable for every later command.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("sendoff")
    }

    /// Returns the folder of temporary files.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    /// Writes a file of the project.
    pub(crate) fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.project().join(path);
        std::fs::create_dir_all(path.parent().expect("it is below the project")).expect("writable");
        std::fs::write(path, text).expect("writable");
        self
    }

    /// Returns a file that a job and its test share, and the `--set` that gives it to the job as the input of this name.
    pub(crate) fn shared_file(&self, input: &str) -> (PathBuf, String) {
        let path = self.home().join(input);
        let set = format!("inputs.{input}={}", path.display());
        (path, set)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sendoff"));
        command.args(arguments).current_dir(self.project()).env_clear().stdin(Stdio::null());
        command.env("PATH", path()).env("HOME", self.folder.path().join("home")).env("SENDOFF_HOME", self.home());
        command.env("TMPDIR", self.folder.path().join("tmp")).env("LANG", "C.UTF-8").env("NO_COLOR", "1").env("USER", "tester");
        command.env("UV_CACHE_DIR", shared().join("uv-cache"));
        // What leads to a package index, and to the certificates for it, is the outer world's.
        let through = |name: &str| {
            ["PIP_", "UV_"].iter().any(|start| name.starts_with(start)) || name.ends_with("_CA_BUNDLE") || name.starts_with("SSL_CERT")
        };
        command.envs(std::env::vars().filter(|(name, _)| through(name) && name != "UV_CACHE_DIR"));
        command.envs(self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        command
    }

    /// Runs a command to its end, within five minutes.
    pub(crate) fn sendoff(&self, arguments: &[&str]) -> Run {
        finish(self.command(arguments))
    }

    /// Runs a command where a shell script has mounted what it wants, seen by this command and what it starts only.
    pub(crate) fn with_mounts(&self, mounts: &str, arguments: &[&str]) -> Run {
        self.script_with_mounts(&format!("{mounts}\ncd \"$0\"; exec \"$@\""), arguments)
    }

    /// Runs a shell script that may mount what it wants; `"$@"` is the command, `$0` the project.
    pub(crate) fn script_with_mounts(&self, script: &str, arguments: &[&str]) -> Run {
        let inner = self.command(arguments);
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "/bin/sh", "-euc", script]);
        command.arg(self.project()).arg(inner.get_program()).args(inner.get_args()).current_dir(self.project()).env_clear();
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
        finish(command)
    }

    /// Runs a command that is armed to die at a kill point.
    pub(crate) fn armed(&self, point: &str, arguments: &[&str]) -> Run {
        let mut command = self.command(arguments);
        command.env("SENDOFF_FAULT", point);
        finish(command)
    }

    /// Returns the text with this sandbox's paths replaced.
    pub(crate) fn plain(&self, text: &str) -> String {
        let real = self.folder.path().canonicalize().expect("it exists");
        text.replace(&real.display().to_string(), "[SANDBOX]").replace(&self.folder.path().display().to_string(), "[SANDBOX]")
    }

    /// Returns the command lines of living processes that belong to this sandbox.
    pub(crate) fn processes(&self) -> Vec<String> {
        self.alive().into_iter().map(|(_, line)| line).collect()
    }

    /// Returns the ids and command lines of living processes that belong to this sandbox.
    fn alive(&self) -> Vec<(i32, String)> {
        let marker = self.folder.path().display().to_string();
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        entries
            .flatten()
            .filter_map(|entry| {
                let pid = entry.file_name().to_str()?.parse().ok()?;
                let folder = entry.path();
                let line = std::fs::read(folder.join("cmdline")).ok()?;
                let environment = std::fs::read(folder.join("environ")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                let mine = line.contains(&marker) || String::from_utf8_lossy(&environment).contains(&marker);
                (mine && !line.is_empty()).then_some((pid, line))
            })
            .collect()
    }

    /// Ends what a test has left running: one that failed, or jobs that it did not care for.
    fn end_all(&self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let alive = self.alive();
            if alive.is_empty() || Instant::now() > deadline {
                break;
            }
            // Those that nothing but their descent leads to, before it is cut.
            let below: Vec<i32> = alive.iter().flat_map(|(pid, _)| descendants(*pid, |_| false)).map(|process| process.pid).collect();
            for pid in alive.into_iter().map(|(pid, _)| pid).chain(below) {
                signal_process(pid, Signal::Kill);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // What only a session or a cgroup leads to.
        let jobs = std::fs::read_dir(self.home().join("data/jobs")).into_iter().flatten().flatten();
        for attempt in jobs.map(|job| Attempt::at(job.path().join("attempt-1"))) {
            if let Ok(Finding::Abandoned { claim, .. }) = attempt.find() {
                attempt.end_remains(claim.as_ref());
            }
        }
    }

    /// Waits until no process of this sandbox lives.
    #[track_caller]
    pub(crate) fn nothing_runs(&self) {
        wait_until(|| if self.processes().is_empty() { Ok(()) } else { Err(format!("{:?}", self.processes())) });
    }

    /// Removes the containers of this sandbox's jobs.
    pub(crate) fn remove_containers(&self) {
        let owner = self.home().join("data").canonicalize().unwrap_or_else(|_| self.home().join("data")).display().to_string();
        engine(async |engine| {
            for container in engine.list(&[(sendoff::target::docker::place::OWNER, owner.as_str())]).await.unwrap_or_default() {
                let _ = engine.remove(&container.id, sendoff::engine::Removal::Forced).await;
            }
            for network in engine.networks(&[(sendoff::target::docker::place::OWNER, owner.as_str())]).await.unwrap_or_default() {
                let _ = engine.remove_network(&network.id).await;
            }
        });
    }

    /// Returns the names of the networks that this sandbox's jobs have on the engine.
    pub(crate) fn networks(&self) -> Vec<String> {
        let owner = self.home().join("data").canonicalize().unwrap_or_else(|_| self.home().join("data")).display().to_string();
        let listed = engine(async |engine| engine.networks(&[(sendoff::target::docker::place::OWNER, owner.as_str())]).await);
        listed.expect("networks are listed").into_iter().map(|network| network.name).collect()
    }

    /// Returns the names of the containers that this sandbox's jobs have on the engine, with what each does.
    pub(crate) fn containers(&self) -> Vec<String> {
        let owner = self.home().join("data").canonicalize().unwrap_or_else(|_| self.home().join("data")).display().to_string();
        let listed = engine(async |engine| engine.list(&[(sendoff::target::docker::place::OWNER, owner.as_str())]).await);
        listed.expect("containers are listed").into_iter().map(|container| format!("{} {:?}", container.name, container.state)).collect()
    }

    /// Returns a file of the first attempt of a job.
    pub(crate) fn attempt(&self, job: &str, name: &str) -> PathBuf {
        self.home().join("data/jobs").join(job).join("attempt-1").join(name)
    }

    /// Returns the process id of the supervisor of a job.
    pub(crate) fn supervisor(&self, job: &str) -> i32 {
        self.claimant(job).expect("it was claimed by a process")
    }

    /// Returns the process id in the claim of a job; `None` where there is none, also while it is written anew.
    fn claimant(&self, job: &str) -> Option<i32> {
        let claim = std::fs::read(self.attempt(job, "claim")).ok()?;
        let claim: serde_json::Value = serde_json::from_slice(&claim).ok()?;
        claim["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok())
    }

    /// Kills the supervisor of a job, and waits until it is dead: a busy machine takes its time.
    /// Whoever watches over the job may have started another by then.
    pub(crate) fn kill_supervisor(&self, job: &str) {
        let killed = self.supervisor(job);
        signal_process(killed, Signal::Kill);
        wait_until(|| {
            let held = sendoff::support::lock::is_held(&self.attempt(job, "claim"));
            if matches!(held, Ok(false)) || self.claimant(job).is_some_and(|pid| pid != killed) {
                return Ok(());
            }
            Err(format!("the claim of {killed} is held: {held:?}"))
        });
    }

    /// Waits until the supervisor of a job is dead.
    pub(crate) fn supervisor_is_dead(&self, job: &str) {
        wait_until(|| match sendoff::support::lock::is_held(&self.attempt(job, "claim")) {
            Ok(false) => Ok(()),
            held => Err(format!("the claim is held: {held:?}")),
        });
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if self.home().join("data/tracking/server.json").exists() {
            let _ = self.command(&["tracking", "stop"]).output();
        }
        self.end_all();
    }
}

fn finish(mut command: Command) -> Run {
    let output = sendoff::support::command::capture_any(&mut command, Duration::from_mins(5)).expect("it ends in time");
    Run::from(output)
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Run {
    /// Asserts the exit code, showing everything when it is another.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Reads the answer as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

/// Waits until a condition gives a value, and says the last thing seen when it does not.
#[track_caller]
pub(crate) fn wait_until<T>(mut condition: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        match condition() {
            Ok(value) => return value,
            Err(seen) => assert!(Instant::now() < deadline, "waited in vain; last seen: {seen}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Returns how many lines a file has; none when it is missing.
pub(crate) fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}
