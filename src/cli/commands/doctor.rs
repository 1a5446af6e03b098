//! `sendoff doctor`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use clap::Args;
use sendoff::relay::personal::Personal;
use sendoff::support::lock::{self, Lock};
use sendoff::support::uv::{Cache, Uv, ambient};
use sendoff::support::words::{Size, Span, all_of};
use sendoff::support::{command, fs, platform};
use sendoff::tracking::managed::Managed;
use serde::Serialize;

use super::World;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::printer::Printer;

/// Check what sendoff needs on this machine, and say how to get what is missing
///
/// Ends with 1 when something is missing that every job needs. Starts nothing and installs nothing.
#[derive(Debug, Args)]
pub(crate) struct Arguments {}

/// How much a thing matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// No job runs without it.
    Always,
    /// Some things cannot be done without it.
    Sometimes,
}

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

fn check(name: &'static str, need: Need, found: Result<String, String>, fix: &'static str) -> Check {
    let fine = found.is_ok();
    let fix = (!fine && !fix.is_empty()).then_some(fix);
    Check { name, fine, needed: need == Need::Always, found: found.unwrap_or_else(|reason| reason), fix }
}

pub(crate) fn run(_arguments: &Arguments, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let data = &world.dirs.data;
    let checks = vec![
        check("Python 3.10 or newer", Need::Always, python(), "install Python 3.10 or newer as `python3`"),
        check("uv", Need::Always, uv(data), "install `uv`, or Python's `venv` and `pip` (Debian: `python3-venv`)"),
        check(
            "package index",
            Need::Sometimes,
            index(data),
            "new environments need it: `UV_DEFAULT_INDEX` names an index that this machine reaches, and `HTTPS_PROXY` a way to it",
        ),
        check("git", Need::Sometimes, version("git", &["--version"]), "install git to have commits and patches recorded"),
        check("data folder", Need::Always, folder(data), "set `SENDOFF_HOME` to a folder that you can write to"),
        check("cache folder", Need::Always, folder(&world.dirs.cache), "set `SENDOFF_HOME` to a folder that you can write to"),
        check("cache of uv", Need::Always, uv_cache(), "set `UV_CACHE_DIR` to a folder that you can write to"),
        check("locks", Need::Always, locks(data), "set `SENDOFF_HOME` to a folder on a file system with locks, on a local disk, say"),
        check("memory limits", Need::Sometimes, memory(), "`resources.memory` needs a cgroup that you may write to"),
        check("setsid", Need::Sometimes, setsid(), "install util-linux; without it the managed MLflow server ends with its terminal"),
        check("managed MLflow server", Need::Sometimes, server(world), "`sendoff tracking stop` ends what is left of it"),
        check("relays of `tracking env`", Need::Sometimes, relays(data), "`sendoff tracking env` for the same tracker delivers what waits"),
        check("browser", Need::Sometimes, browser(&world.variables), "set `BROWSER`; until then `sendoff open` prints addresses"),
        check("clock", Need::Sometimes, clock(), "set the clock: MLflow shows the times of this machine"),
    ];
    let broken = checks.iter().any(|check| check.needed && !check.fine);
    if printer.is_json() {
        printer.json(&json::report("doctor", Checks { checks }));
    } else {
        let line = |check: &Check| {
            let mark = match (check.fine, check.needed) {
                (true, _) => "ok     ",
                (false, true) => "MISSING",
                (false, false) => "without",
            };
            let fix = check.fix.map(|fix| format!("\n         {fix}")).unwrap_or_default();
            format!("{mark}  {}: {}{fix}\n", check.name, check.found)
        };
        printer.answer(&checks.iter().map(line).collect::<String>());
    }
    Ok(if broken { Exit::GateFailed } else { Exit::Success })
}

/// Returns the first line that a program prints about its version.
fn version(program: &str, arguments: &[&str]) -> Result<String, String> {
    first_line(Command::new(program).args(arguments))
}

fn first_line(command: &mut Command) -> Result<String, String> {
    let output = command::capture(command, Duration::from_secs(20)).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}

fn python() -> Result<String, String> {
    let script =
        "import sys; print('Python %d.%d.%d (%s)' % (*sys.version_info[:3], sys.executable)); sys.exit(sys.version_info < (3, 10))";
    version("python3", &["-I", "-c", script])
}

/// Finds `uv`, or what it could be installed with.
fn uv(data: &Path) -> Result<String, String> {
    match Uv::find(data) {
        Some(uv) => Ok(format!("{} ({})", first_line(uv.command().arg("--version"))?, uv.program().display())),
        None => version("python3", &["-c", "import ensurepip, venv; print('not here yet; the first job installs it')"])
            .map_err(|_| "neither here, nor can it be installed: Python has no `venv` and `ensurepip`".to_owned()),
    }
}

