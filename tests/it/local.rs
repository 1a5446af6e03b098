//! Jobs on this machine, untracked.

use crate::support::{Sandbox, lines, wait_until};

#[test]
fn a_script_gets_its_arguments_as_written_and_its_code_is_ours() {
    let sandbox = Sandbox::new();
    sandbox.file("train.py", "import sys\nprint(sys.argv[1:])\nsys.exit(7)\n");
    sandbox.file("run.yaml", "script: train.py\ninputs: {C: 0.10, n: no}\narguments: [\"${{inputs.C}}\", \"${{inputs.n}}\", \"a b\", \"$(id)\", \"it's\", \"-x\", \"\u{1f600}\", \"l\\nm\"]\n");
    let run = sandbox.sendoff(&["submit", "--no-tracking"]).expect(7);
    assert!(run.stdout.contains("['0.10', 'no', 'a b', '$(id)', \"it's\", '-x', '\u{1f600}', 'l\\nm']"), "{}", run.stdout);
    let status = sandbox.sendoff(&["status", "@last", "--output", "json"]).expect(0).json();
    assert_eq!((status["state"].as_str(), status["job_exit_code"].as_i64()), (Some("failed"), Some(7)));
    wait_until(|| if sandbox.processes().is_empty() { Ok(()) } else { Err(format!("{:?}", sandbox.processes())) });
}

#[test]
fn doctor_finds_this_machine_fit() {
    let run = Sandbox::new().sendoff(&["doctor"]).expect(0);
    assert!(run.stdout.contains("ok       Python 3.10 or newer: Python 3."), "{}", run.stdout);
}

#[test]
fn ten_racing_submissions_of_one_key_run_once() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: echo ran >> ${{inputs.witness}}\ninputs: {witness: W}\n");
    let (witness, set) = sandbox.shared_file("witness");
    let arguments = ["submit", "--no-tracking", "--key", "pipeline 4711", "--set", &set];
    let children: Vec<_> = (0..10)
        .map(|_| {
            sandbox.command(&arguments).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().expect("it starts")
        })
        .collect();
    for mut child in children {
        assert!(child.wait().expect("it ends").success());
    }
    assert_eq!(lines(&witness), 1);
    assert_eq!(sandbox.sendoff(&["env", "list", "--output", "json"]).json()["environments"].as_array().map(Vec::len), Some(1));
}

/// Opens a terminal, submits in it, and closes it once the log has a line: the kernel then hangs up on everything of that session.
const IN_A_TERMINAL: &str = r"
import os, pty, signal, sys, time
log, program, arguments = sys.argv[1], sys.argv[2], sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    # Whoever runs this test may have it ignored.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.execv(program, arguments)
deadline = time.monotonic() + 60
while not (os.path.exists(log) and 'ready' in open(log).read().split('\n')):
    assert time.monotonic() < deadline, 'the job did not start'
    time.sleep(0.02)
os.close(terminal)
os.waitpid(pid, 0)
";

#[test]
fn closing_the_terminal_does_not_end_the_job_and_its_log_is_whole() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "run.yaml",
        "command: 'echo first; echo ready; while [ ! -e $SENDOFF_INPUT_GO ]; do sleep 0.02; done; echo last'\ninputs: {go: GO}\n",
    );
    let (go, set) = sandbox.shared_file("go");
    let submit = sandbox.command(&["submit", "--no-tracking", "--job-id", "the-job", "--set", &set]);
    let mut terminal = std::process::Command::new("python3");
    terminal.args(["-c", IN_A_TERMINAL]).arg(sandbox.attempt("the-job", "log")).arg(submit.get_program()).args(submit.get_args());
    terminal.current_dir(sandbox.project()).env_clear();
    terminal.envs(submit.get_envs().filter_map(|(name, value)| Some((name, value?))));
    sendoff::support::command::capture(&mut terminal, std::time::Duration::from_mins(2)).expect("the client is gone with its terminal");
    let status = sandbox.sendoff(&["status", "the-job", "--output", "json"]).expect(0).json();
    assert_eq!(status["state"], "running");
    std::fs::write(&go, "").expect("writable");
    let log = sandbox.sendoff(&["logs", "the-job", "--follow"]).expect(0).stdout;
    assert!(log.starts_with("[sendoff] unpack: ") && log.contains("\nfirst\nready\nlast\n"), "{log}");
    sandbox.nothing_runs();
}

