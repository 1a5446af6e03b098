//! The environment: every form of it, built once, never half, rebuilt when it has to be. Packages are tiny wheels that the tests make.

mod forms;
mod index;
mod lock;
mod once;
mod uv;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Run, Sandbox, path, shared};

/// A sandbox without any package index: what is installed comes from `wheels/`.
fn sandbox() -> Sandbox {
    Sandbox::new().env("UV_OFFLINE", "1").env("UV_NO_INDEX", "1")
}

/// Writes a wheel with one module that says a text, and returns its path.
pub(crate) fn wheel(folder: &Path, name: &str, version: &str, says: &str, requires: &[&str]) -> PathBuf {
    std::fs::create_dir_all(folder).expect("writable");
    let path = folder.join(format!("{name}-{version}-py3-none-any.whl"));
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).expect("writable"));
    let info = format!("{name}-{version}.dist-info");
    let requires: String = requires.iter().map(|line| format!("Requires-Dist: {line}\n")).collect();
    for (file, text) in [
        (format!("{name}.py"), format!("SAYS = '{says}'\n")),
        (format!("{info}/METADATA"), format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}")),
        (format!("{info}/WHEEL"), "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n".to_owned()),
        (format!("{info}/RECORD"), String::new()),
    ] {
        zip.start_file(file, zip::write::SimpleFileOptions::default()).expect("a new file");
        zip.write_all(text.as_bytes()).expect("writable");
    }
    zip.finish().expect("writable");
    path
}

fn wheels(sandbox: &Sandbox) {
    let folder = sandbox.project().join("wheels");
    wheel(&folder, "alpha", "1.0", "alpha one", &[]);
    wheel(&folder, "alpha", "2.0", "alpha two", &[]);
    wheel(&folder, "beta", "1.0", "beta one", &["alpha"]);
}

/// Submits a job that prints what the modules of these names say.
fn say(sandbox: &Sandbox, modules: &[&str], environment: &str) -> Run {
    let text: String = modules.iter().map(|name| format!("import {name}\nprint('{name} says', {name}.SAYS)\n")).collect();
    sandbox.file("train.py", &text).file("run.yaml", &format!("script: train.py\nenvironment: {environment}\n"));
    sandbox.sendoff(&["submit", "--no-tracking"])
}

#[track_caller]
fn says(run: &Run, text: &str) {
    assert!(run.code == Some(0) && run.stdout.contains(text), "{run:?}");
}

/// Puts a `uv` first on PATH that runs some shell before the real one, with its arguments, and some after.
fn wrapped(sandbox: Sandbox, before: &str, after: &str) -> Sandbox {
    use std::os::unix::fs::PermissionsExt;
    let folder = sandbox.home().with_file_name("wrapped");
    std::fs::create_dir_all(&folder).expect("writable");
    let (text, program, real) = (folder.join("uv.txt"), folder.join("uv"), shared().join("uv/bin/uv"));
    std::fs::write(&text, format!("#!/bin/sh\n{before}\n'{}' \"$@\"\ncode=$?\n{after}\nexit $code\n", real.display())).expect("writable");
    // Made by a shell: a file that this process has open for writing cannot be executed by what another thread starts meanwhile.
    let made = Command::new("cp").arg(&text).arg(&program).status().expect("cp runs");
    assert!(made.success());
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("ours");
    sandbox.env("PATH", &format!("{}:{}", folder.display(), path()))
}
