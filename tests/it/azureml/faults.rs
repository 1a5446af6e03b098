//! The service's bad days: whatever goes wrong on the way, there is one job, its true end and its whole log.

use crate::support::{Run, Sandbox};
use crate::workspace::{IMAGE, Workspace};

/// How many lines a job writes.
const LINES: usize = 60;

struct World {
    sandbox: Sandbox,
    workspace: Workspace,
}

/// A kind of request that trouble is ordered for.
#[derive(Debug, Clone, Copy)]
struct Request {
    method: &'static str,
    /// What its path has after that of the workspace; in storage where it begins with `*`.
    path: &'static str,
}

const fn request(method: &'static str, path: &'static str) -> Request {
    Request { method, path }
}

/// Every kind of request of a submission, in their order.
const SUBMISSION: [Request; 8] = [
    request("GET", "/codes/"),
    request("POST", "/codes/"),
    request("PUT", "*"),
    request("PUT", "/codes/"),
    request("GET", "/environments/"),
    request("PUT", "/environments/"),
    request("GET", "/jobs/"),
    request("PUT", "/jobs/"),
];
/// Every kind of request of who waits for a job.
const WAITING: [Request; 3] = [request("GET", "/jobs/"), request("GET", "/runs/"), request("GET", "*")];

impl World {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let workspace = Workspace::of(&sandbox);
        let command =
            format!("for i in $(seq {LINES}); do echo line $i; sleep 0.02; done; mkdir outputs; echo left > outputs/left; exit 3");
        let target = workspace.target();
        sandbox.file("run.yaml", &format!("command: {command}\ncompute_target: {target}\nenvironment: {{image: '{IMAGE}'}}\n"));
        Self { sandbox, workspace }
    }

    fn order(&self, fault: &str, request: Request, times: usize) {
        let path = self.path(request);
        self.workspace.fault(&path, &[fault, "--method", request.method, "--times", &times.to_string()]);
    }

    fn path(&self, request: Request) -> String {
        match request.path.strip_prefix('*') {
            Some(rest) => format!("{}{rest}", self.workspace.storage()),
            None => self.workspace.path(request.path),
        }
    }

    fn submit(&self, job: &str) -> Run {
        self.sandbox.sendoff(&["submit", "--emulate", "--no-tracking", "--job-id", job])
    }

    /// Asserts that all trouble has come, and that nothing has come of it.
    #[track_caller]
    fn all_is_well(&self, job: &str, run: Run) {
        let run = run.expect(3);
        let expected: String = (1..=LINES).map(|number| format!("line {number}\n")).collect();
        assert_eq!(run.stdout, expected, "{}", run.stderr);
        assert_eq!(self.sandbox.sendoff(&["logs", job]).expect(0).stdout, expected);
        self.trouble_has_come();
        let jobs = self.workspace.jobs();
        assert_eq!(jobs.iter().filter(|kept| kept.name == job).count(), 1);
    }

    #[track_caller]
    fn trouble_has_come(&self) {
        let left = self.workspace.faults(&self.workspace.path("/")) + self.workspace.faults(&self.workspace.storage());
        assert_eq!(left, 0, "not all trouble has come");
    }
}

#[test]
#[ignore = "needs a container engine"]
fn requests_that_come_too_often_are_sent_again_when_the_engine_of_the_service_wants_it() {
    let world = World::new();
    for request in SUBMISSION {
        world.order("throttled", request, 1);
    }
    let run = world.submit("throttled");
    world.all_is_well("throttled", run);
    for request in WAITING {
        world.order("throttled", request, 1);
    }
    let run = world.submit("again");
    world.all_is_well("again", run);
    world.workspace.nothing_runs();
}

#[test]
#[ignore = "needs a container engine"]
fn a_token_that_has_ended_is_renewed_once_for_each_request_to_the_engine_of_the_service() {
    let world = World::new();
    // Each once: another one for the same request is another matter.
    for request in SUBMISSION.into_iter().chain([request("GET", "/runs/")]).filter(|request| !request.path.starts_with('*')) {
        world.order("expired-token", request, 1);
    }
    let run = world.submit("renewed");
    world.all_is_well("renewed", run);
    // A new one that is refused too is a matter of rights.
    world.order("expired-token", request("PUT", "/jobs/"), 2);
    let refused = world.submit("refused").expect(245);
    assert!(refused.stderr.contains("401") && refused.stderr.contains("ExpiredAuthenticationToken"), "{}", refused.stderr);
    world.trouble_has_come();
    assert_eq!(world.workspace.jobs().len(), 1);
    let run = world.submit("refused");
    world.all_is_well("refused", run);
    world.workspace.nothing_runs();
}

