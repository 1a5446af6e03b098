//! Decides how a job ended, from what was seen of it.

use jiff::Timestamp;

use crate::job::attempt::Attempt;
use crate::job::{Ending, JobSpec, Outcome};
use crate::support::{platform, words};

/// Bytes below which a file system counts as full: about what is set aside for the outcome.
const FULL: u64 = 64 << 10;

/// Why a job is being ended by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Somebody asked.
    Cancelled,
    /// It ran past its limit.
    TimedOut,
}

/// How the bootstrap ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

/// Everything that was seen of a job that has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// How the bootstrap ended; `None` when that could not be learned.
    pub exit: Option<Exit>,
    /// The command's code, as the bootstrap wrote it down.
    pub code: Option<i32>,
    /// When the command started.
    pub started_at: Option<Timestamp>,
    /// The step of the bootstrap that failed.
    pub failed_step: Option<String>,
    /// The step that the bootstrap came to.
    pub last_step: Option<String>,
    /// How many processes the kernel killed at the job's memory limit.
    pub kills: u64,
    /// Why we ended it, if we did.
    pub stop: Option<Stop>,
    /// Whether the file system of its log had no room left.
    pub is_full: bool,
    /// What may be behind an end that the command did not choose.
    pub note: Option<String>,
    /// Why nothing can be learned of how it ended, when it is gone from the place where it ran.
    pub gone: Option<String>,
    /// The node that this is about, of a job with several: the one that failed first.
    pub node: Option<u32>,
}

impl Evidence {
    /// Reads what the bootstrap wrote down.
    pub fn read(attempt: &Attempt, exit: Option<Exit>, stop: Option<Stop>, kills: u64) -> Self {
        let read = |name: &str| std::fs::read_to_string(attempt.path(name)).ok().map(|text| text.trim().to_owned());
        let started = std::fs::metadata(attempt.path("started")).and_then(|metadata| metadata.modified());
        Self {
            exit,
            code: read("code").and_then(|code| code.parse().ok()),
            started_at: started.ok().and_then(|time| Timestamp::try_from(time).ok()),
            failed_step: read("failed-step").filter(|step| !step.is_empty()),
            last_step: read("step").filter(|step| !step.is_empty()),
            kills,
            stop,
            is_full: platform::free_bytes(attempt.folder()).is_some_and(|free| free < FULL),
            note: None,
            gone: None,
            node: None,
        }
    }
}

/// Says how a job ended, by the node that failed first if it has several.
pub(super) fn decide(spec: &JobSpec, seen: &Evidence, ended_at: Timestamp) -> Outcome {
    let mut outcome = of_node(spec, seen, ended_at);
    if let Some(rank) = seen.node {
        let said = match (outcome.detail.take(), outcome.exit_code) {
            (Some(detail), _) => format!(": {detail}"),
            (None, Some(code)) => format!(" failed first, with exit code {code}"),
            (None, None) => " failed first".to_owned(),
        };
        outcome.detail = Some(format!("node {rank}{said}; `sendoff logs {} --node {rank}` shows its log", spec.id));
    }
    outcome
}

