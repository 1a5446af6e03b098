//! The commands around jobs: typed JSON from each, ways to name a job, what is shown and what is opened.

use serde_json::Value;

use crate::support::{Sandbox, wait_until};
use crate::terminal::at_a_terminal;
use crate::tracker::Tracker;

/// Returns the objects of an answer: one, or one per line.
fn objects(text: &str) -> Vec<Value> {
    serde_json::Deserializer::from_str(text).into_iter().collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn every_command_answers_in_typed_json() {
    let tracker = Tracker::start();
    let sandbox = Sandbox::new().env("MLFLOW_TRACKING_URI", &tracker.uri());
    sandbox.file("run.yaml", "command: echo one; echo two\nexperiment_name: e\n");
    let answers: &[(&[&str], i32, &[&str])] = &[
        (&["check"], 0, &["check"]),
        (&["plan"], 0, &["plan"]),
        (&["config", "show"], 0, &["config"]),
        (&["submit", "--job-id", "job-one"], 0, &["job"]),
        (&["submit", "--job-id", "job-two", "--detach"], 0, &["job"]),
        (&["wait", "job-two"], 0, &["job"]),
        (&["rerun", "job-one", "--job-id", "job-three"], 0, &["job"]),
        (&["list"], 0, &["jobs"]),
        (&["status", "job-one"], 0, &["job"]),
        (&["logs", "job-one"], 0, &["log-line"]),
        (&["logs", "--follow", "job-one"], 0, &["log-line", "job"]),
        (&["stream", "job-one"], 0, &["log-line", "job"]),
        (&["cancel", "job-one"], 0, &["job"]),
        (&["download", "job-one"], 0, &["download"]),
        (&["open", "job-one"], 0, &["address"]),
        (&["metrics", "job-one"], 0, &["metrics"]),
        (&["delete", "job-three"], 0, &["delete"]),
        (&["snapshot", "list"], 0, &["snapshot-files"]),
        (&["snapshot", "id"], 0, &["snapshot"]),
        (&["snapshot", "pack"], 0, &["snapshot-archive"]),
        (&["snapshot", "diff", "job-one"], 0, &["snapshot-diff"]),
        (&["snapshot", "diff", "job-one", "job-two"], 0, &["snapshot-diff"]),
        (&["env", "list"], 0, &["environments"]),
        (&["env", "show", ""], 0, &["environments"]),
        (&["env", "prune"], 0, &["environments"]),
        (&["tracking", "status"], 0, &["tracking"]),
        (&["tracking", "logs"], 0, &["tracking-log"]),
        (&["tracking", "stop"], 0, &["tracking"]),
        (&["gc"], 0, &["gc"]),
        (&["doctor"], 0, &["doctor"]),
        (&["emulator", "status", "azureml"], 0, &["emulator"]),
        (&["completions", "bash"], 0, &["completions"]),
        (&["shell", "job-one"], 244, &["error"]),
        (&["status", "nobody"], 244, &["error"]),
        (&["status"], 244, &["error"]),
        (&["submit", "--set", "command=7", "--set", "nonsense=1"], 244, &["error"]),
    ];
    for (arguments, code, kinds) in answers {
        let run = sandbox.sendoff(&[arguments, &["--output", "json"][..]].concat());
        assert_eq!(run.code, Some(*code), "{arguments:?}: {run:?}");
        let mut seen: Vec<String> = Vec::new();
        for object in objects(&run.stdout) {
            assert_eq!(object["version"].as_i64(), Some(1), "{arguments:?}: {object}");
            let kind = object["kind"].as_str().unwrap_or_default().to_owned();
            if seen.last() != Some(&kind) {
                seen.push(kind);
            }
        }
        assert_eq!(seen, *kinds, "{arguments:?}");
    }
    let run = sandbox.sendoff(&["init", "--output", "json"]);
    assert_eq!(objects(&run.stdout)[0]["kind"], "error", "{run:?}");

    // Nobody is left out: every command of the help is above, or answers in another format of its own.
    let help = sandbox.sendoff(&["--help"]).expect(0).stdout;
    let commands = help.split("Commands:").nth(1).and_then(|text| text.split("Options:").next()).expect("a list of commands");
    for name in commands.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next().filter(|_| !line.starts_with("   ")))
    {
        let known = answers.iter().any(|(arguments, ..)| arguments[0] == name) || ["init", "schema", "help"].contains(&name);
        assert!(known, "`{name}` is not tested for its JSON");
    }
}

