//! What is left on container engines: containers, networks and volumes by their labels, images of environments, and what made them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Item, Kind, Thing};
use crate::engine::{self, Address, Engine, Removal, State};
use crate::environment::{self, EnvironmentId, Images, Leftover};
use crate::job::attempt::{Attempt, Finding};
use crate::support::{clock, fs, platform};
use crate::target::docker::{owner, place};

/// After this time a container that has not started is not being made any more.
const MAKING: Duration = Duration::from_mins(10);

/// After this time nobody comes back to what a home has left that is gone.
const FORSAKEN: Duration = Duration::from_hours(24);

/// Something on an engine.
#[derive(Debug, Clone)]
pub(super) enum Left {
    /// With the mark that keeps it.
    Container(String, Option<PathBuf>),
    Network(String),
    Volume(String),
    Environment(Box<Images>, EnvironmentId),
    Leftover(Box<Images>, Leftover),
}

/// Why an engine did not do it.
pub(super) enum Kept {
    /// It is used by now.
    InUse,
    /// The engine failed.
    Failed(environment::Error),
}

impl From<engine::Error> for Kept {
    fn from(error: engine::Error) -> Self {
        match error {
            engine::Error::Conflict { .. } => Self::InUse,
            error => Self::Failed(error.into()),
        }
    }
}

impl From<environment::Error> for Kept {
    fn from(error: environment::Error) -> Self {
        match error {
            environment::Error::InUse(_) => Self::InUse,
            environment::Error::Engine(error) => error.into(),
            error => Self::Failed(error),
        }
    }
}

/// Removes it.
pub(super) async fn remove(engine: &Engine, left: &Left) -> Result<(), Kept> {
    match left {
        Left::Container(id, mark) => {
            engine.remove(id, Removal::Forced).await?;
            if let Some(mark) = mark {
                fs::remove_file(mark).map_err(|error| Kept::Failed(error.into()))?;
            }
        }
        Left::Network(id) => engine.remove_network(id).await?,
        Left::Volume(name) => engine.remove_volume(name).await?,
        Left::Environment(images, id) => drop(images.prune(Some(id)).await?),
        Left::Leftover(images, leftover) => images.remove(leftover).await?,
    }
    Ok(())
}

/// Finds what one engine has. `named` are the environments of jobs.
pub(super) async fn find(engine: &Engine, images: Images, data: &Path, named: &BTreeSet<String>) -> Result<Vec<Item>, environment::Error> {
    let home = Home {
        data: data.canonicalize().unwrap_or_else(|_| data.to_owned()),
        store: owner::known(data),
        host: platform::host_name(),
        is_local: matches!(engine.endpoint().address, Address::Local(_)),
    };
    let mut found = Vec::new();
    let mut add = |kind: Kind, name: String, bytes: u64, left: Left| {
        let name = format!("{name} on `{}`", engine.endpoint().address);
        found.push(Item { kind, name, bytes, thing: Thing::OnEngine(Box::new(engine.clone()), left) });
    };
    for container in engine.list(&[(place::OWNER, "")]).await? {
        let life = match container.state {
            State::Created => Life::NotStarted,
            State::Exited | State::Dead => Life::Ended,
            _ => Life::Running,
        };
        let age = container.created_at.map(|made| clock::now().duration_since(made).unsigned_abs()).unwrap_or_default();
        if let Some(why) = home.verdict(&container.labels, life, age) {
            let mark = home.attempt(&container.labels).map(|attempt| attempt.path("keep"));
            add(Kind::Container, format!("{}{why}", container.name), 0, Left::Container(container.id.to_string(), mark));
        }
    }
    for network in engine.networks(&[(place::OWNER, "")]).await? {
        // One with containers that run is not removed by the engine.
        if let Some(why) = home.verdict(&network.labels, Life::Ended, FORSAKEN) {
            add(Kind::Network, format!("{}{why}", network.name), 0, Left::Network(network.id));
        }
    }
    for volume in engine.volumes(&[(place::OWNER, "")]).await? {
        if let Some(why) = home.verdict(&volume.labels, Life::Ended, FORSAKEN) {
            add(Kind::Volume, format!("{}{why}", volume.name), 0, Left::Volume(volume.name));
        }
    }
    for (built, bytes) in images.own().await? {
        if !named.contains(built.id.short()) {
            let name = built.image.clone().unwrap_or_else(|| built.id.short().to_owned());
            add(Kind::Image, name, bytes, Left::Environment(Box::new(images.clone()), built.id));
        }
    }
    for leftover in images.leftovers().await? {
        add(Kind::Image, leftover.name.clone(), leftover.bytes, Left::Leftover(Box::new(images.clone()), leftover));
    }
    Ok(found)
}

/// How a container stands, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    NotStarted,
    Running,
    Ended,
}

/// How the job of a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It may need it.
    Active,
    /// It has ended, and all that it left is here.
    Ended,
    /// It has ended, and its container was to stay.
    Kept,
    /// It has ended, and what it left is only there.
    Uncollected,
    /// Nobody knows it.
    Unknown,
}

/// Who asks.
struct Home {
    data: PathBuf,
    store: Option<String>,
    host: String,
    is_local: bool,
}

