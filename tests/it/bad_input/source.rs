//! Source directories that cannot, or should not, be sent.

use std::os::unix::ffi::OsStrExt;

use insta::assert_snapshot;

use super::{refused, with_config};

#[test]
fn a_file_that_looks_like_a_secret_stops_the_submission() {
    let sandbox = with_config("script: train.py\n");
    sandbox.file(".env", "X=1\n").file("deep/id_rsa", "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    assert_snapshot!(refused(&sandbox, &["--no-tracking"]), @r"
    error: 2 files in the source directory look like secrets
      `.env`: environment files hold passwords
      `deep/id_rsa`: a private key
    hint: keep `.env` and `deep/id_rsa` out with a line in `.sendoffignore`
    hint: or, if sending is meant, write `allow_files: [.env, deep/id_rsa]` in the run config
    ");
}

#[test]
fn trees_that_cannot_be_packed_are_refused_by_name() {
    let sandbox = with_config("script: train.py\n");
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, sandbox.project().join(name)).expect("writable");
    link("/etc", "absolute");
    link("../home", "upward");
    std::fs::write(sandbox.project().join(std::ffi::OsStr::from_bytes(b"b\xff.csv")), "").expect("writable");
    assert_snapshot!(refused(&sandbox, &["--no-tracking"]), @r"
    error: could not pack the source directory: 3 entries
      `absolute`: the link leaves the source directory (it points to `/etc`)
      `b\xff.csv`: its name is not UTF-8
      `upward`: the link leaves the source directory (it points to `../home`)
    hint: remove them, or keep them out with a line in `.sendoffignore`
    ");
}

#[test]
fn links_that_go_in_circles_or_nowhere_are_packed_as_they_are() {
    let sandbox = with_config("command: readlink loop dangling folder/around\n");
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, sandbox.project().join(name)).expect("writable");
    std::fs::create_dir(sandbox.project().join("folder")).expect("writable");
    link("loop", "loop");
    link("nowhere", "dangling");
    link("..", "folder/around");
    let run = sandbox.sendoff(&["submit", "--no-tracking", "--quiet"]).expect(0);
    assert!(sandbox.sendoff(&["logs", "@last"]).expect(0).stdout.contains("loop\nnowhere\n..\n"), "{run:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = with_config("script: train.py\n");
    sandbox.file("closed.csv", "1\n");
    std::fs::set_permissions(sandbox.project().join("closed.csv"), std::fs::Permissions::from_mode(0o000)).expect("writable");
    let mut command = sandbox.command(&["submit", "--quiet", "--no-tracking"]);
    if std::fs::read(sandbox.project().join("closed.csv")).is_ok() {
        // Root reads everything, unless it gives up the capability to.
        let mut without = std::process::Command::new("setpriv");
        without.args(["--bounding-set=-dac_override,-dac_read_search", "--"]).arg(command.get_program()).args(command.get_args());
        without.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        without.current_dir(sandbox.project()).stdin(std::process::Stdio::null());
        command = without;
    }
    let run = crate::support::Run::from(command.output().expect("it starts")).expect(244);
    assert_snapshot!(sandbox.plain(&run.stderr), @r"
    error: could not pack the source directory: 1 entry
      `closed.csv`: Permission denied (os error 13)
    hint: remove them, or keep them out with a line in `.sendoffignore`
    ");
    assert!(!sandbox.home().join("data/jobs").exists());
}

#[test]
fn a_file_that_does_not_stop_changing_is_named() {
    use std::os::unix::fs::FileExt;
    use std::sync::atomic::{AtomicBool, Ordering};
    let sandbox = with_config("script: train.py\n");
    sandbox.file("growing.csv", &"0".repeat(32 << 20));
    let file = std::fs::File::options().write(true).open(sandbox.project().join("growing.csv")).expect("writable");
    let stop = AtomicBool::new(false);
    let said = std::thread::scope(|scope| {
        scope.spawn(|| {
            for count in 0_u64.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                file.write_at(&count.to_le_bytes(), 0).expect("writable");
            }
        });
        let run = sandbox.sendoff(&["submit", "--quiet", "--no-tracking"]);
        stop.store(true, Ordering::Relaxed);
        run.expect(245).stderr
    });
    assert_snapshot!(sandbox.plain(&said), @r"
    error: `[SANDBOX]/project/growing.csv` changes while it is packed
    hint: wait until nothing writes to it, or keep it out with a line in `.sendoffignore`
    ");
    assert!(!sandbox.home().join("data/jobs").exists());
}
