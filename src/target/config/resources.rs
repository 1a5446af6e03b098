//! The `resources:` section, of a run config and of a named target.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::document;
use crate::support::memory::Memory;
use crate::support::yaml::Parsed;

document! {
    /// What a job may use. A named target's own `resources:` replace the same keys of the run config.
    pub struct Resources {
        /// How many CPUs; absent means all that the target has.
        cpus: Parsed<NonZeroU32>,
        /// How much memory (`4GiB`); a job that takes more is ended.
        memory: Parsed<Memory>,
        /// How many GPUs: absent means what the target shows, 0 hides all, N means that many and no more.
        gpus: Parsed<u32>,
        /// How many nodes run the job side by side, each with all of these resources; default: 1. Each learns its rank from its variables.
        nodes | "instance_count" | "node_count": Parsed<NonZeroU32>,
        /// Size of `/dev/shm`, on targets with containers.
        shared_memory | "shm_size": Parsed<Memory>,
        /// How long the job may run (`90s`, `30m`, `1h 30m`); it is ended after that.
        max_duration: Parsed<Duration>,
    }
}
