//! `tests/run`, with programs in place of those that it starts.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::{Run, path};

/// Runs `tests/run` where the call of `cargo` with this number fails, and returns it with how often `cargo` was called.
fn tests_run(failing: usize) -> (Run, usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("log");
    let cargo = format!("echo call >>'{0}'\n[ \"$(wc -l <'{0}')\" -ne {failing} ]\n", log.display());
    for (name, text) in [("cargo", cargo.as_str()), ("shellcheck", ""), ("unshare", "")] {
        let program = folder.path().join(name);
        std::fs::write(&program, format!("#!/bin/sh\n{text}")).expect("writable");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("ours");
    }
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/run"));
    command.env_clear().env("PATH", format!("{}:{}", folder.path().display(), path())).env("HOME", folder.path());
    let run = Run::from(command.output().expect("it starts"));
    let calls = std::fs::read_to_string(log).unwrap_or_default().lines().count();
    (run, calls)
}

#[test]
fn a_suite_that_fails_does_not_hide_the_others_and_is_not_forgotten() {
    let (run, all) = tests_run(0);
    run.expect(0);
    assert!(all >= 3, "{all}");
    for failing in 1..=all {
        let (run, calls) = tests_run(failing);
        assert_eq!((run.code, calls), (Some(1), all), "call {failing}: {run:?}");
    }
}
