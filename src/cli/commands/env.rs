//! `sendoff env`.

use std::path::PathBuf;

use clap::Subcommand;
use sendoff::engine::{Endpoint, Engine};
use sendoff::environment::{Built, Environments, Images};
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
    /// The image that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<String>,
}

impl From<&Built> for Listed {
    fn from(built: &Built) -> Self {
        Self {
            id: built.id.to_string(),
            python: built.python.clone(),
            packages: built.packages.clone(),
            created_at: json::instant(built.created_at),
            image: built.image.clone(),
        }
    }
}

#[derive(Serialize)]
struct List {
    environments: Vec<Listed>,
}

/// Returns the images of environments; none when there are none, or their engine is not there, which is said.
async fn images(world: &World, printer: &Printer) -> Option<Images> {
    if !Images::exist(&world.dirs) {
        return None;
    }
    let home = world.variables.get("HOME").map_or_else(|| world.cwd.clone(), PathBuf::from);
    let connected = match Endpoint::choose(None, &world.variables, &home) {
        Ok(endpoint) => Engine::connect(&endpoint).await,
        Err(error) => Err(error),
    };
    match connected {
        Ok(engine) => Some(Images::new(&world.dirs, &engine, None, &world.variables)),
        Err(error) => {
            printer.complain(&format!("{}: the images of environments are passed over: {error}", printer.styled("1;33", "warning")));
            None
        }
    }
}

pub(crate) async fn run(command: &Command, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let environments = Environments::new(&world.dirs);
    let images = images(world, printer).await;
    let mut all = environments.list();
    if let Some(images) = &images {
        all.extend(images.list().await?);
        all.sort_by_key(|built| std::cmp::Reverse(built.created_at));
    }
    let built = match command {
        Command::List => all,
        Command::Show { id } => {
            let found: Vec<Built> = all.into_iter().filter(|built| built.id.as_str().starts_with(id.as_str())).collect();
            if found.len() != 1 {
                return Err(Failure::Usage(format!("`{id}` names {}", Count(found.len(), "environment"))));
            }
            found
        }
        Command::Prune => {
            let mut removed = environments.prune(None)?;
            if let Some(images) = &images {
                removed.extend(images.prune(None).await?);
            }
            removed
        }
    };
    if printer.is_json() {
        printer.json(&json::report("environments", List { environments: built.iter().map(Listed::from).collect() }));
        return Ok(Exit::Success);
    }
    let line = |built: &Built| {
        let created = built.created_at.strftime("%Y-%m-%d %H:%M:%S UTC");
        let image = built.image.as_ref().map(|image| format!("  {image}")).unwrap_or_default();
        format!("{}  Python {}  {}  {created}{image}\n", built.id.short(), built.python, Count(built.packages.len(), "package"))
    };
    match command {
        Command::Show { .. } => printer.answer(&built.iter().map(|built| line(built) + &built.packages.join("\n")).collect::<String>()),
        Command::List => printer.answer(&built.iter().map(line).collect::<String>()),
        Command::Prune => printer.answer(&format!("removed {}", Count(built.len(), "environment"))),
    }
    Ok(Exit::Success)
}
