//! What a job needs before it runs: its image, its nodes, its files.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::super::faults;
use super::super::host::Image;
use super::super::job::Status;
use super::super::store::key;
use super::container::{self, Start};
use super::drive::{Drive, Stop};
use super::nodes::Nodes;
use super::pool::{self, Grant, Scale};
use super::system::{self, Log};
use super::{command, data, distribution, image, sizes, tracked};

/// How often it is looked whether nodes are to be taken away.
const LOOK: Duration = Duration::from_millis(250);

impl Drive<'_> {
    /// Returns from which nodes the job gets its own.
    pub(super) fn pool(&self) -> pool::Key {
        (key(&self.job.scope), self.job.compute().unwrap_or("(serverless)").to_lowercase())
    }

    fn scale(&self) -> Scale {
        self.compute().map_or_else(Scale::serverless, |compute| Scale::of(&compute))
    }

    /// Returns the properties of the job's compute.
    fn compute(&self) -> Option<Value> {
        let found = self.service.store.get(&self.job.scope, "computes", self.job.compute()?, "");
        found.ok().flatten().map(|compute| compute.body)
    }

    /// Waits until the job's compute is no longer there.
    pub(super) async fn compute_gone(&self) -> Stop {
        let Some(name) = self.job.compute() else { return std::future::pending().await };
        loop {
            let changed = self.service.pools.changed();
            if matches!(self.service.store.get(&self.job.scope, "computes", name, ""), Ok(None)) {
                return Stop::User(format!("The compute '{name}' was deleted."));
            }
            changed.await;
        }
    }

    /// Waits until the job's nodes are taken away, which happens to those of low priority only, when it was ordered.
    pub(super) async fn preempted(&self) {
        let is = |value: &Value, word: &str| value.as_str().is_some_and(|found| found.eq_ignore_ascii_case(word));
        let low = match self.job.compute() {
            Some(_) => self.compute().is_some_and(|compute| is(&compute["properties"]["vmPriority"], "LowPriority")),
            None => is(&self.job.properties["queueSettings"]["jobTier"], "Spot"),
        };
        while !(low && faults::take_preemption(&self.service.folder, &self.job.name)) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits for nodes, and until new ones are there.
    async fn acquire(&self) -> Result<Grant, Stop> {
        self.reach(Status::Queued)?;
        let grant = self.service.pools.acquire(&self.pool(), &self.job.name, self.job.nodes() as usize, || self.scale()).await;
        if grant.fresh > 0 {
            self.reach(Status::Provisioning)?;
            tokio::time::sleep(pool::PROVISIONING).await;
            grant.ready(&self.job.name);
        }
        Ok(grant)
    }

    /// Makes the image and starts the nodes.
    pub(super) async fn prepare(&self, nodes: &Nodes) -> Result<(BTreeMap<u32, String>, Grant, Image), Stop> {
        let (service, job) = (self.service, self.job);
        if let Some(reason) = distribution::refusal(job) {
            return Err(Stop::User(reason));
        }
        let data = data::plan(service, job).map_err(Stop::User)?;
        let command = command::render(job.text("command"), &data.values)
            .map_err(|expression| Stop::User(format!("The command has the expression {expression}, which nothing stands for.")))?;
        let experiment_id = tracked::open(service, job).await.map_err(Stop::System)?;
        self.reach(Status::Preparing)?;
        let image = image::make(service, job).await.map_err(|reason| Stop::User(format!("Image build failed: {reason}")))?;
        let grant = self.acquire().await?;
        nodes.check().await.map_err(Stop::System)?;
        let (size_name, size) = self.size(nodes);
        let archive = container::pack(service, job, &data).map_err(Stop::System)?;
        system::note(service, job, Log::Data, &format!("files of inputs for each node: {}", data.files.len()));
        let start = Start { image: image.name.clone(), command, data, experiment_id, size_name, size, archive };
        let mut running = BTreeMap::new();
        for rank in 0..job.nodes() {
            running.insert(rank, container::start(service, nodes, job, &start, rank).await.map_err(Stop::System)?);
            system::note(service, job, Log::Execution, &format!("the command runs on node {rank}, in the image {}", start.image));
        }
        Ok((running, grant, image))
    }

    /// Returns what a node of the job's compute has.
    fn size(&self, nodes: &Nodes) -> (String, sizes::Size) {
        let job = self.job;
        let named = self.compute().and_then(|compute| compute["properties"]["vmSize"].as_str().map(str::to_owned));
        let named = named.or_else(|| job.properties["resources"]["instanceType"].as_str().map(str::to_owned)).unwrap_or_default();
        let machine = sizes::Size { cpus: nodes.cpus, memory: nodes.memory, gpus: 0 };
        let Some(wanted) = sizes::size(&named) else {
            self.warn(format!("the size {named} is not known to the emulator: a node has what this machine has"));
            return (named, machine);
        };
        let (size, note) = sizes::fitted(&named, wanted, nodes.cpus, nodes.memory);
        if let Some(note) = note {
            self.warn(note);
        }
        (named, size)
    }
}