#[test]
#[ignore = "needs a container engine"]
fn answers_that_are_lost_do_not_make_a_second_job_on_the_engine() {
    let world = World::new();
    for request in SUBMISSION {
        world.order("lost-reply", request, 1);
    }
    for request in WAITING {
        world.order("lost-reply", request, 2);
    }
    let run = world.submit("lost");
    world.all_is_well("lost", run);
    assert_eq!(world.workspace.jobs().len(), 1);
    world.workspace.nothing_runs();
}

#[test]
#[ignore = "needs a container engine"]
fn addresses_of_storage_whose_time_is_over_are_asked_for_again_at_the_engine_of_the_service() {
    let world = World::new();
    world.order("stale-signature", request("PUT", "*"), 2);
    world.order("stale-signature", request("GET", "*"), 1);
    let run = world.submit("stale");
    world.all_is_well("stale", run);
    for fault in ["stale-signature", "throttled", "lost-reply"] {
        world.order(fault, request("GET", "*"), 1);
    }
    world.sandbox.sendoff(&["download", "stale"]).expect(0);
    world.trouble_has_come();
    assert_eq!(std::fs::read_to_string(world.sandbox.project().join("stale/outputs/left")).expect("it is there"), "left\n");
    world.workspace.nothing_runs();
}

#[test]
#[ignore = "needs a container engine"]
fn a_job_that_does_not_respond_for_a_while_has_not_ended_on_the_engine() {
    let world = World::new();
    world.order("not-responding", request("GET", "/jobs/"), 4);
    for request in WAITING {
        world.order("server-error", request, 1);
    }
    let run = world.submit("silent");
    world.all_is_well("silent", run);
    world.workspace.nothing_runs();
}

#[test]
#[ignore = "needs a container engine"]
fn who_waits_and_hears_no_more_of_a_job_on_the_engine_does_not_say_that_it_ended() {
    let world = World::new();
    let submit = ["submit", "--emulate", "--no-tracking", "--detach", "--job-id", "unheard"];
    world.sandbox.sendoff(&submit).expect(0);
    // As often as a request is sent.
    world.order("throttled", request("GET", "/jobs/unheard"), 8);
    let lost = world.sandbox.sendoff(&["wait", "unheard"]).expect(243);
    assert!(lost.stderr.contains("429"), "{}", lost.stderr);
    world.trouble_has_come();
    world.sandbox.sendoff(&["wait", "unheard"]).expect(3);
    world.workspace.nothing_runs();
}

#[test]
#[ignore = "needs a container engine"]
fn cancelling_is_heard_through_trouble_on_the_engine() {
    let world = World::new();
    let slow = ["--set", "command=echo begun; sleep 600"];
    let submit = [&["submit", "--emulate", "--no-tracking", "--detach", "--job-id", "slow"][..], &slow].concat();
    world.sandbox.sendoff(&submit).expect(0);
    for fault in ["throttled", "expired-token", "lost-reply", "server-error"] {
        world.order(fault, request("POST", "/jobs/"), 1);
    }
    world.order("server-error", request("GET", "/jobs/"), 1);
    world.sandbox.sendoff(&["cancel", "slow"]).expect(0);
    world.sandbox.sendoff(&["wait", "slow"]).expect(241);
    world.trouble_has_come();
    world.workspace.nothing_runs();
}

/// Numbers that look like chance, the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % end
    }
}

#[test]
#[ignore = "needs a container engine"]
fn any_mix_of_trouble_leaves_one_job_and_its_whole_log_on_the_engine() {
    let world = World::new();
    let faults = ["throttled", "server-error", "expired-token", "lost-reply", "stale-signature", "not-responding"];
    for seed in [1, 20, 300] {
        let mut dice = Dice(seed);
        for _ in 0..12 {
            let fault = faults[dice.below(faults.len())];
            let chosen = match (fault, dice.below(2)) {
                ("stale-signature", _) => request("GET", "*"),
                ("not-responding", _) => request("GET", "/jobs/"),
                ("expired-token", turn) => [request("GET", "/jobs/"), request("GET", "/runs/")][turn],
                (_, 0) => WAITING[dice.below(WAITING.len())],
                // Of a submission that finds its code and its environment.
                _ => [request("GET", "/codes/"), request("GET", "/environments/"), request("PUT", "/jobs/")][dice.below(3)],
            };
            // Two of a kind in a row are a matter of rights.
            if self::is_once(fault) && world.workspace.faults(&world.path(chosen)) > 0 {
                continue;
            }
            world.order(fault, chosen, 1);
        }
        let job = format!("mixed-{seed}");
        let run = world.submit(&job).expect(3);
        let expected: String = (1..=LINES).map(|number| format!("line {number}\n")).collect();
        assert_eq!(run.stdout, expected, "seed {seed}: {}", run.stderr);
        assert_eq!(world.workspace.jobs().iter().filter(|kept| kept.name == job).count(), 1, "seed {seed}");
    }
    world.workspace.nothing_runs();
}

fn is_once(fault: &str) -> bool {
    matches!(fault, "expired-token" | "stale-signature")
}
