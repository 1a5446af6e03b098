//! Seeded rounds of several faults each, with MLflow's own client in a real job: afterwards the tracker has exactly what was logged.
//!
//! `SENDOFF_ROUNDS=200` runs that many instead of twenty; `SENDOFF_SEED=7` runs that one alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sendoff::job::remains::OWNER;
use sendoff::support::platform::{self, Signal};

use super::proxy::{Fault, Proxy};
use super::strict::Strict;
use crate::support::{Sandbox, wait_until};

/// How many values a job logs.
const COUNT: i64 = 120;

/// Numbers that look random and are the same for the same seed (splitmix64).
pub(super) struct Seeded(u64);

impl Seeded {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Returns a number below `limit`.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// What a round breaks next.
#[derive(Debug, Clone, Copy)]
enum Break {
    Wire(Fault),
    KillRelay,
    KillSupervisor,
}

fn next(seeded: &mut Seeded, may_kill_the_supervisor: bool) -> Break {
    match seeded.below(if may_kill_the_supervisor { 10 } else { 9 }) {
        0 => Break::Wire(Fault::Refuse),
        1 | 2 => Break::Wire(Fault::Reset),
        3 => Break::Wire(Fault::Stall),
        4 => Break::Wire(Fault::Truncate),
        5 => Break::Wire(Fault::Status(500)),
        6 => Break::Wire(Fault::Status(503)),
        7 => Break::Wire(Fault::Status(429)),
        8 => Break::KillRelay,
        _ => Break::KillSupervisor,
    }
}

/// A world in which the jobs of all rounds share one environment.
fn world() -> Sandbox {
    let sandbox = Sandbox::new();
    let script = std::fs::read_to_string(format!("{}/tests/fixtures/tracking/chaos.py", env!("CARGO_MANIFEST_DIR"))).expect("readable");
    sandbox.file("train.py", &script);
    sandbox.file(
        "run.yaml",
        &format!(
            "script: train.py\narguments: [\"${{{{inputs.acknowledged}}}}\", {COUNT}]\ninputs: {{acknowledged: A}}\nexperiment_name: e\n"
        ),
    );
    sandbox
}

fn attempt(sandbox: &Sandbox, job: &str) -> PathBuf {
    sandbox.home().join(format!("data/jobs/{job}/attempt-1"))
}

fn supervisor(sandbox: &Sandbox, job: &str) -> Option<i32> {
    let claim = std::fs::read_to_string(attempt(sandbox, job).join("claim")).ok()?;
    let claim: serde_json::Value = serde_json::from_str(&claim).ok()?;
    i32::try_from(claim["pid"].as_i64()?).ok()
}

fn kill_relay(sandbox: &Sandbox, job: &str) {
    let folder = attempt(sandbox, job).join("relay");
    for process in platform::processes_with(OWNER, &folder.canonicalize().unwrap_or(folder)) {
        platform::signal_process(process.pid, Signal::Kill);
    }
}

fn acknowledged(path: &Path) -> Vec<i64> {
    std::fs::read_to_string(path).unwrap_or_default().lines().filter_map(|line| line.parse().ok()).collect()
}

fn ended(sandbox: &Sandbox, job: &str) -> bool {
    attempt(sandbox, job).join("exit.json").exists()
}

/// One round; returns how many things it broke.
fn round(sandbox: &Sandbox, seed: u64) -> usize {
    let mut seeded = Seeded::new(seed);
    let (strict, job) = (Strict::start(), format!("round-{seed}"));
    let proxy = Proxy::start(strict.port());
    let witness = sandbox.project().join(format!("../acknowledged-{seed}"));
    let set = format!("inputs.acknowledged={}", witness.display());
    let uri = proxy.uri();
    sandbox.sendoff(&["submit", "--detach", "--job-id", &job, "--tracking-uri", &uri, "--set", &set]).expect(0);
    wait_until(|| if acknowledged(&witness).is_empty() { Err("nothing logged yet".to_owned()) } else { Ok(()) });
    let mut broken = Vec::new();
    let mut supervisor_died = false;
    let begun = Instant::now();
    while !ended(sandbox, &job) && !supervisor_died && begun.elapsed() < Duration::from_mins(2) {
        let what = next(&mut seeded, seed % 4 == 3);
        match what {
            Break::Wire(fault) => {
                proxy.set(fault);
                std::thread::sleep(Duration::from_millis(100 + seeded.below(600)));
                proxy.set(Fault::None);
            }
            Break::KillRelay => kill_relay(sandbox, &job),
            Break::KillSupervisor => {
                platform::signal_process(supervisor(sandbox, &job).expect("it runs"), Signal::Kill);
                supervisor_died = true;
            }
        }
        broken.push(what);
        std::thread::sleep(Duration::from_millis(50 + seeded.below(250)));
    }
    proxy.set(Fault::None);
    let status = if supervisor_died {
        wait_until(|| {
            let status = sandbox.sendoff(&["status", &job, "--output", "json"]).expect(0).json();
            let left = status["tracking_delivery"]["waiting"].as_u64();
            if status["ended"] == true && left == Some(0) { Ok(status) } else { Err(status.to_string()) }
        })
    } else {
        sandbox.sendoff(&["wait", &job]).expect(0);
        sandbox.sendoff(&["status", &job, "--output", "json"]).expect(0).json()
    };
    let told = format!("seed {seed}, broken: {broken:?}, {status}");
    assert_eq!(status["tracking_delivery"]["refused"], 0, "{told}");
    let (_, run) = strict.run_of(&job);
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for (_, value, timestamp, step) in run.history.iter().filter(|point| point.0 == "m") {
        #[expect(clippy::cast_precision_loss, reason = "steps are small")]
        let expected = *step as f64 / 7.0;
        assert_eq!((*value, *timestamp), (expected.to_bits(), 1_700_000_000_000 + step), "{told}");
        *counts.entry(*step).or_default() += 1;
    }
    assert!(counts.values().all(|count| *count == 1), "twice there: {counts:?}; {told}");
    let (have, logged): (Vec<i64>, Vec<i64>) = (counts.into_keys().collect(), acknowledged(&witness));
    if supervisor_died {
        // What was under way when everything died may be there, and nothing else.
        assert!(have.starts_with(&logged) && have.len() <= logged.len() + 1, "{} acknowledged, {} there; {told}", logged.len(), have.len());
    } else {
        assert_eq!(have, logged, "{told}");
        assert_eq!(i64::try_from(have.len()), Ok(COUNT), "{told}");
        let children: Vec<_> = strict.runs().into_values().filter(|run| run.history.iter().any(|point| point.0 == "child")).collect();
        assert!(children.len() == 1 && children[0].history.len() == 1, "{told}");
        assert!(!children[0].tags.contains_key("sendoff.request"), "{told}");
        let texts: Vec<String> = strict.artifacts().into_keys().filter(|name| name.contains("/texts/")).collect();
        assert_eq!(texts.len(), 3, "{texts:?}; {told}");
    }
    let last = if supervisor_died { "KILLED" } else { "FINISHED" };
    assert_eq!(run.statuses.last().map(String::as_str), Some(last), "{told}");
    // It may be told more than once, and never another.
    assert!(run.statuses.iter().all(|status| status == "RUNNING" || status == last), "{:?}; {told}", run.statuses);
    broken.len()
}

fn rounds(remainder: u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds: Vec<u64> = match number("SENDOFF_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("SENDOFF_ROUNDS").unwrap_or(20)).filter(|seed| seed % 2 == remainder).collect(),
    };
    let sandbox = world();
    let broken: usize = seeds.iter().map(|seed| round(&sandbox, *seed)).sum();
    assert!(broken >= seeds.len(), "{broken} faults in {} rounds", seeds.len());
    wait_until(|| if sandbox.processes().is_empty() { Ok(()) } else { Err(format!("{:?}", sandbox.processes())) });
}

#[test]
fn after_seeded_rounds_of_faults_the_history_is_what_was_logged() {
    rounds(0);
}

#[test]
fn after_other_rounds_of_faults_the_history_is_what_was_logged() {
    rounds(1);
}
