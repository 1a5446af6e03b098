//! The emulator of Azure ML, asked by others than ourselves.

mod client;
mod clients;
mod command;
mod compare;
mod jobs;
mod official;
mod proxy;
mod routes;
mod trouble;

use std::path::PathBuf;

use crate::support::Sandbox;

/// An emulator of a sandbox's own.
pub(crate) struct Emulator {
    pub(crate) sandbox: Sandbox,
    state: serde_json::Value,
}

impl Emulator {
    /// Starts one.
    #[track_caller]
    pub(crate) fn up() -> Self {
        let sandbox = Sandbox::new();
        sandbox.sendoff(&["emulator", "up", "azureml"]).expect(0);
        let mut emulator = Self { sandbox, state: serde_json::Value::Null };
        emulator.look_again();
        emulator
    }

    /// Looks where it runs: it may have been started again.
    #[track_caller]
    pub(crate) fn look_again(&mut self) {
        let state = std::fs::read(self.state_file()).expect("it says where it runs");
        self.state = serde_json::from_slice(&state).expect("JSON");
    }

    /// Ends it, and asserts that it leaves nothing.
    #[track_caller]
    pub(crate) fn down(self) {
        self.sandbox.sendoff(&["emulator", "down", "azureml"]).expect(0);
        self.sandbox.sendoff(&["tracking", "stop"]).expect(0);
        self.sandbox.nothing_runs();
    }

    /// Returns the file that says where it runs and with which credentials.
    pub(crate) fn state_file(&self) -> PathBuf {
        self.sandbox.home().join("data/emulator/azureml/running.json")
    }

    /// Returns the certificate of the authority to trust.
    pub(crate) fn certificate(&self) -> PathBuf {
        PathBuf::from(self.state["certificate_authority"].as_str().expect("a path"))
    }

    /// Returns its process.
    pub(crate) fn pid(&self) -> i32 {
        self.state["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a process id")
    }

    /// Returns whether the process that was started first lives.
    pub(crate) fn is_alive(&self) -> bool {
        let identity: sendoff::support::process::Identity = serde_json::from_value(self.state.clone()).expect("it names its process");
        identity.is_alive()
    }

    /// Returns its port on the loopback interface.
    pub(crate) fn port(&self) -> u16 {
        let url = self.state["base_url"].as_str().expect("an address");
        url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // A test that failed has not ended it, nor the containers of its jobs.
        if self.state_file().exists() {
            let _ = self.sandbox.command(&["emulator", "down", "azureml"]).output();
        }
    }
}
