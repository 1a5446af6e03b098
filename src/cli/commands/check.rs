//! `sendoff check`.

use clap::Args;
use serde::Serialize;

use super::World;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::cli::{RunConfigArguments, json};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    run: RunConfigArguments,
}

#[derive(Serialize)]
struct Checked {
    file: String,
    notes: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let loaded = sendoff::config::load(&arguments.run.request(world, sendoff::config::Purpose::Submit))?;
    let file = loaded.run.file.display().to_string();
    if printer.is_json() {
        printer.json(&json::report("check", Checked { file, notes: loaded.run.notes }));
    } else {
        for note in &loaded.run.notes {
            printer.say(&format!("note: {note}"));
        }
        printer.answer(&format!("`{file}` has no problems"));
    }
    Ok(Exit::Success)
}
