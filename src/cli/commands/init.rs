//! `sendoff init`.

use clap::Args;
use sendoff::config::Initialized;

use super::World;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::printer::Printer;

/// Write a commented run config for this folder
///
/// It is called run.yaml and names the script that is probably meant (train.py, main.py, run.py, else the first), and the file that lists its
/// packages (pyproject.toml, requirements.txt, environment.yaml), or those of the script's own metadata block. Nothing is overwritten.
#[derive(Debug, Args)]
pub(crate) struct Arguments {}

#[derive(serde::Serialize)]
struct Written {
    file: String,
    script: String,
    script_found: bool,
}

pub(crate) fn run(_arguments: &Arguments, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let Initialized { file, script, found } = sendoff::config::init(&world.cwd)?;
    let shown = file.strip_prefix(&world.cwd).unwrap_or(&file).display().to_string();
    if printer.is_json() {
        printer.json(&json::report("init", Written { file: file.display().to_string(), script, script_found: found }));
        return Ok(Exit::Success);
    }
    if found {
        printer.answer(&format!("wrote `{shown}` for `{script}`; look at it, then `sendoff submit`"));
    } else {
        printer.answer(&format!("wrote `{shown}`; there is no Python file or notebook here yet, so name yours behind `script:`"));
    }
    Ok(Exit::Success)
}
