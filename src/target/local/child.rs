//! Starts the bootstrap, and watches it until it ends or has to be ended.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::job::attempt::Attempt;
use crate::job::{JobSpec, remains};
use crate::support::fs;
use crate::support::platform::{self, MemoryGroup, Signal};
use crate::support::secret::Secret;
use crate::support::shell;
use crate::target::Error;
use crate::target::supervised::{Exit, Stop};

/// What a job sees of its supervisor's own environment; everything else is in the bootstrap.
pub(super) const PASSED_ON: [&str; 7] = ["PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "CUDA_VISIBLE_DEVICES"];

/// How long what a command left in the background has to end, when the command itself has ended.
const BACKGROUND_GRACE: Duration = Duration::from_secs(2);

/// How old a command is when TERM is sure to meet it. Between two steps of the bootstrap, or between its note of the command and the command
/// itself, TERM meets nothing that ends: a job that is stopped so early is asked again.
const SETTLED: Duration = Duration::from_millis(200);

/// Writes the file that the bootstrap reads and removes.
pub(super) fn write_secrets(attempt: &Attempt, secrets: &BTreeMap<String, Secret>) -> Result<(), fs::Error> {
    if secrets.is_empty() {
        return Ok(());
    }
    let mut lines = String::new();
    for (name, value) in secrets {
        lines.extend(["export ", name, "=", &shell::quote(value.expose()), "\n"]);
    }
    fs::write_private(attempt.path("secrets"), lines.as_bytes())
}

/// Starts the bootstrap as a child in a process group of its own. The calling thread must live as long as the job: see [`platform::die_with_parent`].
pub(super) fn start(attempt: &Attempt, spec: &JobSpec, group: Option<&MemoryGroup>, devices: Option<&[u32]>) -> Result<Child, Error> {
    let failed = |source| Error::Start { id: spec.id.to_string(), source };
    let log = fs::append(attempt.path("log"))?;
    let errors = log.try_clone().map_err(failed)?;
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.arg("enter").arg(attempt.path("bootstrap.sh")).args(["--parent", &platform::own_pid().to_string()]);
    if let Some(cpus) = spec.cpus {
        command.args(["--cpus", &cpus.to_string()]);
    }
    if let Some(group) = group {
        command.arg("--join").arg(group.join_file());
    }
    command.env_clear();
    command.envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.env(remains::OWNER, attempt.folder());
    if let Some(devices) = devices {
        command.env("CUDA_VISIBLE_DEVICES", devices.iter().map(u32::to_string).collect::<Vec<_>>().join(","));
    }
    // Stdin is the pipe whose end tells the bootstrap that its supervisor died; the script moves it out of the command's way.
    command.stdin(Stdio::piped()).stdout(Stdio::from(log)).stderr(Stdio::from(errors));
    platform::own_group(&mut command).spawn().map_err(failed)
}

/// Waits for the bootstrap, ends all of the job when asked or when its time is up, and says how the bootstrap ended.
pub(super) fn watch(attempt: &Attempt, spec: &JobSpec, mut child: Child) -> (Option<Exit>, Option<Stop>) {
    let leader = i32::try_from(child.id()).expect("process ids are small");
    let begun = Instant::now();
    let (sender, receiver) = mpsc::channel();
    let waiter = std::thread::spawn(move || {
        let _ = sender.send(child.wait());
    });
    let stop = |elapsed: Duration| {
        if attempt.path("cancel").exists() {
            Some(Stop::Cancelled)
        } else {
            spec.max_duration.filter(|limit| elapsed >= *limit).map(|_| Stop::TimedOut)
        }
    };
    let command_age = || std::fs::metadata(attempt.path("started")).and_then(|started| started.modified()).ok()?.elapsed().ok();
    let mut asked = BTreeSet::new();
    let mut is_settled = true;
    let mut stopped: Option<(Stop, Instant)> = None;
    let status = loop {
        match receiver.recv_timeout(Duration::from_millis(50)) {
            Ok(status) => break status.ok(),
            Err(mpsc::RecvTimeoutError::Disconnected) => break None,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        match stopped {
            None => {
                if let Some(reason) = stop(begun.elapsed()) {
                    is_settled = command_age().is_some_and(|age| age >= SETTLED);
                    asked = remains::ask(attempt.folder(), leader);
                    stopped = Some((reason, Instant::now()));
                }
            }
            Some((_, since)) if since.elapsed() >= attempt.grace(spec.grace) => platform::signal_group(leader, Signal::Kill),
            Some(_) if !is_settled => {
                let age = command_age();
                is_settled = age.is_some_and(|age| age >= SETTLED);
                if age.is_none() || is_settled {
                    asked.extend(remains::ask(attempt.folder(), leader));
                }
            }
            Some(_) => {}
        }
    };
    let _ = waiter.join();
    // What is left has the rest of the same grace, not another one.
    let grace = stopped.map_or(BACKGROUND_GRACE.min(spec.grace), |(_, since)| attempt.grace(spec.grace).saturating_sub(since.elapsed()));
    remains::end_own(attempt.folder(), asked, grace);
    let exit = status.and_then(|status| status.code().map(Exit::Code).or_else(|| platform::ending_signal(status).map(Exit::Signal)));
    (exit, stopped.map(|(reason, _)| reason))
}
