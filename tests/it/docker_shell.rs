//! A command beside a job in a container, which is interrupted where it was typed.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use sendoff::support::platform::{Signal, signal_process};

use crate::support::{Sandbox, wait_until};

#[test]
#[ignore = "needs a Docker engine"]
fn docker_commands_that_are_interrupted_end_in_the_container_and_the_job_goes_on() {
    let sandbox = Sandbox::new();
    let job = format!("shell-{}", std::process::id());
    sandbox.file("run.yaml", "compute_target: docker\ncommand: while [ ! -e go ]; do sleep 0.05; done\ngrace: 1s\n");
    sandbox.sendoff(&["submit", "--no-tracking", "--detach", "--job-id", &job]).expect(0);
    wait_until(|| {
        let status = sandbox.sendoff(&["status", &job]).expect(0).stdout;
        if status.contains("running") { Ok(()) } else { Err(status) }
    });
    let polite = "trap 'echo told; exit 0' TERM; sleep 4242 & echo up; wait";
    let stubborn = "trap '' TERM; echo up; sleep 4242";
    for (script, signal, last) in
        [(polite, Signal::Interrupt, "told\n"), (polite, Signal::Term, "told\n"), (stubborn, Signal::Interrupt, "")]
    {
        let mut command = sandbox.command(&["shell", &job, "--", "sh", "-c", script]);
        let mut shell = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut out = BufReader::new(shell.stdout.take().expect("a pipe"));
        let mut said = String::new();
        out.read_line(&mut said).expect("it says something");
        assert_eq!(said, "up\n");
        let pid = i32::try_from(shell.id()).expect("a process id");
        signal_process(pid, signal);
        let status = wait_until(|| match shell.try_wait().expect("it is ours") {
            Some(status) => Ok(status),
            None => {
                // A second one leaves no choice.
                (script == stubborn).then(|| signal_process(pid, signal));
                Err("it waits".to_owned())
            }
        });
        assert_eq!(status.code(), Some(130), "{script} {signal:?}");
        said.clear();
        std::io::Read::read_to_string(&mut out, &mut said).expect("a text");
        assert_eq!(said, last, "{script} {signal:?}");
        sandbox.sendoff(&["shell", &job, "--", "pgrep", "-f", "sleep 424[2]"]).expect(1);
    }
    sandbox.sendoff(&["shell", &job, "--", "touch", "go"]).expect(0);
    sandbox.sendoff(&["wait", &job]).expect(0);
    assert_eq!(sandbox.containers(), [""; 0]);
}
