//! `gc`: what no job needs is found and removed, and nothing else.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::support::{Sandbox, wait_until};

fn kinds(sandbox: &Sandbox, arguments: &[&str]) -> BTreeSet<String> {
    let found = sandbox.sendoff(&[&["gc", "--output", "json"], arguments].concat()).expect(0).json();
    let items = found["items"].as_array().cloned().unwrap_or_default();
    items
        .iter()
        .map(|item| format!("{} {}", item["kind"].as_str().unwrap_or_default(), item["name"].as_str().unwrap_or_default()))
        .collect()
}

fn files(sandbox: &Sandbox) -> BTreeSet<PathBuf> {
    let walk = walkdir::WalkDir::new(sandbox.home()).into_iter().flatten();
    let volatile = |path: &PathBuf| path.to_string_lossy().contains("jobs.db") || path.ends_with("use.lock");
    walk.map(walkdir::DirEntry::into_path).filter(|path| !volatile(path)).collect()
}

#[test]
fn what_no_job_names_is_removed_and_nothing_else() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: echo ok\n");
    for id in ["job-one", "job-two"] {
        sandbox.file("changing.txt", id);
        sandbox.sendoff(&["submit", "--no-tracking", "--job-id", id]).expect(0);
    }
    assert_eq!(kinds(&sandbox, &[]), BTreeSet::new());
    let before = files(&sandbox);
    sandbox.sendoff(&["gc", "--yes"]).expect(0);
    assert_eq!(files(&sandbox), before);

    sandbox.sendoff(&["delete", "job-one"]).expect(0);
    let found = kinds(&sandbox, &[]);
    assert_eq!(found.iter().filter(|item| item.starts_with("snapshot ")).count(), 1, "{found:?}");
    assert!(found.contains("lock_file job job-one"), "{found:?}");
    sandbox.sendoff(&["gc", "--yes"]).expect(0);
    assert_eq!(kinds(&sandbox, &[]), BTreeSet::new());
    sandbox.sendoff(&["rerun", "job-two"]).expect(0);

    for id in ["job-two", "@last"] {
        sandbox.sendoff(&["delete", id]).expect(0);
    }
    let found = kinds(&sandbox, &["--yes"]);
    for kind in ["snapshot ", "environment ", "stat_cache "] {
        assert!(found.iter().any(|item| item.starts_with(kind)), "`{kind}` is missing in {found:?}");
    }
    sandbox.sendoff(&["submit", "--no-tracking"]).expect(0);
}

#[test]
fn leftovers_of_every_kind_are_found() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: echo ok\n");
    sandbox.sendoff(&["submit", "--no-tracking", "--job-id", "the-job"]).expect(0);
    let write = |path: &str| {
        let path = sandbox.home().join(path);
        std::fs::create_dir_all(path.parent().expect("it is below the home")).expect("writable");
        std::fs::write(path, "x").expect("writable");
    };
    let made = [
        ("cache/snapshots/.packing-abc", "leftover .packing-abc"),
        ("cache/snapshots/0123456789abcdef.manifest", "snapshot 0123456789ab"),
        ("cache/environments/feedfacefeed/bin/python", "leftover half of the environment feedfacefeed"),
        ("cache/environments/0000feed0000.lock", "lock_file environment 0000feed0000"),
        ("cache/locks/aaaaaaaaaaaaaaaa.txt", "requirements_lock aaaaaaaaaaaa"),
        ("cache/stat/zzzzzzzzzzzz", "stat_cache zzzzzzzzzzzz"),
        ("data/jobs/nobody/attempt-1/log", "job_folder nobody"),
        ("data/jobs/the-job/attempt-1/work/file", "leftover of the job the-job"),
        ("data/locks/nobody-either.lock", "lock_file job nobody-either"),
        ("data/queues/one/ticket-000000000007", "ticket one/ticket-000000000007"),
        ("data/jobs.db.broken-1", "broken_store jobs.db.broken-1"),
    ];
    for (path, _) in made {
        write(path);
    }
    std::fs::create_dir(sandbox.home().join("data/jobs/empty")).expect("writable");
    let expected: BTreeSet<String> = made.iter().map(|(_, item)| (*item).to_owned()).chain(["job_folder empty".to_owned()]).collect();
    assert_eq!(kinds(&sandbox, &[]), expected);
    assert_eq!(kinds(&sandbox, &["--yes"]), expected);
    // The lock of the half environment was needed to remove it, and goes next.
    kinds(&sandbox, &["--yes"]);
    assert_eq!(kinds(&sandbox, &[]), BTreeSet::new());
    assert!(sandbox.sendoff(&["logs", "the-job"]).expect(0).stdout.contains("ok"));
}

#[test]
fn what_a_live_job_holds_is_passed_over() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: 'echo started; while [ ! -e ${{inputs.go}} ]; do sleep 0.05; done'\ninputs: {go: GO}\n");
    let (go, set) = sandbox.shared_file("go");
    sandbox.sendoff(&["submit", "--no-tracking", "--detach", "--job-id", "the-job", "--set", &set]).expect(0);
    wait_until(|| {
        let log = sandbox.sendoff(&["logs", "the-job"]).stdout;
        if log.lines().any(|line| line == "started") { Ok(()) } else { Err(log) }
    });
    // Whatever became of its record, the job lives.
    let database = rusqlite::Connection::open(sandbox.home().join("data/jobs.db")).expect("it opens");
    database.execute("DELETE FROM jobs", []).expect("it is a store");
    drop(database);
    std::fs::remove_file(sandbox.home().join("data/jobs/the-job/job.json")).expect("writable");
    let removed = kinds(&sandbox, &["--yes"]);
    assert!(removed.iter().all(|item| !item.starts_with("environment ") && !item.starts_with("job_folder ")), "{removed:?}");
    std::fs::write(go, "").expect("writable");
    let exit = sandbox.home().join("data/jobs/the-job/attempt-1/exit.json");
    let text = wait_until(|| std::fs::read_to_string(&exit).map_err(|error| error.to_string()));
    assert!(text.contains("\"exit_code\": 0"), "{text}");
}
