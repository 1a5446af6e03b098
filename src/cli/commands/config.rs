//! `sendoff config`.

use clap::Subcommand;
use serde::Serialize;

use super::World;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::cli::{RunConfigArguments, json};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print every value with where it came from
    Show {
        #[command(flatten)]
        run: RunConfigArguments,
    },
}

#[derive(Serialize)]
struct Value {
    key: String,
    value: String,
    origin: String,
}

#[derive(Serialize)]
struct Values {
    values: Vec<Value>,
}

pub(crate) fn run(command: &Command, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let Command::Show { run } = command;
    let loaded = sendoff::config::load(&run.request(world))?;
    let values: Vec<Value> =
        loaded.explained.into_iter().map(|value| Value { key: value.key, value: value.value, origin: value.origin.to_string() }).collect();
    if printer.is_json() {
        printer.json(&json::report("config", Values { values }));
        return Ok(Exit::Success);
    }
    let width = values.iter().map(|value| value.key.chars().count()).max().unwrap_or(0);
    let text: String =
        values.iter().map(|value| format!("{:width$}  {}  ({})\n", value.key, value.value.replace('\n', "\\n"), value.origin)).collect();
    printer.answer(&text);
    Ok(Exit::Success)
}
