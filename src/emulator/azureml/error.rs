//! Why the emulator cannot run, or cannot keep what it was given.

use crate::support::fs;
use crate::support::hints::Hints;

/// The emulator could not do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// What it has written is not what it reads.
    #[error("could not read the emulator's state in `{}`", path.display())]
    State {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Its database.
    #[error("could not {act} the emulator's database")]
    Database {
        /// What was tried.
        act: &'static str,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// Its certificates.
    #[error("could not make the emulator's certificates")]
    Certificate(#[source] rcgen::Error),
    /// The TLS library does not take them.
    #[error("could not use the emulator's certificates")]
    Tls(#[source] rustls::Error),
    /// Its addresses.
    #[error("could not listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Its process.
    #[error("could not start the emulator")]
    Start(#[source] std::io::Error),
    /// Its process ended before it answered.
    #[error("the emulator ended before it answered{}", said(said_last))]
    Stillborn {
        /// The last line of its log.
        said_last: String,
        /// The log.
        log: std::path::PathBuf,
    },
    /// Its process does not end.
    #[error("the emulator (process {0}) does not end")]
    Stubborn(i32),
    /// It runs in the other form.
    #[error("an emulator runs already, with {}", if *http { "plain HTTP" } else { "HTTPS" })]
    OtherScheme {
        /// Whether it speaks plain HTTP.
        http: bool,
    },
    /// The MLflow plane.
    #[error(transparent)]
    Mlflow(#[from] super::mlflow::Error),
    /// The container engine.
    #[error(transparent)]
    Engine(#[from] crate::engine::Error),
}

fn said(last: &str) -> String {
    if last.is_empty() { String::new() } else { format!(": {last}") }
}

impl Hints for Error {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::Engine(error) => error.hints(),
            Self::Stillborn { log, .. } => vec![format!("its log is `{}`", log.display())],
            Self::OtherScheme { .. } => vec!["`sendoff emulator down azureml` ends it; what it keeps stays".to_owned()],
            Self::Stubborn(pid) => vec![format!("end the process {pid} yourself")],
            Self::State { path, .. } => {
                vec![format!("`sendoff emulator down azureml --delete` forgets everything, `{}` too", path.display())]
            }
            Self::Mlflow(_) | Self::Database { .. } | Self::Certificate(_) | Self::Tls(_) | Self::Listen { .. } | Self::Start(_) => {
                Vec::new()
            }
        }
    }
}