/// Says how a node ended. What we did comes first, then what the kernel did, then the command's own code.
fn of_node(spec: &JobSpec, seen: &Evidence, ended_at: Timestamp) -> Outcome {
    let own_code = match seen.exit {
        Some(Exit::Code(code)) => Some(code),
        _ => None,
    };
    // The bootstrap ends with the command's code; its file may be missing on a full disk.
    let code = seen.code.or_else(|| seen.started_at.and(own_code));
    let mut outcome = Outcome { ending: Ending::Exited, exit_code: code, started_at: seen.started_at, ended_at, detail: None };
    if let Some(reason) = &seen.gone {
        return Outcome { ending: Ending::Lost, exit_code: None, detail: Some(reason.clone()), ..outcome };
    }
    let broken = |outcome: &mut Outcome, detail: String| {
        outcome.ending = Ending::Broken;
        outcome.exit_code = None;
        outcome.detail = Some(detail);
    };
    match (seen.stop, &seen.failed_step, seen.exit) {
        (Some(Stop::Cancelled), ..) => outcome.ending = Ending::Cancelled,
        (Some(Stop::TimedOut), ..) => {
            outcome.ending = Ending::TimedOut;
            outcome.detail = spec.max_duration.map(|limit| format!("it ran past its `max_duration` of {}", words::Span(limit)));
        }
        (None, Some(step), _) if step == "preflight" => {
            outcome.ending = Ending::PreflightFailed;
            outcome.exit_code = None;
            outcome.detail = Some("the tracker cannot be used from the job; its log says why".to_owned());
        }
        (None, Some(step), Some(Exit::Code(0))) if step == "setup" => {
            broken(&mut outcome, "`setup` ended with `exit 0`, so the command did not start".to_owned());
        }
        (None, Some(step), Some(Exit::Code(code))) if step == "setup" => {
            broken(&mut outcome, format!("`setup` ended with status {code}; the log says why"));
        }
        (None, Some(step), _) => broken(&mut outcome, format!("the bootstrap failed in its step `{step}`; the log says why")),
        (None, None, exit) => {
            let killed = code == Some(137) || (code.is_none() && exit == Some(Exit::Signal(9)));
            if seen.kills > 0 && killed {
                outcome.ending = Ending::OutOfMemory;
                outcome.exit_code = None;
                outcome.detail = spec.memory.map(|limit| format!("it was killed at its memory limit of {}", words::Size(limit)));
            } else if let (None, Some(Exit::Signal(signal))) = (code, exit) {
                let step = seen.last_step.as_deref().unwrap_or("start");
                broken(&mut outcome, format!("its bootstrap was killed by signal {signal} in the step `{step}`"));
            } else if seen.started_at.is_none() && seen.code.is_none() {
                let step = seen.last_step.as_deref().unwrap_or("start");
                broken(&mut outcome, format!("the bootstrap ended in its step `{step}`, before the command started; the log says why"));
            } else if seen.kills > 0 {
                outcome.detail = Some("a child process was killed for want of memory".to_owned());
            } else if seen.is_full && code != Some(0) {
                outcome.detail = Some("the file system of its log is full".to_owned());
            } else {
                outcome.detail.clone_from(&seen.note);
            }
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ended(seen: &Evidence) -> (Ending, Option<i32>, Option<String>) {
        let spec = JobSpec {
            id: "the-job".parse().expect("a good id"),
            attempt: 1,
            digest: String::new(),
            request: crate::job::Request::default(),
            command: crate::job::Command::Shell(String::new()),
            setup: None,
            archive: "/".into(),
            snapshot: String::new(),
            leases: Vec::new(),
            python: "/".into(),
            variables: Vec::new(),
            secrets: Vec::new(),
            outputs: Vec::new(),
            cpus: None,
            memory: Some(64 << 20),
            gpus: None,
            max_duration: Some(Duration::from_secs(90)),
            grace: Duration::ZERO,
            queue: None,
            preflight: false,
            nodes: 1,
            container: None,
            hosted: None,
        };
        let outcome = decide(&spec, seen, Timestamp::UNIX_EPOCH);
        (outcome.ending, outcome.exit_code, outcome.detail)
    }

    fn ran(code: i32) -> Evidence {
        Evidence { exit: Some(Exit::Code(code)), code: Some(code), started_at: Some(Timestamp::UNIX_EPOCH), ..Evidence::default() }
    }

    #[test]
    fn the_commands_code_is_the_jobs() {
        for code in [0, 1, 137, 143, 241] {
            assert_eq!(ended(&ran(code)), (Ending::Exited, Some(code), None));
        }
        // A full disk took the file; the bootstrap passed the code on.
        assert_eq!(ended(&Evidence { code: None, ..ran(3) }), (Ending::Exited, Some(3), None));
    }

    #[test]
    fn what_we_did_counts_whatever_the_command_returned() {
        let cancelled = Evidence { stop: Some(Stop::Cancelled), ..ran(0) };
        assert_eq!(ended(&cancelled), (Ending::Cancelled, Some(0), None));
        let late = Evidence { stop: Some(Stop::TimedOut), kills: 1, ..ran(0) };
        assert_eq!(ended(&late), (Ending::TimedOut, Some(0), Some("it ran past its `max_duration` of 1 m 30 s".to_owned())));
    }

    #[test]
    fn only_a_main_process_that_was_killed_makes_a_job_end_for_want_of_memory() {
        let reason = Some("it was killed at its memory limit of 64.0 MiB".to_owned());
        assert_eq!(ended(&Evidence { kills: 1, ..ran(137) }), (Ending::OutOfMemory, None, reason));
        let child = Some("a child process was killed for want of memory".to_owned());
        assert_eq!(ended(&Evidence { kills: 2, ..ran(0) }), (Ending::Exited, Some(0), child));
        assert_eq!(ended(&ran(137)), (Ending::Exited, Some(137), None));
    }

    #[test]
    fn of_several_nodes_the_one_that_failed_first_is_named() {
        let words = |seen: Evidence| ended(&Evidence { node: Some(1), ..seen }).2.expect("it says why");
        assert_eq!(words(ran(3)), "node 1 failed first, with exit code 3; `sendoff logs the-job --node 1` shows its log");
        let memory = Evidence { kills: 1, ..ran(137) };
        assert_eq!(words(memory), "node 1: it was killed at its memory limit of 64.0 MiB; `sendoff logs the-job --node 1` shows its log");
        let gone = Evidence { gone: Some("its container was removed while it ran".to_owned()), ..Evidence::default() };
        assert!(words(gone).starts_with("node 1: its container was removed while it ran; "));
    }

    #[test]
    fn a_full_disk_is_a_reason_for_a_failure_only() {
        let reason = Some("the file system of its log is full".to_owned());
        assert_eq!(ended(&Evidence { is_full: true, ..ran(1) }), (Ending::Exited, Some(1), reason));
        assert_eq!(ended(&Evidence { is_full: true, ..ran(0) }), (Ending::Exited, Some(0), None));
    }

    #[test]
    fn a_bootstrap_that_does_not_come_to_its_end_is_named_with_its_step() {
        let step = |name: &str| Some(name.to_owned());
        let unpack = Evidence { exit: Some(Exit::Code(1)), failed_step: step("unpack"), ..Evidence::default() };
        assert_eq!(ended(&unpack), (Ending::Broken, None, Some("the bootstrap failed in its step `unpack`; the log says why".to_owned())));
        let preflight = Evidence { failed_step: step("preflight"), ..unpack };
        assert_eq!(ended(&preflight).0, Ending::PreflightFailed);
        let killed = Evidence { exit: Some(Exit::Signal(9)), code: None, last_step: step("command"), ..ran(0) };
        assert_eq!(ended(&killed), (Ending::Broken, None, Some("its bootstrap was killed by signal 9 in the step `command`".to_owned())));
        let setup = |code| Evidence { exit: Some(Exit::Code(code)), failed_step: step("setup"), ..Evidence::default() };
        let detail = "`setup` ended with status 7; the log says why";
        assert_eq!(ended(&setup(7)), (Ending::Broken, None, Some(detail.to_owned())));
        let detail = "`setup` ended with `exit 0`, so the command did not start";
        assert_eq!(ended(&setup(0)), (Ending::Broken, None, Some(detail.to_owned())));
        let setup = Evidence { exit: Some(Exit::Code(0)), last_step: step("setup"), ..Evidence::default() };
        let detail = "the bootstrap ended in its step `setup`, before the command started; the log says why";
        assert_eq!(ended(&setup), (Ending::Broken, None, Some(detail.to_owned())));
    }
}