#[test]
fn a_job_that_is_submitted_from_inside_a_job_outlives_it() {
    let sandbox = Sandbox::new();
    sandbox.file("inner.yaml", "command: 'echo inner; while [ ! -e $SENDOFF_INPUT_GO ]; do sleep 0.02; done'\ninputs: {go: GO}\n");
    let go = sandbox.home().join("go");
    let program = sandbox.command(&[]).get_program().to_string_lossy().into_owned();
    sandbox.file(
        "run.yaml",
        &format!(
            "command: 'SENDOFF_HOME={} {program} submit inner.yaml --no-tracking --detach --job-id inner-job --set inputs.go={}'\ninherit: [UV_CACHE_DIR]\n",
            sandbox.home().display(),
            go.display()
        ),
    );
    sandbox.sendoff(&["submit", "--no-tracking", "--job-id", "outer-job"]).expect(0);
    let status = sandbox.sendoff(&["status", "inner-job", "--output", "json"]).expect(0).json();
    assert!(["submitted", "running"].contains(&status["state"].as_str().unwrap_or_default()), "{status}");
    std::fs::write(&go, "").expect("writable");
    sandbox.sendoff(&["wait", "inner-job"]).expect(0);
}

#[test]
fn a_log_that_is_shown_in_part_is_an_error() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: seq 20000\n");
    sandbox.sendoff(&["submit", "--no-tracking", "--quiet"]).expect(0);
    let full = std::fs::File::options().write(true).open("/dev/full").expect("a device that is always full");
    let output = sandbox.command(&["logs", "@last"]).stdout(full).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("could not show"), "{said}");
}

#[test]
fn a_test_leaves_nothing_running_however_it_ends() {
    let sandbox = Sandbox::new();
    // One that no variable leads to, and a stubborn one.
    sandbox.file(
        "run.yaml",
        "command: \"env -i $(command -v setsid) sleep 600 & trap '' TERM; echo $! ready; while :; do sleep 0.1; done\"\n",
    );
    sandbox.sendoff(&["submit", "--no-tracking", "--detach", "--job-id", "the-job"]).expect(0);
    let stray: i32 = wait_until(|| {
        let log = sandbox.sendoff(&["logs", "the-job"]).stdout;
        let line = log.lines().find_map(|line| line.strip_suffix(" ready")?.parse().ok());
        line.ok_or(log)
    });
    let supervisor = sandbox.supervisor("the-job");
    drop(sandbox);
    for pid in [stray, supervisor] {
        wait_until(|| sendoff::support::platform::start_time(pid).map_or(Ok(()), |_| Err(format!("process {pid} lives"))));
    }
}

#[test]
fn a_working_directory_that_is_kept_is_where_a_shell_leads_until_gc() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: 'mkdir outputs; echo made | tee made.txt >outputs/made.txt'\n");
    sandbox.sendoff(&["submit", "--no-tracking", "--keep", "--job-id", "the-job"]).expect(0);
    let status = sandbox.sendoff(&["status", "the-job"]).expect(0).stdout;
    let kept = status.lines().find(|line| line.starts_with("kept ")).unwrap_or_else(|| panic!("{status}"));
    assert!(kept.contains("its working directory `/"), "{kept}");
    let shell = sandbox.sendoff(&["shell", "the-job", "--", "cat", "made.txt", "outputs/made.txt"]).expect(0);
    assert_eq!(shell.stdout, "made\nmade\n");
    sandbox.sendoff(&["gc", "--yes"]).expect(0);
    assert!(!sandbox.attempt("the-job", "work").exists());
    assert!(!sandbox.sendoff(&["status", "the-job"]).expect(0).stdout.contains("kept "));
    sandbox.sendoff(&["download", "the-job"]).expect(0);
    assert_eq!(std::fs::read_to_string(sandbox.project().join("the-job/outputs/made.txt")).expect("a file"), "made\n");
}
