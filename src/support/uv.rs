//! Finds `uv`, or installs it from the package index.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::dirs::Dirs;
use super::{command, fs, lock::Lock};

/// A `uv` that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uv {
    words: Vec<PathBuf>,
}

/// No `uv` could be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no Python to install it with.
    #[error("could not find `uv`, nor a Python 3.10 or newer to install it with")]
    NoPython,
    /// The installation failed.
    #[error("could not install `uv` from the package index")]
    Install(#[source] command::Error),
    /// A file of ours could not be touched.
    #[error(transparent)]
    File(#[from] fs::Error),
}

impl super::hints::Hints for Error {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoPython => vec!["install Python 3.10 or newer, or `uv` itself, and put it on PATH".to_owned()],
            Self::Install(_) => {
                vec!["install `uv` by hand (`pip install uv`), or set `PIP_INDEX_URL` to an index that this machine reaches".to_owned()]
            }
            Self::File(error) => error.hints(),
        }
    }
}

impl Uv {
    /// Finds `uv` without changing anything: on PATH, then in our data folder, then as a module of `python3`.
    pub fn find(data: &Path) -> Option<Self> {
        if let Ok(program) = which::which("uv") {
            return Some(Self { words: vec![program] });
        }
        let own = own_program(data);
        // Written last: a program without it may be half an installation.
        if own.is_file() && data.join("tools").join("uv").join(".complete").is_file() {
            return Some(Self { words: vec![own] });
        }
        let python = which::which("python3").ok()?;
        let candidate = Self { words: vec![python, "-m".into(), "uv".into()] };
        let answers = command::capture(candidate.command().arg("--version"), Duration::from_secs(20)).is_ok();
        answers.then_some(candidate)
    }

    /// Finds `uv`, or installs it below the data folder, once even when many processes ask at the same time.
    pub fn find_or_install(data: &Path) -> Result<Self, Error> {
        if let Some(found) = Self::find(data) {
            return Ok(found);
        }
        let lock = Lock::exclusive(&data.join("tools").join("uv.lock"))?;
        if let Some(found) = Self::find(data) {
            return Ok(found);
        }
        let python = which::which("python3").or_else(|_| which::which("python")).map_err(|_| Error::NoPython)?;
        let folder = data.join("tools").join("uv");
        fs::remove_dir_all(&folder)?;
        // A pip that outlives us still writes: it holds the lock too, so that nobody installs beside it.
        let run = |command: &mut Command, limit| command::capture_with(command, limit, Some(lock.share()?)).map_err(Error::Install);
        let install = || {
            run(Command::new(&python).args(["-m", "venv", "--clear"]).arg(&folder), Duration::from_mins(2))?;
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv"];
            run(Command::new(folder.join("bin").join("python")).args(pip), Duration::from_mins(10))?;
            Ok(fs::write_atomic(folder.join(".complete"), b"")?)
        };
        if let Err(error) = install() {
            // A folder with half an installation would be found and taken for whole.
            let _ = fs::remove_dir_all(&folder);
            return Err(error);
        }
        Ok(Self { words: vec![own_program(data)] })
    }

    /// Returns a command line that starts with `uv`.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]);
        command
    }

    /// Returns the program, for messages.
    pub fn program(&self) -> &Path {
        &self.words[0]
    }
}

/// Makes a venv at a path and installs packages into it, compiled; no project is looked at. `held` is the lock of the path, which a `uv`
/// that outlives us goes on holding.
pub fn install(uv: &Uv, venv: &Path, packages: &[&str], held: &Lock) -> Result<(), command::Error> {
    let run = |command: &mut Command| command::capture_with(command, Duration::from_mins(30), held.share().ok());
    let mut make = ambient(uv.command());
    make.args(["venv", "--quiet", "--no-project", "--no-python-downloads", "--python", ">=3.10"]).arg(venv).current_dir("/");
    run(&mut make)?;
    let mut fill = ambient(uv.command());
    fill.args(["pip", "install", "--quiet", "--compile-bytecode", "--python"]).arg(venv.join("bin").join("python")).args(packages);
    run(fill.current_dir("/"))?;
    Ok(())
}

