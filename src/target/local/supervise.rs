//! The supervisor: holds the claim, runs the bootstrap as its child, enforces limits, decides the outcome.
//!
//! ```text
//! claim -> queue -> running -> (TERM, grace, KILL) -> exit.json -> closing acts of the caller -> closed
//! ```

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::queue::Ticket;
use crate::job::attempt::{Attempt, Claim};
use crate::job::{Ending, JobSpec, JobState, Launch, Outcome};
use crate::support::fs::{self, Context};
use crate::support::lock::Lock;
use crate::support::platform::{self, MemoryGroup};
use crate::support::secret::Secret;
use crate::support::{clock, fault, shell, words};
use crate::target::Error;

/// What the caller does around the job: it knows the tracker, which this module does not.
pub trait Closing: Send + Sync + 'static {
    /// Is called once the command runs, on a thread of its own that nobody waits for: it may still be at work when the process ends.
    fn started(&self, spec: &JobSpec, closing: &Secret);

    /// Is called with the outcome, which is recorded already.
    fn ended(&self, spec: &JobSpec, closing: &Secret, outcome: &Outcome);
}

/// Why a job is being ended by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Cancelled,
    TimedOut,
}

/// Runs an attempt to its end in this process; returns at once when somebody else has claimed it.
///
/// Reads a [`Launch`] from stdin. The process becomes the leader of a session of its own first.
pub fn supervise(folder: &Path, closing: &Arc<impl Closing>) -> Result<(), Error> {
    platform::new_session();
    let attempt = Attempt::at(folder.to_owned());
    fault::point("supervisor.before-claim");
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let claim = Claim::Supervisor { pid: own, started: platform::start_time(own).unwrap_or(0), boot: platform::boot_id() };
    let Some(held) = attempt.claim(&claim)? else { return Ok(()) };
    fault::point("supervisor.after-claim");
    let mut message = Vec::new();
    let launch: Launch =
        std::io::stdin().read_to_end(&mut message).ok().and_then(|_| serde_json::from_slice(&message).ok()).unwrap_or_default();
    drop(message);
    let Some(spec) = attempt.spec()? else {
        attempt.write_outcome(&broken("its job description is missing"))?;
        return Ok(());
    };
    attempt.reserve()?;
    let _leases: Vec<Lock> = spec.leases.iter().filter_map(|file| Lock::shared(file).ok()).collect();
    let outcome = run(&attempt, &spec, &launch, closing).unwrap_or_else(|error| broken(&describe(&error)));
    end_group(own, Duration::from_secs(2));
    keep_outputs(&attempt);
    fault::point("supervisor.after-exit");
    attempt.write_outcome(&outcome)?;
    fault::point("supervisor.after-exit-record");
    if let Some(secret) = &launch.closing {
        closing.ended(&spec, secret, &outcome);
    }
    fault::point("supervisor.after-close");
    attempt.mark_closed();
    drop(held);
    Ok(())
}

fn broken(detail: &str) -> Outcome {
    Outcome { ending: Ending::Broken, exit_code: None, started_at: None, ended_at: clock::now(), detail: Some(detail.to_owned()) }
}