impl Home {
    /// Says that a thing is not needed, and why in the words that follow its name; `None` when it is, or is none of our business.
    ///
    /// Ours is what has the name of our store, which no other home has, on whatever machine. Of a home that is gone only what does not run
    /// goes, a day later, and only from an engine of the machine where that home was: elsewhere its path says nothing.
    fn verdict(&self, labels: &BTreeMap<String, String>, life: Life, age: Duration) -> Option<String> {
        let label = |name: &str| labels.get(name).map(String::as_str);
        let is_left = life == Life::Ended || (life == Life::NotStarted && age >= MAKING);
        if self.store.is_some() && label(place::STORE) == self.store.as_deref() {
            if let Some(job) = label(place::SHELL) {
                return is_left.then(|| format!(", a shell of the job {job}"));
            }
            return match self.standing(labels) {
                Standing::Active | Standing::Uncollected => None,
                Standing::Ended => Some(String::new()),
                Standing::Kept => Some(", kept with `--keep`".to_owned()),
                // One that runs can still be watched and cancelled by its handle.
                Standing::Unknown => is_left.then(|| ", of a job that nobody knows".to_owned()),
            };
        }
        let (folder, store) = (Path::new(label(place::OWNER)?), label(place::STORE)?);
        let is_gone = self.is_local && label(place::MACHINE) == Some(&self.host) && owner::known(folder).as_deref() != Some(store);
        (is_gone && life != Life::Running && age >= FORSAKEN).then(|| format!(", of the home `{}`, which is gone", folder.display()))
    }

    /// Returns the attempt that a thing of ours belongs to.
    fn attempt(&self, labels: &BTreeMap<String, String>) -> Option<Attempt> {
        let is_ours = self.store.is_some() && labels.get(place::STORE) == self.store.as_ref();
        let (id, number) = (labels.get(place::JOB)?.parse().ok()?, labels.get(place::ATTEMPT)?.parse().ok()?);
        is_ours.then(|| Attempt::new(&self.data, &id, number))
    }

    fn standing(&self, labels: &BTreeMap<String, String>) -> Standing {
        let Some(attempt) = self.attempt(labels) else { return Standing::Active };
        match attempt.find() {
            Ok(Finding::Ended(_) | Finding::Tombstoned) if attempt.path("uncollected").exists() => Standing::Uncollected,
            Ok(Finding::Ended(_) | Finding::Tombstoned) if attempt.is_kept() => Standing::Kept,
            Ok(Finding::Ended(_) | Finding::Tombstoned) => Standing::Ended,
            Ok(Finding::Unclaimed) if attempt.folder().parent().is_some_and(|job| !job.exists()) => Standing::Unknown,
            _ => Standing::Active,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn home(data: &Path, is_local: bool) -> Home {
        Home { data: data.to_owned(), store: Some(owner::store(data).expect("writable")), host: "here".to_owned(), is_local }
    }

    #[test]
    fn what_is_ours_goes_when_nobody_knows_its_job_and_it_does_not_run() {
        let data = tempfile::tempdir().expect("a temporary folder");
        let home = home(data.path(), true);
        let store = home.store.clone().expect("it has one");
        let ours = labels(&[(place::STORE, &store), (place::JOB, "the-job"), (place::ATTEMPT, "1"), (place::OWNER, "/x")]);
        let short = Duration::from_secs(1);
        for (life, age, goes) in [
            (Life::Ended, short, true),
            (Life::Running, FORSAKEN, false),
            (Life::NotStarted, short, false),
            (Life::NotStarted, MAKING, true),
        ] {
            assert_eq!(home.verdict(&ours, life, age).is_some(), goes, "{life:?} {age:?}");
        }
        // Its folder is there, and nothing says that it has ended.
        std::fs::create_dir_all(data.path().join("jobs/the-job/attempt-1")).expect("writable");
        assert_eq!(home.verdict(&ours, Life::Ended, short), None);
    }

    #[test]
    fn what_another_home_has_stays_while_that_home_is_there_or_may_be_elsewhere() {
        let (data, other) = (tempfile::tempdir().expect("a temporary folder"), tempfile::tempdir().expect("a temporary folder"));
        let store = owner::store(other.path()).expect("writable");
        let theirs = |host: &str, folder: &Path| {
            let folder = folder.display().to_string();
            labels(&[
                (place::STORE, &store),
                (place::MACHINE, host),
                (place::OWNER, &folder),
                (place::JOB, "the-job"),
                (place::ATTEMPT, "1"),
            ])
        };
        let gone = Path::new("/nonexistent/sendoff");
        for (is_local, host, folder, life, age, goes) in [
            (true, "here", gone, Life::Ended, FORSAKEN, true),
            (true, "here", other.path(), Life::Ended, FORSAKEN, false),
            // Another home was made in its place.
            (true, "here", data.path(), Life::Ended, FORSAKEN, true),
            (true, "here", gone, Life::Ended, MAKING, false),
            (true, "here", gone, Life::Running, FORSAKEN, false),
            (true, "there", gone, Life::Ended, FORSAKEN, false),
            (false, "here", gone, Life::Ended, FORSAKEN, false),
        ] {
            let verdict = home(data.path(), is_local).verdict(&theirs(host, folder), life, age);
            assert_eq!(verdict.is_some(), goes, "{is_local} {host} {} {life:?} {age:?}", folder.display());
        }
        // What has no store's name was not made by a home.
        assert_eq!(home(data.path(), true).verdict(&labels(&[(place::OWNER, "/nonexistent")]), Life::Ended, FORSAKEN), None);
    }
}
