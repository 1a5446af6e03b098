//! How a job ends, and that nothing of it stays.

use super::{Place, service};

pub(super) fn the_exit_code_is_the_jobs_own(place: &Place) {
    for code in [0, 3, 255] {
        let world = place.world();
        world.run(&format!("command: exit {code}\n")).expect(code);
        let status = world.sandbox.sendoff(&["status", "the-job", "--output", "json"]).expect(0).json();
        assert_eq!(status["job_exit_code"].as_i64(), Some(i64::from(code)));
        world.sandbox.sendoff(&["wait", "the-job"]).expect(code);
        world.nothing_runs();
    }
}

pub(super) fn a_signal_is_told_by_its_number(place: &Place) {
    for (signal, code) in [("KILL", 137), ("TERM", 143), ("SEGV", 139)] {
        place.world().run(&format!("command: kill -{signal} $$\n")).expect(code);
    }
    let world = place.world();
    world.sandbox.file("train.py", "import os, signal\nos.kill(os.getpid(), signal.SIGABRT)\n");
    world.run("script: train.py\n").expect(134);
}

pub(super) fn a_cancelled_job_may_say_goodbye(place: &Place) {
    let world = place.world();
    world.start("the-job", "command: \"trap 'echo goodbye; exit 7' TERM; echo ready; while :; do sleep 0.05; done\"\n");
    world.wait_for("the-job", "ready\n");
    world.sandbox.sendoff(&["cancel", "the-job"]).expect(0);
    world.nothing_runs();
    assert_eq!(world.state("the-job"), "cancelled");
    world.sandbox.sendoff(&["wait", "the-job"]).expect(241);
    let log = world.sandbox.sendoff(&["logs", "the-job"]).stdout;
    assert_eq!(log.lines().filter(|line| *line == "goodbye").count(), 1, "TERM comes once: {log}");
}

pub(super) fn a_job_that_ignores_term_is_killed_after_its_grace(place: &Place) {
    let world = place.world();
    world.start("the-job", "command: \"trap '' TERM; echo ready; while :; do sleep 0.05; done\"\ngrace: 1s\n");
    world.wait_for("the-job", "ready\n");
    let begun = std::time::Instant::now();
    world.sandbox.sendoff(&["cancel", "the-job"]).expect(0);
    assert!(begun.elapsed() >= std::time::Duration::from_secs(1), "it had less than its grace: {:?}", begun.elapsed());
    world.nothing_runs();
    assert_eq!(world.state("the-job"), "cancelled");
}

pub(super) fn cancel_ends_what_left_the_process_group(place: &Place) {
    let world = place.world();
    // One in another session that ignores TERM, one whose parents are gone, one without any variables.
    world.sandbox.file(
        "run.sh",
        "setsid sh -c \"trap '' TERM; sleep 600; sleep 600\" &\n(setsid sh -c 'sleep 600 & sleep 600 &')\nenv -i $(command -v setsid) sh -c 'sleep 600; sleep 600' \"$PWD\" &\necho ready\nwait\n",
    );
    world.start("the-job", "command: sh run.sh\ngrace: 1s\n");
    world.wait_for("the-job", "ready\n");
    world.sandbox.sendoff(&["cancel", "the-job"]).expect(0);
    world.nothing_runs();
}

pub(super) fn a_job_is_cancelled_in_any_step_of_its_start_without_waiting_for_its_grace(place: &Place) {
    // A service takes longer to start a job.
    let (count, apart) = if place.service { (6, 400) } else { (16, 12) };
    for number in 0..count {
        let world = place.world();
        world.start("the-job", "command: sleep 600\nsetup: sleep 0.05; sleep 0.05\ngrace: 1m\n");
        // Not for luck: each job is met a little later on its way.
        std::thread::sleep(std::time::Duration::from_millis(apart * number));
        let begun = std::time::Instant::now();
        world.sandbox.sendoff(&["cancel", "the-job"]).expect(0);
        let log = world.sandbox.sendoff(&["logs", "the-job"]).stdout;
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "number {number} took {:?}: {log}", begun.elapsed());
        world.nothing_runs();
        assert_eq!(world.state("the-job"), "cancelled");
    }
}

pub(super) fn cancelling_an_ended_job_succeeds(place: &Place) {
    let world = place.world();
    world.run("command: exit 3\n").expect(3);
    world.sandbox.sendoff(&["cancel", "the-job"]).expect(0);
    assert_eq!(world.state("the-job"), "failed", "an end is final");
}

pub(super) fn the_time_limit_is_kept_with_no_client_alive(place: &Place) {
    let world = place.world();
    world.start("the-job", "command: echo begun; sleep 600; exit 0\nresources: {max_duration: 1s}\n");
    world.nothing_runs();
    let run = world.sandbox.sendoff(&["wait", "the-job"]).expect(242);
    let said = if place.service { "it ran longer than its limit of 1 seconds" } else { "it ran past its `max_duration` of 1.0 s" };
    assert!(run.stderr.contains(said), "{}", run.stderr);
    assert!(world.sandbox.sendoff(&["logs", "the-job"]).stdout.contains("begun\n"));
}

pub(super) fn what_a_command_leaves_running_ends_with_it(place: &Place) {
    let world = place.world();
    world.run("command: \"sleep 600 & setsid sh -c 'trap \\\"\\\" TERM; sleep 600; sleep 600' & exit 4\"\ngrace: 1s\n").expect(4);
    world.nothing_runs();
}

pub(super) fn a_job_whose_supervisor_dies_is_lost_or_goes_on_and_never_both(place: &Place) {
    if place.service {
        return service::a_job_goes_on_with_nothing_of_ours_alive(place);
    }
    let world = place.world();
    world.start(
        "the-job",
        "command: \"setsid sh -c 'sleep 600; sleep 600' & echo ready; while [ ! -e go ]; do sleep 0.05; done\"\ngrace: 1s\n",
    );
    world.wait_for("the-job", "ready\n");
    world.sandbox.kill_supervisor("the-job");
    if place.outlives {
        assert_eq!(world.state("the-job"), "running");
        world.sandbox.kill_supervisor("the-job");
        world.sandbox.sendoff(&["cancel", "the-job"]).expect(0);
        world.sandbox.sendoff(&["wait", "the-job"]).expect(241);
        let log = world.sandbox.sendoff(&["logs", "the-job"]).stdout;
        assert_eq!(log.matches("ready\n").count(), 1, "nothing is lost or doubled: {log}");
        world.nothing_runs();
        return;
    }
    assert_eq!(world.state("the-job"), "lost");
    world.nothing_runs();
    let run = world.sandbox.sendoff(&["wait", "the-job"]).expect(240);
    assert!(run.stderr.contains("nothing of it is left running"), "{}", run.stderr);
    let again = world.submit(&["--job-id", "the-job"]).expect(244);
    assert!(again.stderr.contains("was lost"), "{}", again.stderr);
}
