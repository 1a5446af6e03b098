//! What `plan` shows: the submission up to its last step, with stand-ins for what only a real one can know, and nothing secret in it.

use std::collections::BTreeMap;

use super::describe::Parts;
use super::digest::Keys;
use super::kept;
use super::launch::{digest, new_record, wanted_id};
use super::mlflow_run::tag_facts;
use super::settle::{Decision, Wanted, decide};
use super::{Error, Options, Plan, Tracker, site};
use crate::auth::Credentials;
use crate::environment::EnvironmentId;
use crate::job::attempt::{Attempt, Finding};
use crate::job::store::Store;
use crate::job::{JobId, JobSpec, JobState, Record, TrackingRecord, node};
use crate::snapshot;
use crate::support::dirs::Dirs;
use crate::support::secret::Secret;
use crate::target::config::TargetConfig;
use crate::target::docker::place;
use crate::tracking::{self, Connection};

/// Stands for what the tracker names at submission.
const AT_SUBMISSION: &str = "AT-SUBMISSION";

/// What a variable shows whose value may be secret.
const HIDDEN: &str = "[hidden]";

/// A submission that was not made.
#[derive(Debug)]
pub struct Rehearsal {
    /// The job's id; a stand-in unless it was chosen.
    pub id: JobId,
    /// Whether the user chose it.
    pub is_chosen: bool,
    /// What a job of this id means for the submission.
    pub past: Past,
    /// What the target would be told; values that may be secret are hidden.
    pub spec: JobSpec,
    /// What would run there.
    pub bootstrap: String,
    /// The variables that are not part of it.
    pub secrets: Vec<SecretVariable>,
    /// The variables that each node has of its own, of a job with several.
    pub nodes: Vec<Vec<(String, String)>>,
}

/// What a job of the same id means for a submission.
#[derive(Debug)]
pub enum Past {
    /// There is none.
    New,
    /// It would be adopted, in the state in which it is.
    Adopted(JobState),
    /// Its submission was interrupted, and would go on.
    Resumed,
    /// It would be started again.
    NextAttempt(u32),
    /// The submission would be refused.
    Refused(Box<Error>),
}

/// A variable of the job whose value nobody sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretVariable {
    /// Its name.
    pub name: String,
    /// How it gets to the job.
    pub travels: &'static str,
}

/// Rehearses a submission; reads, and changes nothing.
pub fn rehearse(plan: &Plan, options: &Options, dirs: &Dirs, variables: &BTreeMap<String, String>) -> Result<Rehearsal, Error> {
    let chosen = wanted_id(options);
    let id = chosen.clone().unwrap_or_else(|| "new-job".parse().expect("it follows the rules of ids"));
    let mut record = new_record(plan, &id, options, variables);
    record.snapshot = match &plan.again {
        Some(again) => again.kept.snapshot.clone(),
        None => snapshot::Store::looking(&dirs.cache).scan(&plan.snapshot_spec(), &plan.listing)?.id().to_string(),
    };
    let environment = plan.inspection.id.clone().unwrap_or_else(|| EnvironmentId::new("unresolved"));
    record.environment = environment.to_string();
    record.config_digest = plan.config_digest();
    record.digest = digest(&record.config_digest, &record.snapshot, &record.environment);
    let past = if chosen.is_some() { past(&record, &plan.keys(), options, dirs)? } else { Past::New };
    let connection = connection(plan);
    record.tracking = connection.as_ref().map(|connection| TrackingRecord {
        uri: connection.uri.clone(),
        managed: connection.managed,
        experiment_id: AT_SUBMISSION.to_owned(),
        run_id: AT_SUBMISSION.to_owned(),
        url: String::new(),
        typed: plan.typed(),
        closed: false,
        by_target: false,
    });
    let tags = tracking::tags(&tag_facts(plan, &record, plan.git().0.as_ref()));
    let archive = dirs.cache.join("snapshots").join(format!("{}.zip", record.snapshot));
    let mut environment = site::place(&plan.run.target.value, dirs, &environment);
    environment.definition.clone_from(&plan.inspection.definition);
    let parts = Parts {
        plan,
        archive: &archive,
        environment,
        ways: &plan.ways,
        connection: connection.as_ref(),
        record: &record,
        tags: &tags,
        data: &dirs.data,
        variables,
    };
    let mut spec = parts.spec();
    for (name, value) in &mut spec.variables {
        if may_be_secret(name) {
            HIDDEN.clone_into(value);
        }
    }
    let bootstrap = plan.target.0.render(&spec)?;
    let travels = match plan.run.target.value.config {
        TargetConfig::Docker(_) => "over the bootstrap's standard input: in no file, and in nothing that the container engine keeps",
        TargetConfig::AzureMl(_) => "among the job's variables, in clear: whoever reads the workspace reads them",
        _ => "in a file of mode 0600 that the bootstrap reads and removes before the command starts",
    };
    let mut secrets: Vec<SecretVariable> = parts.launch(None).secrets.into_keys().map(|name| SecretVariable { name, travels }).collect();
    if connection.is_some() {
        // Known once the relay runs, beside the job.
        let relayed = tracking::through_relay(&format!("http://127.0.0.1:{AT_SUBMISSION}"), &Secret::new(HIDDEN), &spec.variables);
        for (name, value) in relayed {
            if value.expose().contains(HIDDEN) {
                secrets.push(SecretVariable { name, travels });
            } else {
                spec.variables.push((name, value.expose().to_owned()));
            }
        }
    }
    let names = place::names(&spec);
    let nodes = if spec.nodes > 1 { (0..spec.nodes).map(|rank| node::variables(rank, &names)).collect() } else { Vec::new() };
    Ok(Rehearsal { nodes, id, is_chosen: chosen.is_some(), past, spec, bootstrap, secrets })
}

