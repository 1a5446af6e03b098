//! `sendoff completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use serde::Serialize;

use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::cli::{Cli, json};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
}

#[derive(Serialize)]
struct Completions {
    shell: String,
    script: String,
}

pub(crate) fn run(arguments: &Arguments, printer: &Printer) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "sendoff", &mut text);
    let script = String::from_utf8_lossy(&text).into_owned();
    if printer.is_json() {
        printer.json(&json::report("completions", Completions { shell: arguments.shell.to_string(), script }));
    } else {
        printer.answer(&script);
    }
    Ok(Exit::Success)
}
