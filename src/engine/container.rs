//! Containers: what is known of them, and the acts from start to removal.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum, ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::{
    InspectContainerOptions, KillContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
    StartContainerOptions, StopContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures_util::StreamExt;
use jiff::Timestamp;

use super::error::Object;
use super::{ACT, Engine, Error, ImageId, known, legible, name};

/// The engine's own name of a container, which is never given twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContainerId(pub(super) String);

impl Deref for ContainerId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a container does.
///
/// ```text
/// created -> running <-> paused
///               |  ^
///               v  |
///             exited -> removing -> (gone)      dead: removal failed half way
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Made, and never started; or its start failed.
    Created,
    /// Its process runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// The engine starts it again.
    Restarting,
    /// It goes away.
    Removing,
    /// Its process has ended.
    Exited,
    /// It could only be removed in part.
    Dead,
    /// The engine said nothing.
    Unknown,
}

/// What is known of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// The image that it was made from.
    pub image: ImageId,
    /// Its labels, with those of the image.
    pub labels: BTreeMap<String, String>,
    /// What it does.
    pub state: State,
    /// The code that its process returned, 128 and the signal's number when a signal ended it; only after it has ended.
    pub exit_code: Option<i32>,
    /// Whether the kernel ended one of its processes for lack of memory: not always the one that the exit code is of.
    pub oom_killed: bool,
    /// Why it could not be started, in the engine's words.
    pub error: Option<String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it was last started; never for one that has not run.
    pub started_at: Option<Timestamp>,
    /// When its process ended.
    pub finished_at: Option<Timestamp>,
    /// Its networks, by name.
    pub networks: BTreeMap<String, Attached>,
}

/// How a container is in a network. Addresses are there only while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attached {
    /// The id of the network; its name, if the engine is Podman.
    pub network: String,
    /// The container's address.
    pub ip: Option<String>,
    /// The address by which it reaches the engine's machine.
    pub gateway: Option<String>,
}

/// What a list shows of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// The image, as it was named when the container was made.
    pub image: String,
    /// Its labels, with those of the image.
    pub labels: BTreeMap<String, String>,
    /// What it does.
    pub state: State,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// Which containers may be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Only one that does not run; another is a conflict.
    Ended,
    /// Any: a running one is killed first.
    Forced,
}

impl Container {
    /// Returns whether its process has been started, whatever became of it.
    pub fn has_run(&self) -> bool {
        self.started_at.is_some()
    }

    /// Returns whether its process has ended.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Exited | State::Dead) && self.has_run()
    }
}

impl Engine {
    /// Returns what is known of a container; nothing when there is none of that id or name.
    pub async fn inspect(&self, container: &str) -> Result<Option<Container>, Error> {
        let container = name::plain(Object::Container, container)?;
        let act = || format!("inspect the container `{container}`");
        let answer = legible(|| self.act(act, self.docker.inspect_container(container, None::<InspectContainerOptions>))).await;
        Ok(known(answer)?.map(read))
    }

    /// Lists containers that have all the labels, ended ones too. An empty value asks only for the label's presence.
    pub async fn list(&self, labels: &[(&str, &str)]) -> Result<Vec<Listed>, Error> {
        let options = ListContainersOptionsBuilder::default().all(true).filters(&label_filter(labels)).build();
        let act = || "list containers".to_owned();
        let found = legible(|| self.act(act, self.docker.list_containers(Some(options.clone())))).await?;
        Ok(found.into_iter().map(read_listed).collect())
    }

    /// Starts a container. One that runs already stays as it is.
    pub async fn start(&self, container: &str) -> Result<(), Error> {
        let container = name::plain(Object::Container, container)?;
        let answer = self.docker.start_container(container, None::<StartContainerOptions>);
        self.act(|| format!("start the container `{container}`"), answer).await
    }

    /// Waits until a started container runs no longer, and returns how it ended; nothing when it was removed meanwhile.
    ///
    /// To be called after the start: a fast end is not missed, because nothing removes the container. One that was never
    /// started is returned as it is. An engine that stops meanwhile is [`Error::Lost`]: ask again.
    pub async fn wait(&self, container: &str) -> Result<Option<Container>, Error> {
        let container = name::plain(Object::Container, container)?;
        let act = || format!("wait for the container `{container}`");
        let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
        let answer = Box::pin(self.docker.wait_container(container, Some(options))).next().await;
        match answer {
            // The client makes an error of an exit code that is not zero: for us it is an answer.
            Some(Ok(_) | Err(bollard::errors::Error::DockerContainerWaitError { .. })) => {}
            Some(Err(error)) => match self.failed(act(), error) {
                Error::Missing { .. } => return Ok(None),
                error => return Err(error),
            },
            None => return Err(Error::Lost { act: act(), source: super::Said("the connection was closed".to_owned()) }),
        }
        self.inspect(container).await
    }