/// Resolves a small package without any cache, which asks the index as a new environment would.
fn index(data: &Path) -> Result<String, String> {
    // The last line says why, and the first would show a file of ours.
    let why = |error: command::Error| {
        let text = error.to_string();
        let reason =
            text.lines().rev().find(|line| line.trim_start().starts_with("error:") || line.contains("Caused by")).or(text.lines().last());
        reason.unwrap_or_default().trim().trim_start_matches("error: ").to_owned()
    };
    let Some(uv) = Uv::find(data) else {
        let dry = ["-m", "pip", "install", "--dry-run", "--quiet", "--disable-pip-version-check", "--no-deps", "--ignore-installed", "uv"];
        let asked = command::capture(Command::new("python3").args(dry), Duration::from_mins(1));
        return asked.map(|_| "answers".to_owned()).map_err(why);
    };
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let list = folder.path().join("requirements.in");
    std::fs::write(&list, "pip\n").map_err(|error| error.to_string())?;
    let mut command = ambient(uv.command());
    command.args(["pip", "compile", "--quiet", "--no-header", "--no-annotate", "--no-cache"]).arg(&list).current_dir(folder.path());
    command::capture(&mut command, Duration::from_mins(1)).map(|_| "answers".to_owned()).map_err(why)
}

/// Tries a folder and tells of its file system; one that is not there yet is judged by its nearest parent, and not made.
fn folder(folder: &Path) -> Result<String, String> {
    let nearest = fs::try_writing(folder).map_err(|error| format!("`{}` cannot be written to: {}", error.path.display(), error.source))?;
    let nearest = nearest.as_path();
    let space = platform::free_space(nearest).map(|bytes| format!(", {} free", Size(bytes))).unwrap_or_default();
    if platform::free_space(nearest).is_some_and(|bytes| bytes < 1 << 30) {
        return Err(format!("`{}` has less than 1 GiB of space{space}", folder.display()));
    }
    let kind = file_system(nearest).map(|kind| format!(", {kind}")).unwrap_or_default();
    Ok(format!("{}{kind}{space}", folder.display()))
}

fn uv_cache() -> Result<String, String> {
    let Cache { folder: Some(place), refused } = Cache::find() else { return Err("there is no place for it".to_owned()) };
    let found = folder(&place)?;
    let why = refused.map(|own| format!(" (`{}` cannot be written to)", own.display())).unwrap_or_default();
    Ok(format!("{found}{why}"))
}

/// Returns the kind of file system that a folder is on, where the system tells.
fn file_system(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    // The last of equal mount points is the one on top.
    let (_, kind) = mounts.filter(|(point, _)| folder.starts_with(point)).max_by_key(|(point, _)| point.len())?;
    Some(kind.to_owned())
}

/// Tries whether a lock that is held is seen as held.
fn locks(data: &Path) -> Result<String, String> {
    let nearest = data.ancestors().find(|folder| folder.exists()).unwrap_or(data);
    let folder = tempfile::tempdir_in(nearest).map_err(|error| error.to_string())?;
    let path = folder.path().join("lock");
    let held = Lock::try_exclusive(&path).map_err(|error| error.to_string())?;
    let seen = lock::is_held(&path).map_err(|error| error.to_string())?;
    drop(held);
    if seen { Ok("work".to_owned()) } else { Err("a lock that is held is not seen by others".to_owned()) }
}

fn memory() -> Result<String, String> {
    match platform::memory_limit() {
        platform::MemoryLimit::Unavailable { reason } => Err(reason),
        platform::MemoryLimit::CgroupV1(path) | platform::MemoryLimit::CgroupV2(path) => Ok(path.display().to_string()),
    }
}

fn setsid() -> Result<String, String> {
    which::which("setsid").map(|path| path.display().to_string()).map_err(|_| "not on PATH".to_owned())
}

fn server(world: &World) -> Result<String, String> {
    let managed = Managed::new(&world.dirs);
    let left = managed.remains();
    if !left.is_empty() {
        return Err(format!("its main process died, and {} is left running", all_of(left)));
    }
    match (managed.running(), managed.is_installed()) {
        (Some(server), _) => Ok(format!("MLflow {} runs at {}", server.version, server.uri())),
        (None, true) => Ok("installed, stopped".to_owned()),
        (None, false) => Ok("not installed yet; the first tracked job does it".to_owned()),
    }
}

fn relays(data: &Path) -> Result<String, String> {
    let all = Personal::all(data);
    let running = all.iter().filter(|personal| personal.running().is_some()).count();
    let stranded = all.iter().filter(|personal| personal.running().is_none() && personal.pending().records > 0);
    let stranded: Vec<String> =
        stranded.filter_map(|personal| Some(format!("{} for {}", personal.pending().records, personal.last()?.upstream.uri))).collect();
    if !stranded.is_empty() {
        return Err(format!("writes wait, and no relay runs: {}", stranded.join(", ")));
    }
    Ok(match running {
        0 => "none runs".to_owned(),
        1 => "one runs".to_owned(),
        _ => format!("{running} run"),
    })
}

fn browser(variables: &BTreeMap<String, String>) -> Result<String, String> {
    if let Some(chosen) = variables.get("BROWSER").filter(|value| !value.is_empty()) {
        return Ok(chosen.clone());
    }
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    which::which(program).map(|path| path.display().to_string()).map_err(|_| format!("no `{program}` on PATH"))
}

/// Compares the clock with the time at which this program was built, and with the file system's.
fn clock() -> Result<String, String> {
    let now = SystemTime::now();
    let ours =
        std::env::current_exe().and_then(std::fs::metadata).and_then(|metadata| metadata.modified()).map_err(|error| error.to_string())?;
    if let Err(ahead) = now.duration_since(ours) {
        return Err(format!("it is {} behind the time at which sendoff was installed", Span(ahead.duration())));
    }
    Ok(jiff::Timestamp::try_from(now).map(|now| now.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default())
}
