//! `sendoff doctor`.

use std::process::Command;
use std::time::Duration;

use clap::Args;
use sendoff::support::uv::Uv;
use sendoff::support::{command, platform};
use sendoff::tracking::managed::Managed;
use serde::Serialize;

use super::World;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::printer::Printer;

#[derive(Debug, Args)]
pub(crate) struct Arguments {}

/// One thing that sendoff needs, or can use.
#[derive(Serialize)]
struct Check {
    name: &'static str,
    fine: bool,
    needed: bool,
    found: String,
    fix: Option<&'static str>,
}

#[derive(Serialize)]
struct Checks {
    checks: Vec<Check>,
}

fn check(name: &'static str, needed: bool, found: Result<String, String>, fix: &'static str) -> Check {
    let fine = found.is_ok();
    Check { name, fine, needed, found: found.unwrap_or_else(|reason| reason), fix: (!fine).then_some(fix) }
}

/// Returns the first line that a program prints about its version.
fn version(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = command::capture(Command::new(program).args(arguments), Duration::from_secs(20)).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}

pub(crate) fn run(_arguments: &Arguments, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let script = "import sys; print('Python %d.%d.%d' % sys.version_info[:3]); sys.exit(sys.version_info < (3, 10))";
    let uv = Uv::find(&world.dirs.data);
    let managed = Managed::new(&world.dirs);
    let folder = &world.dirs.data;
    let writable = std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
    let memory = match platform::memory_limit() {
        platform::MemoryLimit::Unavailable { reason } => Err(reason),
        platform::MemoryLimit::CgroupV1(path) | platform::MemoryLimit::CgroupV2(path) => Ok(path.display().to_string()),
    };
    let server = match (managed.running(), managed.is_installed()) {
        (Some(server), _) => Ok(format!("running at {}", server.uri())),
        (None, true) => Ok("installed, stopped".to_owned()),
        (None, false) => Ok("not installed yet; the first tracked job does it".to_owned()),
    };
    let checks = vec![
        check("Python 3.10 or newer", true, version("python3", &["-c", script]), "install Python 3.10 or newer as `python3`"),
        check(
            "uv",
            true,
            uv.map(|uv| uv.program().display().to_string())
                .ok_or("not here yet".to_owned())
                .or_else(|_| version("python3", &["-c", "import ensurepip, venv; print('installed by the first job')"])),
            "install `uv`, or Python's `venv` and `pip` (Debian: `python3-venv`)",
        ),
        check("git", false, version("git", &["--version"]), "install git to have commits recorded"),
        check(
            "data folder",
            true,
            writable.map(|_| folder.display().to_string()).map_err(|error| error.to_string()),
            "set `SENDOFF_HOME` to a folder that you can write to",
        ),
        check("memory limits", false, memory, "`resources.memory` needs a cgroup that you may write to"),
        check("managed MLflow server", false, server, ""),
    ];
    let broken = checks.iter().any(|check| check.needed && !check.fine);
    if printer.is_json() {
        printer.json(&json::report("doctor", Checks { checks }));
    } else {
        let line = |check: &Check| {
            let mark = if check.fine {
                "ok     "
            } else if check.needed {
                "MISSING"
            } else {
                "without"
            };
            let fix = check.fix.map(|fix| format!("\n         {fix}")).unwrap_or_default();
            format!("{mark}  {}: {}{fix}\n", check.name, check.found)
        };
        printer.answer(&checks.iter().map(line).collect::<String>());
    }
    Ok(if broken { Exit::GateFailed } else { Exit::Success })
}
