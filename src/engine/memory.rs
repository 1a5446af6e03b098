//! How much memory a container uses.

use bollard::query_parameters::StatsOptionsBuilder;
use futures_util::StreamExt;

use super::error::Object;
use super::{Engine, Error, known, name};

/// How much memory a container uses, in bytes. What is not known is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryUse {
    /// Now.
    pub now: Option<u64>,
    /// At most, so far. Only the first version of control groups tells it.
    pub peak: Option<u64>,
    /// What it may use.
    pub limit: Option<u64>,
}

impl Engine {
    /// Returns how much memory a container uses; nothing is known of one that does not run.
    pub async fn memory(&self, container: &str) -> Result<MemoryUse, Error> {
        let container = name::plain(Object::Container, container)?;
        let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        let answer = Box::pin(self.docker.stats(container, Some(options))).next().await;
        let answer = answer.transpose().map_err(|error| self.failed(format!("measure the container `{container}`"), error));
        let memory = known(answer)?.flatten().and_then(|stats| stats.memory_stats).unwrap_or_default();
        Ok(MemoryUse { now: memory.usage, peak: memory.max_usage, limit: memory.limit })
    }
}