/// Returns how the job would reach the tracker; a managed server that does not run yet has a stand-in for its port.
fn connection(plan: &Plan) -> Option<Connection> {
    match &plan.tracker {
        Tracker::None | Tracker::Workspace => None,
        Tracker::Managed { uri: Some(uri), .. } => Some(Connection::managed(uri.clone())),
        Tracker::Managed { uri: None, .. } => {
            Some(Connection { uri: format!("http://127.0.0.1:{AT_SUBMISSION}"), auth: Credentials::None, managed: true })
        }
        Tracker::Remote { connection, .. } => Some((**connection).clone()),
    }
}

/// Returns what is known here of a job that a service has; only a submission asks there.
fn by_service(known: &Record, attempt: &Attempt) -> Result<Finding, Error> {
    Ok(match (attempt.outcome()?, &known.state) {
        (Some(outcome), _) => Finding::Ended(outcome),
        (None, JobState::Preparing) => Finding::Unclaimed,
        (None, state) => Finding::Alive(state.clone()),
    })
}

/// Looks for a job of this id without settling anything about it.
fn past(wanted: &Record, keys: &Keys, options: &Options, dirs: &Dirs) -> Result<Past, Error> {
    // Opening the store would make one.
    if !dirs.data.join("jobs.db").exists() {
        return Ok(Past::New);
    }
    let Some(mut known) = Store::open(&dirs.data)?.get(&wanted.id)? else { return Ok(Past::New) };
    let attempt = Attempt::new(&dirs.data, &known.id, known.attempt);
    match if known.address.is_some() { by_service(&known, &attempt)? } else { attempt.find()? } {
        Finding::Alive(state) => known.state = state,
        Finding::Ended(outcome) => known.state = JobState::from_outcome(outcome),
        Finding::Unclaimed | Finding::Tombstoned | Finding::Abandoned { .. } => {}
    }
    if known.state == JobState::Preparing {
        return Ok(Past::Resumed);
    }
    let before = kept::keys(&Attempt::new(&dirs.data, &known.id, known.attempt));
    let request = Wanted { config: &wanted.config_digest, snapshot: &wanted.snapshot, environment: &wanted.environment, keys };
    Ok(match decide(&known, &request, options.new_attempt, before.as_ref()) {
        Ok(Decision::Adopt) => Past::Adopted(known.state),
        Ok(Decision::NextAttempt) => Past::NextAttempt(known.attempt + 1),
        Err(error) => Past::Refused(Box::new(error)),
    })
}

/// Returns whether a variable's name says that its value is nobody's business.
fn may_be_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "API_KEY", "ACCESS_KEY", "PRIVATE_KEY"].iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_say_secret_are_hidden() {
        for name in ["HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "db_password", "OPENAI_API_KEY"] {
            assert!(may_be_secret(name), "{name}");
        }
        for name in ["PATH", "OMP_NUM_THREADS", "MLFLOW_RUN_ID", "KEYBOARD"] {
            assert!(!may_be_secret(name), "{name}");
        }
    }
}
