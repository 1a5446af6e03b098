//! The images that sendoff keeps on an engine: which there are, and which nobody needs.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::{Built, EnvironmentId, Error};
use super::dockerfile::DOCKERFILE;
use super::{BASE, BASES, ENVIRONMENT, Images, LOCK, OWNER, PYTHON, lease_file, owner};
use crate::engine::{self, Engine, Image, Removal};
use crate::support::clock;
use crate::support::lock::Lock;

/// Stages of classic builds, which have no name.
const STAGE: &str = "sendoff.stage";
/// After this time a container that was asked for its Python is left over.
const LEFT_OVER: Duration = Duration::from_mins(10);

impl Images {
    /// Returns the environments on the engine that this cache has made or used, newest first.
    pub async fn list(&self) -> Result<Vec<Built>, Error> {
        let images = self.engine.images(&[(ENVIRONMENT, "")]).await?;
        let mut found: Vec<Built> = images.iter().filter_map(read).filter(|built| lease_file(&self.dirs, &built.id).exists()).collect();
        found.sort_by_key(|built| std::cmp::Reverse(built.created_at));
        Ok(found)
    }

    /// Removes the images that this cache has made and no live job uses, or of which one is named, and returns them. What they were made
    /// from goes with the last of them.
    pub async fn prune(&self, only: Option<&EnvironmentId>) -> Result<Vec<Built>, Error> {
        let own = owner(&self.dirs);
        let mut removed = Vec::new();
        for image in self.engine.images(&[(ENVIRONMENT, ""), (OWNER, &own)]).await? {
            let Some(built) = read(&image).filter(|built| only.is_none_or(|only| *only == built.id)) else { continue };
            let lease = Lock::try_exclusive(&lease_file(&self.dirs, &built.id))?;
            // A container that was made from it keeps it too.
            if lease.is_some() && remove(&self.engine, &image).await? {
                removed.push(built);
            } else if only.is_some() {
                return Err(Error::InUse(built.id.short().to_owned()));
            }
        }
        if only.is_none() {
            self.tidy().await?;
        }
        Ok(removed)
    }

    /// Returns the environments on the engine that this cache has made, with their sizes.
    pub async fn own(&self) -> Result<Vec<(Built, u64)>, Error> {
        let images = self.engine.images(&[(ENVIRONMENT, ""), (OWNER, &owner(&self.dirs))]).await?;
        Ok(images.iter().filter_map(|image| Some((read(image)?, image.size))).collect())
    }

    /// Removes what no environment on the engine is made from any more, and what was left over.
    pub async fn tidy(&self) -> Result<(), Error> {
        for leftover in self.leftovers().await? {
            match self.remove(&leftover).await {
                Ok(()) | Err(Error::InUse(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Finds what no environment on the engine is made from any more, and what was left over; in the order in which it can be removed.
    pub async fn leftovers(&self) -> Result<Vec<Leftover>, Error> {
        let own = owner(&self.dirs);
        let mut found = Vec::new();
        for label in [OWNER, STAGE] {
            for image in self.engine.dangling_images(&[(label, &own)]).await? {
                let name = format!("an interrupted or replaced build, {}", super::short(&image));
                found.push(Leftover { name, bytes: image.size, what: What::Image(image.into()) });
            }
        }
        let needed: BTreeSet<String> =
            self.engine.images(&[(ENVIRONMENT, "")]).await?.into_iter().filter_map(|mut image| image.labels.remove(BASE)).collect();
        for image in self.engine.images(&[]).await?.into_iter().filter(|image| !needed.contains(image.id.as_str())) {
            let names = image.tags.len() + image.digests.len();
            let is_made = image.labels.contains_key(DOCKERFILE) && image.labels.get(OWNER).is_some_and(|owner| *owner == own);
            if is_made {
                let name = image.tags.first().cloned().unwrap_or_else(|| image.id.to_string());
                found.push(Leftover { name, bytes: image.size, what: What::Image(image.into()) });
                continue;
            }
            // An image that has no other name is its owner's, who knows it by its id.
            for tag in image.tags.iter().filter(|tag| names > 1 && tag.starts_with(BASES)) {
                found.push(Leftover { name: tag.clone(), bytes: 0, what: What::Name(tag.clone()) });
            }
        }
        let asked = self.engine.list(&[("sendoff.ask", "")]).await?;
        for container in asked.into_iter().chain(self.engine.list(&[("sendoff.probe", "")]).await?) {
            let age = container.created_at.map(|made| clock::now().duration_since(made).unsigned_abs());
            if age.is_some_and(|age| age > LEFT_OVER) {
                found.push(Leftover { name: container.name, bytes: 0, what: What::Container(container.id.to_string()) });
            }
        }
        Ok(found)
    }

    /// Removes what is left over; one that is used by now is [`Error::InUse`].
    pub async fn remove(&self, leftover: &Leftover) -> Result<(), Error> {
        match &leftover.what {
            What::Image(image) if !remove(&self.engine, image).await? => return Err(Error::InUse(leftover.name.clone())),
            What::Image(_) => {}
            What::Name(tag) => self.engine.remove_image(tag).await?,
            What::Container(id) => self.engine.remove(id, Removal::Forced).await?,
        }
        Ok(())
    }
}

/// Something that the making of images has left on an engine.
#[derive(Debug, Clone)]
pub struct Leftover {
    /// What people know it by.
    pub name: String,
    /// How much it takes.
    pub bytes: u64,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Image(Box<Image>),
    Name(String),
    Container(String),
}

/// Removes an image with all its names; false when a container keeps it.
async fn remove(engine: &Engine, image: &Image) -> Result<bool, Error> {
    let names = if image.tags.is_empty() { vec![image.id.to_string()] } else { image.tags.clone() };
    for name in names {
        match engine.remove_image(&name).await {
            Ok(()) => {}
            Err(engine::Error::Conflict { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// Reads what the labels of an image say.
fn read(image: &Image) -> Option<Built> {
    let label = |name: &str| image.labels.get(name).cloned().unwrap_or_default();
    Some(Built {
        id: EnvironmentId::new(image.labels.get(ENVIRONMENT)?.clone()),
        python: label(PYTHON),
        packages: label(LOCK).lines().map(str::to_owned).collect(),
        created_at: image.created_at.unwrap_or_default(),
        image: image.tags.first().cloned(),
    })
}