#[test]
fn a_log_is_an_object_per_line_and_nothing_of_it_is_lost() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: \"printf 'a\\\\n\\\\nlast'\"\n");
    sandbox.sendoff(&["submit", "--no-tracking", "--job-id", "the-job"]).expect(0);
    let lines = objects(&sandbox.sendoff(&["logs", "the-job", "--output", "json"]).expect(0).stdout);
    let texts: Vec<&str> = lines.iter().filter_map(|line| line["line"].as_str()).filter(|line| !line.starts_with("[sendoff]")).collect();
    assert_eq!(texts, ["a", "", "last"]);
}

#[test]
fn a_job_is_found_by_id_prefix_last_and_handle_also_in_a_store_that_never_heard_of_it() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: echo hello\n");
    sandbox.sendoff(&["submit", "--no-tracking", "--job-id", "amber-fox"]).expect(0);
    sandbox.sendoff(&["submit", "--no-tracking", "--job-id", "amber-owl"]).expect(0);
    let status = sandbox.sendoff(&["status", "amber-fox", "--output", "json"]).expect(0).json();
    let handle = status["handle"].as_str().expect("a handle").to_owned();
    for name in ["amber-fox", "amber-f", &handle] {
        for command in ["status", "logs", "wait", "cancel", "download"] {
            let to = format!("{command}-{}", name.len());
            let arguments: &[&str] = if command == "download" { &["download", name, "--to", &to] } else { &[command, name] };
            let run = sandbox.sendoff(arguments).expect(0);
            let said = format!("{}{}", run.stdout, run.stderr);
            assert!(said.contains("amber-fox") || said.contains("hello") || said.contains(&to), "{arguments:?}: {said}");
        }
    }
    assert!(sandbox.sendoff(&["status", "@last"]).expect(0).stdout.contains("amber-owl"));
    let run = sandbox.sendoff(&["status", "amber-"]).expect(244);
    assert!(
        run.stderr.contains("`amber-` could be `amber-fox` and `amber-owl`") && run.stderr.contains("type more of its id"),
        "{}",
        run.stderr
    );

    // The row is gone, the folder is there.
    let database = rusqlite::Connection::open(sandbox.home().join("data/jobs.db")).expect("it opens");
    database.execute("DELETE FROM jobs WHERE id = 'amber-fox'", []).expect("it is a store");
    drop(database);
    assert!(sandbox.sendoff(&["status", &handle]).expect(0).stdout.contains("succeeded"));

    let elsewhere = sandbox.sendoff(&["status", "sendoff://local/another-machine/amber-fox"]).expect(244);
    assert!(elsewhere.stderr.contains("the job `amber-fox` is on the machine `another-machine`"), "{}", elsewhere.stderr);
    let foreign = sandbox.sendoff(&["status", "sendoff://slurm/login1/4711"]).expect(244);
    assert!(foreign.stderr.contains("a target of the kind `slurm`, which is not built yet"), "{}", foreign.stderr);
}

#[test]
fn a_snapshot_is_compared_with_the_working_tree() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: echo ok\n").file("same.txt", "s").file("gone.txt", "g").file("other.txt", "1");
    sandbox.sendoff(&["submit", "--no-tracking", "--job-id", "the-job"]).expect(0);
    assert_eq!(sandbox.sendoff(&["snapshot", "diff", "the-job"]).expect(0).stdout, "");
    std::fs::remove_file(sandbox.project().join("gone.txt")).expect("writable");
    sandbox.file("other.txt", "2").file("new.txt", "n");
    let run = sandbox.sendoff(&["snapshot", "diff", "the-job"]).expect(0);
    assert_eq!(run.stdout, "removed  gone.txt\nadded    new.txt\nchanged  other.txt\n");
}

