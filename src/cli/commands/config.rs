//! `sendoff config`.

use clap::Subcommand;
use sendoff::config::{Explained, Origin, Shown};
use serde::Serialize;

use super::World;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::cli::{RunConfigArguments, json};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print every value with where it came from, defaults included
    ///
    /// A flag is stronger than the run config, which is stronger than MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME of the environment, the
    /// project's sendoff.yaml (found by walking up from the run config), your own sendoff.yaml, and the default. What is set nowhere is shown
    /// as <what that means>.
    Show {
        #[command(flatten)]
        run: RunConfigArguments,
    },
}

#[derive(Serialize)]
struct Value {
    key: String,
    /// `null` when it is set nowhere.
    value: Option<String>,
    /// What it means that nothing is set.
    absent: Option<&'static str>,
    /// As people read it: `run.yaml:4`, `--set`.
    origin: String,
    layer: &'static str,
    file: Option<String>,
    line: Option<usize>,
}

#[derive(Serialize)]
struct Values {
    values: Vec<Value>,
}

impl From<Explained> for Value {
    fn from(explained: Explained) -> Self {
        let (value, absent) = match explained.value {
            Shown::Value(text) => (Some(text), None),
            Shown::Absent(meaning) => (None, Some(meaning)),
        };
        let origin = explained.origin.to_string();
        let (layer, place) = match explained.origin {
            Origin::Flag(_) => ("flag", None),
            Origin::RunConfig { file, line } => ("run_config", Some((file, line))),
            Origin::Job(_) => ("job", None),
            Origin::Environment(_) => ("environment", None),
            Origin::ProjectSettings { file, line } => ("project_settings", Some((file, line))),
            Origin::UserSettings { file, line } => ("user_settings", Some((file, line))),
            Origin::Default => ("default", None),
        };
        let (file, line) = place.map(|(file, line)| (file.display().to_string(), line)).unzip();
        Self { key: explained.key, value, absent, origin, layer, file, line }
    }
}

pub(crate) fn run(command: &Command, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let Command::Show { run } = command;
    let loaded = sendoff::config::load(&run.request(world, sendoff::config::Purpose::Look))?;
    let values: Vec<Value> = loaded.explained.into_iter().map(Value::from).collect();
    if printer.is_json() {
        printer.json(&json::report("config", Values { values }));
        return Ok(Exit::Success);
    }
    let width = values.iter().map(|value| value.key.chars().count()).max().unwrap_or(0);
    let shown = |value: &Value| match (&value.value, value.absent) {
        (Some(text), _) => text.replace('\n', "\\n"),
        (None, meaning) => format!("<{}>", meaning.unwrap_or_default()),
    };
    let text: String = values.iter().map(|value| format!("{:width$}  {}  ({})\n", value.key, shown(value), value.origin)).collect();
    printer.answer(&text);
    Ok(Exit::Success)
}
