//! Azure's own Python clients, unmodified, from the package index.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::Emulator;
use super::proxy::Proxy;
use crate::support::{Run, path, shared};

/// What is installed: versions that resolved together, since the plug-in bounds MLflow's.
const PACKAGES: [&str; 6] = [
    "azure-ai-ml==1.35.2",
    "azure-identity==1.27.0",
    "azureml-mlflow==1.62.0.post6",
    "mlflow-skinny==3.15.0",
    "scikit-learn==1.9.1",
    "pandas==3.1.1",
];

/// How long a script may take: it may wait for an image.
const LIMIT: Duration = Duration::from_mins(10);

/// Returns the Python that has the clients, which all tests share.
fn python() -> PathBuf {
    let folder = shared().join("azure-clients");
    let _lock = sendoff::support::lock::Lock::exclusive(&shared().join("azure-clients.lock")).expect("a lock");
    let python = folder.join("bin/python");
    let complete = folder.join("complete");
    if std::fs::read_to_string(&complete).ok() != Some(PACKAGES.join("\n")) {
        let uv = |arguments: &[&str]| {
            let mut command = Command::new("uv");
            command.args(arguments).env("PATH", path()).env("UV_CACHE_DIR", shared().join("uv-cache")).stdin(Stdio::null());
            assert!(command.status().expect("it starts").success(), "{command:?}");
        };
        let target = folder.display().to_string();
        uv(&["venv", "--quiet", "--clear", "--python", "3.11", &target]);
        let program = python.display().to_string();
        uv(&[&["pip", "install", "--quiet", "--compile-bytecode", "--python", &program][..], &PACKAGES[..]].concat());
        std::fs::write(&complete, PACKAGES.join("\n")).expect("writable");
    }
    python
}

/// Returns where the scripts are.
pub(super) fn scripts() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/azureml"))
}

/// Returns what a script prints that needs no emulator.
pub(super) fn output_of(name: &str) -> String {
    let mut command = Command::new(python());
    command.args(["-W", "ignore"]).arg(scripts().join(name)).env_clear().env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    let output = sendoff::support::command::capture_any(&mut command, LIMIT).expect("it ends in time");
    Run::from(output).expect(0).stdout
}

/// A script that uses the clients, with what it is to know.
pub(super) struct Script {
    command: Command,
}

impl Script {
    /// Makes one that knows the emulator and trusts its certificates, in a world without anything else.
    pub(super) fn new(emulator: &Emulator, name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix(name).tempdir_in(emulator.sandbox.project()).expect("writable").keep();
        let mut command = Command::new(python());
        command.arg(scripts().join(name)).current_dir(&folder).env_clear().stdin(Stdio::null());
        command
            .env("PATH", path())
            .env("HOME", &folder)
            .env("TMPDIR", emulator.sandbox.home())
            .env("LANG", "C.UTF-8")
            .env("USER", "tester");
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONWARNINGS", "ignore").env("GIT_PYTHON_REFRESH", "quiet");
        command.env("EMULATOR", emulator.state_file()).env("REQUESTS_CA_BUNDLE", emulator.certificate());
        // With a name that it knows, the plug-in does not ask the public cloud for its endpoints.
        command.env("AZUREML_CURRENT_CLOUD", "AzureCloud").env("MLFLOW_DISABLE_TELEMETRY", "true");
        Self { command }
    }

    pub(super) fn argument(mut self, argument: &str) -> Self {
        self.command.arg(argument);
        self
    }

    pub(super) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Lets it reach Azure's names for storage, which lead to the emulator then.
    pub(super) fn through(self, proxy: &Proxy) -> Self {
        self.env("HTTPS_PROXY", &proxy.uri()).env("NO_PROXY", "127.0.0.1")
    }

    /// Runs it to its end, and returns what it printed with the answer in its last line.
    #[track_caller]
    pub(super) fn run(mut self) -> (Run, Value) {
        let output = sendoff::support::command::capture_any(&mut self.command, LIMIT).expect("it ends in time");
        let run = Run::from(output).expect(0);
        let last = run.stdout.trim_end().lines().last().unwrap_or_default();
        let answer = serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}\n{}\n{}", run.stdout, run.stderr));
        (run, answer)
    }
}