#[test]
fn open_starts_a_browser_at_a_terminal_and_prints_elsewhere() {
    let tracker = Tracker::start();
    let sandbox = Sandbox::new();
    let seen = sandbox.project().with_file_name("seen");
    let browser = sandbox.project().with_file_name("browser");
    std::fs::write(&browser, format!("#!/bin/sh\necho \"$1\" >'{}'\n", seen.display())).expect("writable");
    std::fs::set_permissions(&browser, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("writable");
    let sandbox = sandbox.env("BROWSER", &browser.display().to_string()).env("MLFLOW_TRACKING_URI", &tracker.uri());
    sandbox.file("run.yaml", "command: echo ok\nexperiment_name: e\n");
    sandbox.sendoff(&["submit", "--job-id", "the-job"]).expect(0);
    let url = format!("{}/#/experiments/0/runs/0?workflowType=machine_learning", tracker.uri());
    assert_eq!(sandbox.sendoff(&["open", "the-job"]).expect(0).stdout.trim(), url);
    let (code, shown) = at_a_terminal(&sandbox, &["open", "--print", "the-job"], &[]);
    assert!(code == 0 && shown.contains(&url) && !seen.exists(), "{shown}");
    let (code, shown) = at_a_terminal(&sandbox, &["open", "the-job"], &[]);
    assert!(code == 0 && shown.contains(&url), "{shown}");
    let opened = crate::support::wait_until(|| std::fs::read_to_string(&seen).map_err(|error| error.to_string()));
    assert_eq!(opened.trim(), url);
    sandbox.sendoff(&["submit", "--no-tracking", "--job-id", "untracked"]).expect(0);
    assert!(sandbox.sendoff(&["open", "untracked"]).expect(244).stderr.contains("the job `untracked` is not tracked"));
}

#[test]
fn quiet_hides_the_log_and_not_what_is_wrong() {
    let sandbox = Sandbox::new();
    sandbox.file("bad.yaml", "command: echo shown; exit 3\n").file("good.yaml", "command: echo shown\n");
    let good = sandbox.sendoff(&["submit", "good.yaml", "--no-tracking", "--quiet", "--job-id", "good"]).expect(0);
    assert_eq!((good.stdout.as_str(), good.stderr.as_str()), ("", ""));
    let bad = sandbox.sendoff(&["submit", "bad.yaml", "--no-tracking", "--quiet", "--job-id", "bad"]).expect(3);
    assert!(bad.stdout.is_empty() && bad.stderr.starts_with("job `bad` failed with exit code 3 after "), "{bad:?}");
    let again = sandbox.sendoff(&["wait", "bad", "--quiet"]).expect(3);
    assert_eq!(again.stderr, bad.stderr);
    let cancelled = sandbox.sendoff(&["cancel", "bad"]).expect(0);
    assert_eq!(cancelled.stdout, "job `bad` failed with exit code 3; it had ended already\n");
}

#[test]
fn status_says_for_how_long_a_job_runs_and_every_time_is_utc_to_the_millisecond() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: sleep 600\ngrace: 1s\n");
    sandbox.sendoff(&["submit", "--no-tracking", "--detach", "--job-id", "the-job"]).expect(0);
    let running = crate::support::wait_until(|| {
        let shown = sandbox.sendoff(&["status", "the-job"]).expect(0).stdout;
        if shown.contains("state        running") { Ok(shown) } else { Err(shown) }
    });
    assert!(running.contains("\nruns for     "), "{running}");
    sandbox.sendoff(&["cancel", "the-job"]).expect(0);
    let status = sandbox.sendoff(&["status", "the-job", "--output", "json"]).expect(0).json();
    for key in ["created_at", "started_at", "ended_at"] {
        let at = status[key].as_str().expect("a time");
        assert!(at.len() == "2026-01-01T00:00:00.000Z".len() && at.ends_with('Z'), "{key}: {at}");
    }
    assert!(sandbox.sendoff(&["list"]).expect(0).stdout.contains("SUBMITTED (UTC)"));
}