/// Where `uv` keeps what it has fetched and built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// The folder; `None` when nothing could be named.
    pub folder: Option<PathBuf>,
    /// The user's own, when that cannot be written to and ours takes its place.
    pub refused: Option<PathBuf>,
}

impl Cache {
    /// Finds the cache: `UV_CACHE_DIR`, else the user's own, which all of the user's projects share, else one in our cache folder.
    pub fn find() -> Self {
        if let Some(chosen) = std::env::var_os("UV_CACHE_DIR").filter(|folder| !folder.is_empty()) {
            return Self { folder: Some(chosen.into()), refused: None };
        }
        let own = etcetera::choose_base_strategy().map(|strategy| etcetera::BaseStrategy::cache_dir(&strategy).join("uv")).ok();
        if own.as_ref().is_some_and(|own| fs::try_writing(own).is_ok()) {
            return Self { folder: own, refused: None };
        }
        Self { folder: Dirs::from_environment().ok().map(|dirs| dirs.cache.join("uv")), refused: own }
    }
}

/// Says what to do when `uv` could not use its cache.
pub fn cache_hint(error: &command::Error) -> Option<String> {
    let is_cache = error.to_string().contains("Failed to initialize cache");
    is_cache.then(|| "set `UV_CACHE_DIR` to a folder that you can write to: `uv` keeps what it fetches there".to_owned())
}

/// Takes what would make `uv` look elsewhere out of a command's environment, and translates pip's settings, which `uv` does not read.
pub fn ambient(mut command: Command) -> Command {
    for name in ["VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "CONDA_PREFIX", "UV_PROJECT_ENVIRONMENT", "UV_SYSTEM_PYTHON"] {
        command.env_remove(name);
    }
    let translate = [("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), ("PIP_EXTRA_INDEX_URL", "UV_INDEX"), ("PIP_CERT", "SSL_CERT_FILE")];
    for (pip, uv) in translate {
        if let (Ok(value), Err(_)) = (std::env::var(pip), std::env::var(uv)) {
            command.env(uv, value);
        }
    }
    if let (Ok(links), Err(_)) = (std::env::var("PIP_FIND_LINKS"), std::env::var("UV_FIND_LINKS")) {
        // pip passes over a folder that is missing, uv does not.
        let there: Vec<&str> = links.split_whitespace().filter(|link| link.contains("://") || Path::new(link).is_dir()).collect();
        if !there.is_empty() {
            command.env("UV_FIND_LINKS", there.join(","));
        }
    }
    // A project's `uv.toml` must not decide where packages come from: only the user's own counts.
    match own_configuration() {
        Some(own) => command.env("UV_CONFIG_FILE", own),
        None => command.env("UV_NO_CONFIG", "1"),
    };
    if let Cache { folder: Some(folder), refused: Some(_) } = Cache::find() {
        command.env("UV_CACHE_DIR", folder);
    }
    // A home that is no folder at all is more than `uv` can take: it looks for the Pythons that it has installed itself.
    if let Ok(data) = etcetera::choose_base_strategy().map(|strategy| etcetera::BaseStrategy::data_dir(&strategy))
        && std::fs::metadata(data).is_err_and(|error| error.kind() == std::io::ErrorKind::NotADirectory)
        && let Ok(dirs) = Dirs::from_environment()
        && std::env::var_os("UV_PYTHON_INSTALL_DIR").is_none()
    {
        command.env("UV_PYTHON_INSTALL_DIR", dirs.data.join("tools").join("python"));
    }
    command.env("UV_NO_PROGRESS", "1").env("NO_COLOR", "1");
    command
}

/// Returns the user's own `uv.toml`, if there is one.
pub fn own_configuration() -> Option<PathBuf> {
    let strategy = etcetera::choose_base_strategy().ok()?;
    Some(etcetera::BaseStrategy::config_dir(&strategy).join("uv").join("uv.toml")).filter(|path| path.is_file())
}

fn own_program(data: &Path) -> PathBuf {
    data.join("tools").join("uv").join("bin").join(if cfg!(windows) { "uv.exe" } else { "uv" })
}
