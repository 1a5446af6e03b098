//! Jobs that this store does not know, and a target does: submitted from another machine, or before the store was lost.

use super::launch::new_record;
use super::settle::Wanted;
use super::{Error, Jobs, Options, Plan, azureml, mlflow_run, targets};
use crate::engine::Endpoint;
use crate::job::{Handle, JobId, JobState, Record};
use crate::support::clock;
use crate::target::azureml::Address;
use crate::target::config::Kind;
use crate::target::docker::Docker;
use crate::target::{Found, Target};
use crate::tracking::Connection;

impl Jobs {
    /// Finds a job as [`Jobs::find`] does, and asks the engine of this command about a container's handle that leads nowhere else.
    pub async fn locate(&mut self, text: &str) -> Result<Record, Error> {
        let error = match self.find(text) {
            Err(error @ (Error::ElsewhereHandle { .. } | Error::UnknownJob(_))) => error,
            found => return found,
        };
        let Some(handle) = Handle::parse(text) else { return Err(error) };
        let Ok(id) = handle.id.parse::<JobId>() else { return Err(error) };
        if let Some(address) = azureml::of_handle(&handle, &self.variables) {
            return self.locate_there(address, &id, &handle).await?.ok_or(error);
        }
        if handle.kind != Kind::Docker.word() {
            return Err(error);
        }
        let endpoint = targets::endpoint(None, &self.variables)?;
        let target = Docker::new(&self.dirs.data, Some(endpoint.clone()));
        let _lock = self.store.lock(&id)?;
        // Another command may have been faster.
        if let Some(record) = self.known(&id)? {
            return Ok(record);
        }
        match target.find(&id).await? {
            Some(found) => self.take_part(&target, &found, record_of(&found, &handle), None).await,
            None => Err(Error::NotOnEngine { id: handle.id, place: handle.place, engine: address(&endpoint) }),
        }
    }

    /// Asks the service that a handle leads to.
    async fn locate_there(&mut self, address: Address, id: &JobId, handle: &Handle) -> Result<Option<Record>, Error> {
        let text = address.text();
        let target = azureml::of_address(address, &self.dirs, &self.variables);
        let _lock = self.store.lock(id)?;
        let Some(found) = target.find(id).await? else { return Ok(None) };
        let mut record = record_of(&found, handle);
        Kind::AzureMl.word().clone_into(&mut record.target_kind);
        record.address = Some(text);
        self.take_part(&target, &found, record, None).await.map(Some)
    }

    /// Adds a job that was found to this store, whose lock for it must be held, and has it watched over here.
    async fn take_part(
        &mut self,
        target: &dyn Target,
        found: &Found,
        record: Record,
        connection: Option<&Connection>,
    ) -> Result<Record, Error> {
        let mut record = record;
        if let Some(connection) = connection {
            record.tracking = mlflow_run::of_job(connection, &record).await.unwrap_or_default();
        }
        target.adopt(found, &self.launch_again(&record)).await?;
        self.store.put(&record)?;
        Ok(record)
    }

    /// Looks for the job of a submission at its target, and takes part in it when it is the same request.
    pub(super) async fn same_elsewhere(
        &mut self,
        plan: &Plan,
        options: &Options,
        id: &JobId,
        wanted: &Wanted<'_>,
        connection: Option<&Connection>,
    ) -> Result<Option<Record>, Error> {
        let spec = &plan.run.target.value;
        let target = targets::chosen(spec, &self.dirs, &self.variables)?;
        let Some(found) = target.find(id).await? else { return Ok(None) };
        let differences: Vec<&'static str> = wanted.differences(&found.request.config, &found.snapshot, &found.request.environment);
        if !differences.is_empty() {
            return Err(Error::Different { id: id.to_string(), differences, keys: Vec::new() });
        }
        let mut record = new_record(plan, id, options, &self.variables);
        if record.address.is_none() {
            record.handle = Handle { kind: record.target_kind.clone(), place: found.machine.clone(), id: id.to_string() }.to_string();
        }
        fill(&mut record, &found);
        self.take_part(&*target, &found, record, connection).await.map(Some)
    }
}

/// Returns the record of a job of which only its handle and its labels are known.
fn record_of(found: &Found, handle: &Handle) -> Record {
    let mut record = Record::new(found.id.clone(), handle, &handle.kind);
    fill(&mut record, found);
    record
}

fn fill(record: &mut Record, found: &Found) {
    record.digest.clone_from(&found.digest);
    record.config_digest.clone_from(&found.request.config);
    record.snapshot.clone_from(&found.snapshot);
    record.environment.clone_from(&found.request.environment);
    record.attempt = found.attempt;
    record.state = JobState::Submitted { at: clock::now() };
}

fn address(endpoint: &Endpoint) -> String {
    endpoint.address.to_string()
}