#[test]
fn what_was_downloaded_is_not_sent_with_the_next_job() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: mkdir outputs; echo m >outputs/model\n");
    let id = || sandbox.sendoff(&["snapshot", "id"]).expect(0).stdout;
    let before = id();
    sandbox.sendoff(&["submit", "--no-tracking", "--job-id", "the-job"]).expect(0);
    let run = sandbox.sendoff(&["download", "the-job"]).expect(0);
    assert!(run.stdout.starts_with("2 files in ") && run.stderr.is_empty(), "{run:?}");
    assert!(sandbox.project().join("the-job/outputs/model").is_file());
    assert_eq!(id(), before);
    // A folder that was there keeps its own rules.
    std::fs::create_dir(sandbox.project().join("mine")).expect("writable");
    sandbox.sendoff(&["download", "the-job", "--to", "mine"]).expect(0);
    assert!(!sandbox.project().join("mine/.sendoffignore").exists());
    let file = sandbox.sendoff(&["download", "the-job", "--to", "run.yaml"]).expect(244);
    assert!(file.stderr.contains("run.yaml` is a file; `--to` names a folder"), "{}", file.stderr);
}

#[test]
fn a_download_of_a_running_job_says_that_there_may_be_more() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: echo ready; sleep 600\ngrace: 1s\n");
    sandbox.sendoff(&["submit", "--no-tracking", "--detach", "--job-id", "the-job"]).expect(0);
    crate::support::wait_until(|| {
        let log = sandbox.sendoff(&["logs", "the-job"]).stdout;
        if log.contains("ready") { Ok(()) } else { Err(log) }
    });
    let run = sandbox.sendoff(&["download", "the-job"]).expect(0);
    assert_eq!(run.stderr, "warning: job `the-job` is running: this is what it has left so far\n");
    sandbox.sendoff(&["cancel", "the-job"]).expect(0);
}

#[test]
fn a_job_that_has_ended_unheard_does_not_count_as_live_when_the_server_is_stopped() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: echo ok\n");
    sandbox.sendoff(&["submit", "--no-tracking", "--detach", "--job-id", "the-job"]).expect(0);
    sandbox.nothing_runs();
    // As if the managed server had tracked it, and something that is no server were it.
    let data = sandbox.home().join("data");
    let id: sendoff::job::JobId = "the-job".parse().expect("a good id");
    let mut store = sendoff::job::store::Store::open(&data).expect("it is there");
    let mut record = store.get(&id).expect("readable").expect("it was submitted");
    record.tracking = Some(sendoff::job::TrackingRecord {
        uri: "http://127.0.0.1:9".into(),
        managed: true,
        experiment_id: "0".into(),
        run_id: "0".into(),
        url: String::new(),
        typed: false,
        closed: false,
        by_target: false,
    });
    store.put(&record).expect("writable");
    let mut stand_in = std::process::Command::new("setsid").args(["sleep", "600"]).spawn().expect("`setsid` exists");
    let pid = i32::try_from(stand_in.id()).expect("it is small");
    let leads = || !sendoff::support::platform::session_members(pid).is_empty();
    wait_until(|| if leads() { Ok(()) } else { Err("it leads no session yet".to_owned()) });
    let server = sendoff::tracking::managed::Server {
        process: sendoff::support::process::Identity::of(pid),
        port: 9,
        version: "0".into(),
        started_at: jiff::Timestamp::UNIX_EPOCH,
    };
    std::fs::create_dir_all(data.join("tracking")).expect("writable");
    std::fs::write(data.join("tracking/server.json"), serde_json::to_vec(&server).expect("plain data")).expect("writable");
    let reaper = std::thread::spawn(move || stand_in.wait());
    let stopped = sandbox.sendoff(&["tracking", "stop"]).expect(0);
    assert_eq!((stopped.stdout.as_str(), stopped.stderr.as_str()), ("stopped\n", ""));
    reaper.join().expect("no panic").expect("it is a child of this process");
}