    /// Asks a container's process to end, and kills it when it has not after `grace`. One that does not run stays as it is.
    pub async fn stop(&self, container: &str, grace: Duration) -> Result<(), Error> {
        let container = name::plain(Object::Container, container)?;
        let seconds = i32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        // The answer comes when it has ended.
        let docker = self.within(grace.saturating_add(ACT));
        self.act(|| format!("stop the container `{container}`"), docker.stop_container(container, Some(options))).await
    }

    /// Sends a signal to a container's first process. A container that does not run is a conflict.
    pub async fn kill(&self, container: &str, signal: &str) -> Result<(), Error> {
        let container = name::plain(Object::Container, container)?;
        let options = KillContainerOptionsBuilder::default().signal(signal).build();
        let answer = self.docker.kill_container(container, Some(options));
        self.act(|| format!("send `{signal}` to the container `{container}`"), answer).await
    }

    /// Removes a container with its unnamed volumes. One that is gone already is no error.
    pub async fn remove(&self, container: &str, removal: Removal) -> Result<(), Error> {
        let container = name::plain(Object::Container, container)?;
        let options = RemoveContainerOptionsBuilder::default().v(true).force(removal == Removal::Forced).build();
        let answer = self.docker.remove_container(container, Some(options));
        known(self.act(|| format!("remove the container `{container}`"), answer).await).map(|_| ())
    }
}

/// Returns the filter for all the labels.
pub(super) fn label_filter(labels: &[(&str, &str)]) -> HashMap<String, Vec<String>> {
    let wanted = |&(key, value): &(&str, &str)| if value.is_empty() { key.to_owned() } else { format!("{key}={value}") };
    HashMap::from([("label".to_owned(), labels.iter().map(wanted).collect())])
}

fn read(answer: ContainerInspectResponse) -> Container {
    let state = answer.state.unwrap_or_default();
    let networks = answer.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let attached = |(name, network): (String, bollard::models::EndpointSettings)| {
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        let network =
            Attached { network: network.network_id.unwrap_or_default(), ip: filled(network.ip_address), gateway: filled(network.gateway) };
        (name, network)
    };
    let status = match state.status {
        Some(ContainerStateStatusEnum::CREATED) => State::Created,
        Some(ContainerStateStatusEnum::RUNNING) => State::Running,
        Some(ContainerStateStatusEnum::PAUSED) => State::Paused,
        Some(ContainerStateStatusEnum::RESTARTING) => State::Restarting,
        Some(ContainerStateStatusEnum::REMOVING) => State::Removing,
        Some(ContainerStateStatusEnum::EXITED) => State::Exited,
        Some(ContainerStateStatusEnum::DEAD) => State::Dead,
        Some(_) | None => State::Unknown,
    };
    let started_at = time(state.started_at.as_deref());
    let ended = matches!(status, State::Exited | State::Dead) && started_at.is_some();
    let finished_at = time(state.finished_at.as_deref()).filter(|_| ended);
    // The engine notes the start of a process after it, and that of a short one after its end.
    let started_at = started_at.map(|started| finished_at.map_or(started, |finished| started.min(finished)));
    Container {
        id: ContainerId(answer.id.unwrap_or_default()),
        name: answer.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        image: ImageId(answer.image.unwrap_or_default()),
        labels: answer.config.and_then(|config| config.labels).unwrap_or_default().into_iter().collect(),
        state: status,
        exit_code: state.exit_code.filter(|_| ended).and_then(|code| i32::try_from(code).ok()),
        oom_killed: state.oom_killed.unwrap_or(false),
        error: state.error.filter(|error| !error.is_empty()),
        created_at: time(answer.created.as_deref()),
        started_at,
        finished_at,
        networks: networks.into_iter().map(attached).collect(),
    }
}

fn read_listed(answer: ContainerSummary) -> Listed {
    Listed {
        id: ContainerId(answer.id.unwrap_or_default()),
        name: answer.names.unwrap_or_default().first().map(|name| name.trim_start_matches('/').to_owned()).unwrap_or_default(),
        image: answer.image.unwrap_or_default(),
        labels: answer.labels.unwrap_or_default().into_iter().collect(),
        state: match answer.state {
            Some(ContainerSummaryStateEnum::CREATED) => State::Created,
            Some(ContainerSummaryStateEnum::RUNNING) => State::Running,
            Some(ContainerSummaryStateEnum::PAUSED) => State::Paused,
            Some(ContainerSummaryStateEnum::RESTARTING) => State::Restarting,
            Some(ContainerSummaryStateEnum::REMOVING) => State::Removing,
            Some(ContainerSummaryStateEnum::EXITED) => State::Exited,
            Some(ContainerSummaryStateEnum::DEAD) => State::Dead,
            Some(_) | None => State::Unknown,
        },
        created_at: answer.created.and_then(|seconds| Timestamp::from_second(seconds).ok()),
    }
}

/// Reads a time of the engine, for which the year 1 means never.
fn time(text: Option<&str>) -> Option<Timestamp> {
    text?.parse::<Timestamp>().ok().filter(|time| time.as_second() > 0)
}
