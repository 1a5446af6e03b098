//! Where `uv` comes from, and where it keeps its cache.

use std::process::Command;

use super::{sandbox, says, wheels};
use crate::support::{Run, Sandbox, shared};

/// Returns a PATH without any `uv`, whatever this machine's own Python has: that of a venv that has nothing else.
fn path_without_uv(sandbox: &Sandbox) -> String {
    let venv = sandbox.home().with_file_name("bare");
    let made = Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(&venv).status().expect("python3 runs");
    assert!(made.success());
    format!("{}:/usr/bin:/bin", venv.join("bin").display())
}

#[test]
fn uv_is_installed_from_the_index_when_there_is_none() {
    let sandbox = Sandbox::new();
    let path = path_without_uv(&sandbox);
    let sandbox = sandbox.env("PATH", &path);
    sandbox.file("run.yaml", "command: echo ok\n");
    let plan = sandbox.sendoff(&["plan", "--no-tracking"]).expect(0);
    assert!(plan.stdout.contains("environment  miss: not resolved yet; Python found at submission\n"), "{}", plan.stdout);
    let run = sandbox.sendoff(&["submit", "--no-tracking"]).expect(0);
    assert!(run.stderr.contains("installing uv"), "{}", run.stderr);
    assert!(sandbox.home().join("data/tools/uv/bin/uv").is_file());
    let run = sandbox.sendoff(&["submit", "--no-tracking", "--upgrade"]).expect(0);
    assert!(!run.stderr.contains("installing uv"), "{}", run.stderr);
}

#[test]
fn uv_is_found_as_a_module_of_python() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::new();
    let folder = sandbox.home().with_file_name("bin");
    std::fs::create_dir(&folder).expect("writable");
    let program = folder.join("python3");
    std::fs::write(&program, format!("#!/bin/sh\nexec '{}' \"$@\"\n", shared().join("uv/bin/python").display())).expect("writable");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("ours");
    let path = format!("{}:{}", folder.display(), path_without_uv(&sandbox));
    let sandbox = sandbox.env("PATH", &path);
    sandbox.file("run.yaml", "command: echo ok\n");
    let run = sandbox.sendoff(&["submit", "--no-tracking"]).expect(0);
    assert!(!run.stderr.contains("installing uv"), "{}", run.stderr);
    assert!(!sandbox.home().join("data/tools").exists());
}

#[test]
fn a_home_that_cannot_be_written_to_costs_only_the_shared_cache_of_uv() {
    let sandbox = sandbox();
    wheels(&sandbox);
    sandbox.file("train.py", "import alpha\nprint(alpha.SAYS)\n");
    sandbox.file("run.yaml", "script: train.py\nenvironment: {pip_packages: ['alpha<2'], find_links: [wheels]}\n");
    let command = |arguments: &[&str]| {
        let mut command = sandbox.command(arguments);
        command.env("HOME", "/dev/null/x").env_remove("UV_CACHE_DIR");
        command
    };
    let run = |command: &mut Command| Run::from(command.output().expect("it starts"));
    let submit = ["submit", "--no-tracking"];
    // A cache that the user chose is not replaced, and its fault is not taken for another.
    let chosen = run(command(&submit).env("UV_CACHE_DIR", "/dev/null/y")).expect(245);
    assert!(chosen.stderr.contains("error: could not look for Python `>=3.10` on this machine"), "{}", chosen.stderr);
    assert!(chosen.stderr.contains("hint: set `UV_CACHE_DIR` to a folder that you can write to"), "{}", chosen.stderr);

    says(&run(&mut command(&submit)), "alpha one\n");
    assert!(sandbox.home().join("cache/uv").is_dir());
    let doctor = run(&mut command(&["doctor"])).stdout;
    let line = doctor.lines().find(|line| line.contains("cache of uv: ")).unwrap_or_default();
    assert!(line.starts_with("ok ") && line.ends_with(" (`/dev/null/x/.cache/uv` cannot be written to)"), "{doctor}");

    // Without a place for its records it says what to do.
    let list = run(command(&["list"]).env_remove("SENDOFF_HOME")).expect(244);
    assert!(list.stderr.contains("hint: set `SENDOFF_HOME` to a folder that you can write to"), "{}", list.stderr);
}
