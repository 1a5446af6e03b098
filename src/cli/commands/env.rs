//! `sendoff env`.

use clap::Subcommand;
use sendoff::environment::{Built, Environments};
use sendoff::support::words::Count;
use serde::Serialize;

use super::World;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::printer::Printer;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the environments that are built
    List,
    /// Show the packages of an environment
    Show {
        /// Its id, or a prefix of it
        id: String,
    },
    /// Remove the environments that no live job uses
    Prune,
}

#[derive(Serialize)]
struct Listed {
    id: String,
    python: String,
    packages: Vec<String>,
    created_at: String,
}

impl From<&Built> for Listed {
    fn from(built: &Built) -> Self {
        Self {
            id: built.id.to_string(),
            python: built.python.clone(),
            packages: built.packages.clone(),
            created_at: json::instant(built.created_at),
        }
    }
}

#[derive(Serialize)]
struct List {
    environments: Vec<Listed>,
}

pub(crate) fn run(command: &Command, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let environments = Environments::new(&world.dirs);
    let built = match command {
        Command::List => environments.list(),
        Command::Show { id } => {
            let found: Vec<Built> = environments.list().into_iter().filter(|built| built.id.as_str().starts_with(id.as_str())).collect();
            if found.len() != 1 {
                return Err(Failure::Usage(format!("`{id}` names {}", Count(found.len(), "environment"))));
            }
            found
        }
        Command::Prune => environments.prune(None)?,
    };
    if printer.is_json() {
        printer.json(&json::report("environments", List { environments: built.iter().map(Listed::from).collect() }));
        return Ok(Exit::Success);
    }
    let line = |built: &Built| {
        let created = built.created_at.strftime("%Y-%m-%d %H:%M:%S UTC");
        format!("{}  Python {}  {}  {created}\n", built.id.short(), built.python, Count(built.packages.len(), "package"))
    };
    match command {
        Command::Show { .. } => printer.answer(&built.iter().map(|built| line(built) + &built.packages.join("\n")).collect::<String>()),
        Command::List => printer.answer(&built.iter().map(line).collect::<String>()),
        Command::Prune => printer.answer(&format!("removed {}", Count(built.len(), "environment"))),
    }
    Ok(Exit::Success)
}
