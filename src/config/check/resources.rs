//! `resources`, and what a named target puts in their place.

use std::time::Duration;

use super::target::Chosen;
use crate::config::{Origin, Resources, Sourced, document, layers};
use crate::support::yaml::{Context, Parsed};
use crate::target::config;

/// The resources of a job, each with who set it.
#[derive(Debug, Default)]
pub(in crate::config) struct Sources {
    pub(in crate::config) cpus: Option<Sourced<u32>>,
    pub(in crate::config) memory: Option<Sourced<u64>>,
    pub(in crate::config) gpus: Option<Sourced<u32>>,
    pub(in crate::config) max_duration: Option<Sourced<Duration>>,
    pub(in crate::config) shared_memory: Option<Sourced<u64>>,
    pub(in crate::config) nodes: Option<Sourced<u32>>,
}

impl Sources {
    /// Returns the values alone.
    pub(super) fn values(&self) -> Resources {
        Resources {
            cpus: self.cpus.as_ref().map(|cpus| cpus.value),
            memory: self.memory.as_ref().map(|memory| memory.value),
            gpus: self.gpus.as_ref().map(|gpus| gpus.value),
            max_duration: self.max_duration.as_ref().map(|limit| limit.value),
            shared_memory: self.shared_memory.as_ref().map(|size| size.value),
            nodes: self.nodes.as_ref().map(|nodes| nodes.value),
        }
    }
}

/// Returns the resources: a named target's replace those of the run config's file, and a `--set` flag replaces both.
pub(super) fn check(document: &document::RunConfig, target: Option<&Chosen<'_>>, context: &Context) -> Sources {
    let empty = config::Resources::default();
    let own = document.resources.as_ref().unwrap_or(&empty);
    let theirs = target.and_then(|target| target.resources).unwrap_or(&empty);
    let timeout = document.limits.as_ref().and_then(|limits| limits.timeout.as_ref());
    if let Some(timeout) = timeout {
        match &own.max_duration {
            None => context.note("`limits.timeout` was read as `resources.max_duration`"),
            Some(_) => context.find(
                &timeout.place,
                "`limits.timeout` and `resources.max_duration` are the same key",
                "the second of them",
                Some("keep `resources.max_duration`".to_owned()),
            ),
        }
    }
    Sources {
        cpus: stronger(own.cpus.as_ref(), theirs.cpus.as_ref(), target, |cpus| cpus.get()),
        memory: stronger(own.memory.as_ref(), theirs.memory.as_ref(), target, |memory| memory.0),
        gpus: stronger(own.gpus.as_ref(), theirs.gpus.as_ref(), target, |gpus| *gpus),
        max_duration: stronger(own.max_duration.as_ref().or(timeout), theirs.max_duration.as_ref(), target, |limit| *limit),
        shared_memory: stronger(own.shared_memory.as_ref(), theirs.shared_memory.as_ref(), target, |size| size.0),
        nodes: stronger(own.nodes.as_ref(), theirs.nodes.as_ref(), target, |nodes| nodes.get()),
    }
}

fn stronger<T: Clone, U>(
    own: Option<&Parsed<T>>,
    theirs: Option<&Parsed<T>>,
    target: Option<&Chosen<'_>>,
    value: impl Fn(&T) -> U,
) -> Option<Sourced<U>> {
    let own = layers::parsed(own);
    if let Some(own) = own.as_ref().filter(|own| matches!(own.origin, Origin::Flag(_))) {
        return Some(Sourced { value: value(&own.value), origin: own.origin.clone() });
    }
    if let (Some(theirs), Some(target)) = (theirs, target) {
        return Some(Sourced { value: value(&theirs.value), origin: target.origin(&theirs.place) });
    }
    own.map(|own| Sourced { value: value(&own.value), origin: own.origin })
}
