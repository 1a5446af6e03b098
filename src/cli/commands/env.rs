//! `sendoff env`.

use clap::Subcommand;
use sendoff::environment::{Built, Environments, Images};
use sendoff::submit::engines;
use sendoff::support::words::Count;
use serde::Serialize;

use super::World;
use super::jobs::complain_of;
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
    /// The engine that has the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
}

/// An environment, and where it is.
struct Place {
    built: Built,
    /// The address of its engine; none for this machine's own.
    engine: Option<String>,
}

impl From<&Place> for Listed {
    fn from(Place { built, engine }: &Place) -> Self {
        Self {
            id: built.id.to_string(),
            python: built.python.clone(),
            packages: built.packages.clone(),
            created_at: json::instant(built.created_at),
            image: built.image.clone(),
            engine: engine.clone(),
        }
    }
}

#[derive(Serialize)]
struct List {
    environments: Vec<Listed>,
}

/// Returns the images of environments of every engine that was used; what could not be asked is said.
async fn images(world: &World, printer: &Printer) -> Vec<Images> {
    if !Images::exist(&world.dirs) {
        return Vec::new();
    }
    let (engines, away) = engines(&world.dirs, &world.variables).await;
    complain_of(&away, printer);
    engines.iter().map(|engine| Images::new(&world.dirs, engine, None, &world.variables)).collect()
}

/// Returns an environment that is on an engine, with the engine.
fn on(images: &Images, built: Built) -> Place {
    Place { built, engine: Some(images.engine().endpoint().address.to_string()) }
}

pub(crate) async fn run(command: &Command, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let environments = Environments::new(&world.dirs);
    let images = images(world, printer).await;
    let here = |built| Place { built, engine: None };
    let mut all: Vec<Place> = environments.list().into_iter().map(here).collect();
    for images in &images {
        all.extend(images.list().await?.into_iter().map(|built| on(images, built)));
    }
    all.sort_by_key(|place| std::cmp::Reverse(place.built.created_at));
    let built = match command {
        Command::List => all,
        Command::Show { id } => {
            let found: Vec<Place> = all.into_iter().filter(|place| place.built.id.as_str().starts_with(id.as_str())).collect();
            // The same one may be on several engines.
            if found.is_empty() || found.iter().any(|place| place.built.id != found[0].built.id) {
                return Err(Failure::Usage(format!("`{id}` names {}", Count(found.len(), "environment"))));
            }
            found
        }
        Command::Prune => {
            let mut removed: Vec<Place> = environments.prune(None)?.into_iter().map(here).collect();
            for images in &images {
                removed.extend(images.prune(None).await?.into_iter().map(|built| on(images, built)));
            }
            removed
        }
    };
    if printer.is_json() {
        printer.json(&json::report("environments", List { environments: built.iter().map(Listed::from).collect() }));
        return Ok(Exit::Success);
    }
    let line = |place: &Place| {
        let built = &place.built;
        let created = built.created_at.strftime("%Y-%m-%d %H:%M:%S UTC");
        let image = built.image.as_ref().map(|image| format!("  {image}")).unwrap_or_default();
        let engine = place.engine.as_ref().map(|engine| format!(" on {engine}")).unwrap_or_default();
        format!("{}  Python {}  {}  {created}{image}{engine}\n", built.id.short(), built.python, Count(built.packages.len(), "package"))
    };
    match command {
        Command::Show { .. } => {
            printer.answer(&built.iter().map(|place| line(place) + &place.built.packages.join("\n")).collect::<String>());
        }
        Command::List => printer.answer(&built.iter().map(line).collect::<String>()),
        Command::Prune => printer.answer(&format!("removed {}", Count(built.len(), "environment"))),
    }
    Ok(Exit::Success)
}