fn describe(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

fn run(attempt: &Attempt, spec: &JobSpec, launch: &Launch, closing: &Arc<impl Closing>) -> Result<Outcome, Error> {
    let (ticket, devices) = match wait_for_turn(attempt, spec)? {
        Turn::Now(ticket, devices) => (ticket, devices),
        Turn::Cancelled => {
            return Ok(Outcome {
                ending: Ending::Cancelled,
                exit_code: None,
                started_at: None,
                ended_at: clock::now(),
                detail: Some("it was still queued".to_owned()),
            });
        }
    };
    let group = match spec.memory {
        Some(bytes) => MemoryGroup::create(&format!("sendoff-{}-a{}", spec.id, spec.attempt), bytes)
            .context("create the cgroup of", attempt.folder())?,
        None => None,
    };
    write_secrets(attempt, &launch.secrets)?;
    fault::point("supervisor.before-command");
    let mut child = start(attempt, spec, group.as_ref(), devices.as_deref())?;
    let tie = child.stdin.take();
    attempt.write_status(&JobState::Running { since: clock::now() })?;
    fault::point("supervisor.running");
    if let Some(secret) = launch.closing.clone() {
        let (closing, spec) = (Arc::clone(closing), spec.clone());
        // Never joined: a tracker that hangs must not hold up the outcome.
        std::thread::spawn(move || closing.started(&spec, &secret));
    }
    let outcome = watch(attempt, spec, child, group.as_ref());
    drop(tie);
    if let Some(group) = group {
        end_group(i32::try_from(std::process::id()).unwrap_or(0), Duration::ZERO);
        group.remove();
    }
    drop(ticket);
    fs::remove_file(attempt.path("secrets"))?;
    Ok(outcome)
}

enum Turn {
    Now(Option<(Ticket, Option<Ticket>)>, Option<Vec<u32>>),
    Cancelled,
}

/// Waits in the machine's queue and for its GPUs.
fn wait_for_turn(attempt: &Attempt, spec: &JobSpec) -> Result<Turn, Error> {
    let wanted = spec.gpus.unwrap_or(0) as usize;
    if spec.queue.is_none() && wanted == 0 {
        return Ok(Turn::Now(None, spec.gpus.map(|_| Vec::new())));
    }
    // `<data>/jobs/<id>/attempt-<n>`: the queues are beside the jobs.
    let queues = attempt.folder().ancestors().nth(3).unwrap_or(attempt.folder()).join("queues");
    let (name, limit) = spec.queue.clone().unwrap_or_else(|| ("gpus".to_owned(), u32::MAX));
    let ticket = Ticket::take(&queues.join(&name))?;
    let gpus = if wanted > 0 { Some(Ticket::take(&queues.join("gpu-leases"))?) } else { None };
    let devices = platform::gpu_devices();
    let since = clock::now();
    let mut shown = None;
    loop {
        if attempt.path("cancel").exists() {
            return Ok(Turn::Cancelled);
        }
        let ahead = ticket.ahead()?;
        let reason = if ahead >= limit as usize {
            format!("{} before it on `{name}`, which runs {limit} at once", words::Count(ahead, "job"))
        } else if let Some(lease) = &gpus {
            match lease.lease(&devices, wanted)? {
                Some(leased) => return Ok(Turn::Now(Some((ticket, gpus)), Some(leased))),
                None => format!("{} to become free", words::Count(wanted, "GPU")),
            }
        } else {
            return Ok(Turn::Now(Some((ticket, None)), spec.gpus.map(|_| Vec::new())));
        };
        if shown.as_ref() != Some(&reason) {
            attempt.write_status(&JobState::Queued { since, reason: reason.clone() })?;
            shown = Some(reason);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn write_secrets(attempt: &Attempt, secrets: &BTreeMap<String, Secret>) -> Result<(), Error> {
    if secrets.is_empty() {
        return Ok(());
    }
    let mut lines = String::new();
    for (name, value) in secrets {
        lines.extend(["export ", name, "=", &shell::quote(value.expose()), "\n"]);
    }
    Ok(fs::write_private(attempt.path("secrets"), lines.as_bytes())?)
}

fn start(attempt: &Attempt, spec: &JobSpec, group: Option<&MemoryGroup>, devices: Option<&[u32]>) -> Result<Child, Error> {
    let failed = |source| Error::Start { id: spec.id.to_string(), source };
    let log = fs::append(attempt.path("log"))?;
    let errors = log.try_clone().map_err(failed)?;
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.arg("enter").arg(attempt.path("bootstrap.sh")).args(["--parent", &std::process::id().to_string()]);
    if let Some(cpus) = spec.cpus {
        command.args(["--cpus", &cpus.to_string()]);
    }
    if let Some(group) = group {
        command.arg("--join").arg(group.join_file());
    }
    command.env_clear();
    // The documented short list; everything else is in the bootstrap.
    for name in ["PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "CUDA_VISIBLE_DEVICES"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    if let Some(devices) = devices {
        command.env("CUDA_VISIBLE_DEVICES", devices.iter().map(u32::to_string).collect::<Vec<_>>().join(","));
    }
    // Stdin is the pipe whose end tells the bootstrap that its supervisor died; the script moves it out of the command's way.
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::from(log)).stderr(Stdio::from(errors)).spawn().map_err(failed)
}

/// Waits for the bootstrap, ends it when asked or when its time is up, and says how it ended.
fn watch(attempt: &Attempt, spec: &JobSpec, mut child: Child, group: Option<&MemoryGroup>) -> Outcome {
    let leader = i32::try_from(child.id()).unwrap_or(0);
    let begun = Instant::now();
    let (sender, receiver) = mpsc::channel();
    let waiter = std::thread::spawn(move || {
        let _ = sender.send(child.wait());
    });
    let mut stop: Option<(Stop, Instant)> = None;
    let status = loop {
        match receiver.recv_timeout(Duration::from_millis(50)) {
            Ok(status) => break status.ok(),
            Err(mpsc::RecvTimeoutError::Disconnected) => break None,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        match stop {
            None => {
                let reason = if attempt.path("cancel").exists() {
                    Some(Stop::Cancelled)
                } else if spec.max_duration.is_some_and(|limit| begun.elapsed() >= limit) {
                    Some(Stop::TimedOut)
                } else {
                    None
                };
                if let Some(reason) = reason {
                    platform::signal_group(leader, Signal::TERM);
                    stop = Some((reason, Instant::now()));
                }
            }
            Some((_, since)) if since.elapsed() >= attempt.grace(spec.grace) => platform::signal_group(leader, Signal::KILL),
            Some(_) => {}
        }
    };
    let _ = waiter.join();
    let grace = if stop.is_some() { attempt.grace(spec.grace) } else { Duration::from_secs(2).min(spec.grace) };
    end_group(i32::try_from(std::process::id()).unwrap_or(0), grace);
    decide(attempt, spec, status, stop.map(|(reason, _)| reason), group)
}

/// Ends what is left of this session, this process apart: TERM, grace, KILL.
fn end_group(session: i32, grace: Duration) {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let begun = Instant::now();
    let mut termed = false;
    loop {
        let rest: Vec<i32> = platform::session_members(session).into_iter().map(|process| process.pid).filter(|pid| *pid != own).collect();
        if rest.is_empty() || begun.elapsed() > grace + Duration::from_secs(5) {
            return;
        }
        let signal = if begun.elapsed() >= grace { Signal::KILL } else { Signal::TERM };
        if signal == Signal::KILL || !termed {
            for pid in rest {
                platform::signal_process(pid, signal);
            }
            termed = true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn decide(attempt: &Attempt, spec: &JobSpec, status: Option<ExitStatus>, stop: Option<Stop>, group: Option<&MemoryGroup>) -> Outcome {
    let read = |name: &str| std::fs::read_to_string(attempt.path(name)).ok().map(|text| text.trim().to_owned());
    let started_at = std::fs::metadata(attempt.path("started"))
        .and_then(|metadata| metadata.modified())
        .ok()
        .and_then(|time| jiff::Timestamp::try_from(time).ok());
    let recorded = read("code").and_then(|code| code.parse::<i32>().ok());
    let shell_code = status.and_then(|status| status.code().or_else(|| status.signal().map(|signal| 128 + signal)));
    let code = recorded.or_else(|| started_at.and(shell_code));
    let kills = group.and_then(MemoryGroup::kills).unwrap_or(0);
    let mut outcome = Outcome { ending: Ending::Exited, exit_code: code, started_at, ended_at: clock::now(), detail: None };
    if stop == Some(Stop::Cancelled) {
        outcome.ending = Ending::Cancelled;
    } else if stop == Some(Stop::TimedOut) {
        outcome.ending = Ending::TimedOut;
        outcome.detail = spec.max_duration.map(|limit| format!("it ran past its `max_duration` of {}", words::Span(limit)));
    } else if let Some(step) = read("failed-step") {
        outcome.exit_code = None;
        if step == "preflight" {
            outcome.ending = Ending::PreflightFailed;
            outcome.detail = Some("the tracker cannot be used from the job; its log says why".to_owned());
        } else {
            outcome.ending = Ending::Broken;
            outcome.detail = Some(format!("the bootstrap failed in its step `{step}`; the log says why"));
        }
    } else if kills > 0 && code == Some(137) {
        outcome.ending = Ending::OutOfMemory;
        outcome.exit_code = None;
        outcome.detail = spec.memory.map(|limit| format!("it was killed at its memory limit of {}", words::Size(limit)));
    } else if kills > 0 {
        outcome.detail = Some("a child process was killed for want of memory".to_owned());
    } else if started_at.is_none() {
        outcome.ending = Ending::Broken;
        outcome.exit_code = None;
        outcome.detail = Some("the bootstrap ended before the command started; the log says why".to_owned());
    }
    outcome
}

/// Moves `./outputs` and `./logs` to what is kept, and removes the working directory.
fn keep_outputs(attempt: &Attempt) {
    let work = attempt.path("work");
    for name in ["outputs", "logs"] {
        let kept = attempt.path("collected").join(name);
        if work.join(name).is_dir() && !kept.exists() {
            let _ = std::fs::create_dir_all(attempt.path("collected"));
            if std::fs::rename(work.join(name), &kept).is_err() {
                // Kept where it is rather than lost.
                return;
            }
        }
    }
    let _ = fs::remove_dir_all(&work);
}
