//! `sendoff init`.

use clap::Args;

use super::World;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::printer::Printer;

#[derive(Debug, Args)]
pub(crate) struct Arguments {}

#[derive(serde::Serialize)]
struct Written {
    file: String,
}

pub(crate) fn run(_arguments: &Arguments, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let path = sendoff::config::init(&world.cwd)?;
    if printer.is_json() {
        printer.json(&json::report("init", Written { file: path.display().to_string() }));
    } else {
        printer.answer(&format!("wrote `{}`; look at it, then `sendoff submit`", path.display()));
    }
    Ok(Exit::Success)
}
