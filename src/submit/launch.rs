//! Submits: makes what is missing, settles what an earlier client left, journals each step, and hands the job over once.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::closing::Task;
use super::{Error, Jobs, Observer, Plan};
use crate::config::{Entry, Input, Origin, PathKind, placeholders};
use crate::environment::{self, Environment, Environments, Mlflow};
use crate::job::attempt::Attempt;
use crate::job::store::Step;
use crate::job::{Command, Handle, JobId, JobSpec, JobState, Launch, Record, TrackingRecord};
use crate::snapshot::{self, git};
use crate::support::dirs::Dirs;
use crate::support::secret::Secret;
use crate::support::{clock, fault, platform, shell};
use crate::target::{Presence, Target};
use crate::tracking::managed::{self, Managed};
use crate::tracking::{self, Client, Connection, Injection, MlflowRun, Status};

/// How to submit.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--job-id`.
    pub job_id: Option<JobId>,
    /// `--key`.
    pub key: Option<String>,
    /// `--new-attempt`.
    pub new_attempt: bool,
    /// `--upgrade`: resolve the environment again.
    pub upgrade: bool,
}

/// What came of a submission.
#[derive(Debug)]
pub struct Submission {
    /// The job.
    pub record: Record,
    /// Whether it was there already.
    pub adopted: bool,
}

struct Steps<'a>(&'a dyn Observer);

impl environment::Progress for Steps<'_> {
    fn step(&self, step: environment::Step) {
        match step {
            environment::Step::InstallingUv => self.0.step("installing uv"),
            environment::Step::Resolving => self.0.step("resolving the environment's packages"),
            environment::Step::Building { packages } => {
                self.0.step(&format!("building the environment ({})", crate::support::words::Count(packages, "package")));
            }
        }
    }
}

impl managed::Progress for Steps<'_> {
    fn installing(&self) {
        self.0.step("installing the managed MLflow server (once)");
    }

    fn starting(&self) {
        self.0.step("starting the managed MLflow server");
    }
}

/// Submits a plan, or adopts the job that the same request has made before.
pub async fn submit(
    plan: Plan,
    options: Options,
    dirs: &Dirs,
    variables: &BTreeMap<String, String>,
    observer: std::sync::Arc<dyn Observer>,
) -> Result<Submission, Error> {
    let plan = std::sync::Arc::new(plan);
    let (packed, environment, connection) = prepare(&plan, &options, dirs, &observer).await?;
    let mut jobs = Jobs::open(dirs, variables)?;
    if let Some(aside) = &jobs.store.moved_aside {
        observer.warn(&format!("the job store was broken; it was moved to `{}` and made anew from the job folders", aside.display()));
    }
    let id = match (&options.job_id, &options.key) {
        (Some(id), _) => id.clone(),
        (None, Some(key)) => JobId::from_key(key),
        (None, None) => JobId::generate(),
    };
    let config_digest = plan.config_digest();
    let digest: String = Sha256::digest(format!("{config_digest}\n{}\n{}", packed.id, environment.id).as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let _lock = jobs.store.lock(&id)?;
    let mut record = match jobs.store.get(&id)? {
        Some(known) => match settle(&mut jobs, known, &options, &config_digest, &packed, &environment).await? {
            Settled::Adopt(record) => return Ok(Submission { record, adopted: true }),
            Settled::Go(record) => record,
        },
        None => new_record(&plan, &id, &options),
    };
    record.digest.clone_from(&digest);
    record.config_digest = config_digest;
    record.snapshot = packed.id.to_string();
    record.environment = environment.id.to_string();
    record.state = JobState::Preparing;
    let is_new = record.tracking.is_none() && record.attempt == 1;
    jobs.store.put(&record)?;
    fault::point("reserve.after");
    match hand_over(&mut jobs, &plan, &packed, &environment, connection.as_ref(), record.clone(), dirs, variables).await {
        Ok(record) => Ok(Submission { record, adopted: false }),
        Err(error) => {
            undo(&mut jobs, &id, connection.as_ref(), is_new).await;
            Err(error)
        }
    }
}

/// Snapshot, environment and tracker, side by side: what may be made again at no harm.
async fn prepare(
    plan: &std::sync::Arc<Plan>,
    options: &Options,
    dirs: &Dirs,
    observer: &std::sync::Arc<dyn Observer>,
) -> Result<(snapshot::Packed, Environment, Option<Connection>), Error> {
    let packing = {
        let (plan, cache) = (plan.clone(), dirs.cache.clone());
        tokio::task::spawn_blocking(move || {
            let (spec, store) = (plan.snapshot_spec(), snapshot::Store::new(&cache));
            let manifest = store.scan(&spec, &plan.listing)?;
            store.pack(&spec, manifest).map(|(_, packed)| packed)
        })
    };
    let mut spec = plan.environment.clone();
    let remote = match &plan.tracker {
        Some(connection) => {
            let version = Client::new(connection)?.preflight().await?;
            spec.mlflow = Mlflow::Client { server: version };
            Some(connection.clone())
        }
        None => None,
    };
    let building = {
        let (environments, upgrade, observer) = (Environments::new(dirs), options.upgrade, observer.clone());
        tokio::task::spawn_blocking(move || environments.provision(&spec, upgrade, &Steps(observer.as_ref())))
    };
    let tracking = async {
        if !plan.is_managed() {
            return Ok(remote);
        }
        let server = Managed::new(dirs).ensure(&Steps(observer.as_ref())).await?;
        let connection = Connection::managed(server.uri());
        Client::new(&connection)?.preflight().await?;
        Ok::<_, Error>(Some(connection))
    };
    let (packed, environment, connection) = tokio::join!(packing, building, tracking);
    Ok((packed.map_err(|_| Error::Panicked)??, environment.map_err(|_| Error::Panicked)??, connection?))
}

enum Settled {
    Adopt(Record),
    Go(Record),
}

/// Decides what a known id means: the same request is adopted, another is refused, an interrupted one goes on.
async fn settle(
    jobs: &mut Jobs,
    known: Record,
    options: &Options,
    config_digest: &str,
    packed: &snapshot::Packed,
    environment: &Environment,
) -> Result<Settled, Error> {
    let mut record = known;
    if record.state == JobState::Preparing {
        match jobs.target(&record).states(&[Jobs::reference(&record)]).await?.pop() {
            Some(Presence::Present(state)) => {
                jobs.store.conclude(&record.id, record.attempt, Step::Submit, "adopted")?;
                record.state = state;
                jobs.store.put(&record)?;
            }
            _ => {
                // The attempt was given up before it started; its claim is buried, so the next number is used.
                record.attempt += 1;
                return Ok(Settled::Go(record));
            }
        }
    } else {
        record = jobs.refresh(record).await?;
    }
    let mut differences = Vec::new();
    if record.config_digest != config_digest {
        differences.push("run config");
    }
    if record.snapshot != packed.id.as_str() {
        differences.push("snapshot");
    }
    if record.environment != environment.id.as_str() {
        differences.push("environment");
    }
    match &record.state {
        JobState::Failed(_) | JobState::Cancelled(_) | JobState::Lost(_) if options.new_attempt => {
            record.attempt += 1;
            if let Some(tracking) = &mut record.tracking {
                tracking.closed = false;
            }
            Ok(Settled::Go(record))
        }
        JobState::Failed(_) => Err(Error::EndedBefore { id: record.id.to_string(), word: "failed".to_owned() }),
        JobState::Cancelled(_) => Err(Error::EndedBefore { id: record.id.to_string(), word: "was cancelled".to_owned() }),
        JobState::Lost(_) => Err(Error::EndedBefore { id: record.id.to_string(), word: "was lost".to_owned() }),
        _ if !differences.is_empty() => Err(Error::Different { id: record.id.to_string(), differences }),
        _ => Ok(Settled::Adopt(record)),
    }
}

fn new_record(plan: &Plan, id: &JobId, options: &Options) -> Record {
    let handle = Handle { kind: "local".to_owned(), place: platform::host_name(), id: id.to_string() };
    Record {
        version: 1,
        id: id.clone(),
        key: options.key.clone(),
        name: plan.name.clone().unwrap_or_else(|| id.to_string()),
        experiment: plan.experiment.clone(),
        target: plan.run.target.value.name.clone(),
        target_kind: plan.run.target.value.config.kind().word().to_owned(),
        handle: handle.to_string(),
        config_file: plan.run.file.display().to_string(),
        source_directory: plan.run.source_directory.display().to_string(),
        digest: String::new(),
        config_digest: String::new(),
        snapshot: String::new(),
        environment: String::new(),
        tracking: None,
        attempt: 1,
        created_at: clock::now(),
        state: JobState::Preparing,
    }
}

/// The MLflow run, the bundle, the job: journalled, in this order.
#[expect(clippy::too_many_arguments, reason = "the parts of one submission, all made by its caller")]
async fn hand_over(
    jobs: &mut Jobs,
    plan: &Plan,
    packed: &snapshot::Packed,
    environment: &Environment,
    connection: Option<&Connection>,
    mut record: Record,
    dirs: &Dirs,
    variables: &BTreeMap<String, String>,
) -> Result<Record, Error> {
    let id = record.id.clone();
    let facts = if connection.is_some() { git::facts(&plan.run.source_directory) } else { None };
    let tags = tracking::tags(&tag_facts(plan, &record, facts.as_ref()));
    if let Some(connection) = connection {
        let client = Client::new(connection)?;
        let experiment_id = client.experiment(&plan.experiment).await?;
        let run = match &record.tracking {
            Some(tracking) => {
                client.set_status(&tracking.run_id, Status::Running, None).await?;
                client.run(&tracking.run_id).await?
            }
            None => mlflow_run(jobs, &client, &record, &experiment_id, &tags).await?,
        };
        record.tracking = Some(TrackingRecord {
            uri: connection.uri.clone(),
            managed: connection.managed,
            url: connection.run_url(&run.experiment_id, &run.id),
            experiment_id: run.experiment_id.clone(),
            run_id: run.id.clone(),
            typed: matches!(plan.run.tracking.origin, Origin::Flag(_)),
            closed: false,
        });
        jobs.store.put(&record)?;
        fault::point("mlflow-run.after-outcome");
    }
    let (spec, launch) = describe(plan, packed, environment, connection, &record, &tags, dirs, variables);
    let target = jobs.target(&record);
    target.prepare(&spec).await?;
    jobs.store.intend(&id, record.attempt, Step::Submit)?;
    fault::point("submit.after-intent");
    target.submit(&spec, &launch).await?;
    fault::point("submit.after-act");
    jobs.store.conclude(&id, record.attempt, Step::Submit, "submitted")?;
    record.state = JobState::Submitted { at: clock::now() };
    jobs.store.put(&record)?;
    fault::point("submit.after-outcome");
    Ok(record)
}

/// Creates the MLflow run of a job once: an intent of which the outcome is not known is settled by looking for the job's tag.
async fn mlflow_run(
    jobs: &mut Jobs,
    client: &Client,
    record: &Record,
    experiment_id: &str,
    tags: &[(String, String)],
) -> Result<MlflowRun, Error> {
    let mut unresolved = false;
    for attempt in 1..=record.attempt {
        unresolved = unresolved || jobs.store.open_intent(&record.id, attempt, Step::MlflowRun)?;
    }
    // A store that was lost knows no intents; a chosen id may have a past all the same.
    if unresolved || record.attempt > 1 {
        let mut found = client.runs_of_job(experiment_id, record.id.as_str()).await?.into_iter();
        if let Some(first) = found.next() {
            for surplus in found {
                client.set_status(&surplus.id, Status::Killed, Some(clock::now())).await?;
            }
            client.set_status(&first.id, Status::Running, None).await?;
            jobs.store.conclude(&record.id, record.attempt, Step::MlflowRun, &first.id)?;
            return Ok(first);
        }
    }
    jobs.store.intend(&record.id, record.attempt, Step::MlflowRun)?;
    fault::point("mlflow-run.after-intent");
    let run = client.create_run(experiment_id, &record.name, tags).await?;
    fault::point("mlflow-run.after-act");
    jobs.store.conclude(&record.id, record.attempt, Step::MlflowRun, &run.id)?;
    Ok(run)
}

/// Takes back a submission that failed: no half-made job, and no MLflow run left open.
async fn undo(jobs: &mut Jobs, id: &JobId, connection: Option<&Connection>, is_new: bool) {
    let Ok(Some(record)) = jobs.store.get(id) else { return };
    if let (Some(connection), Some(tracking)) = (connection, &record.tracking)
        && let Ok(client) = Client::new(connection)
    {
        let _ = client.set_status(&tracking.run_id, Status::Killed, Some(clock::now())).await;
    }
    if is_new {
        let _ = jobs.store.delete(id);
    }
}

fn tag_facts(plan: &Plan, record: &Record, git: Option<&git::Facts>) -> tracking::Facts {
    let source = match &plan.run.entry {
        Entry::Script(text) | Entry::Notebook(text) | Entry::Command(text) => text.clone(),
    };
    tracking::Facts {
        job_id: record.id.to_string(),
        target: record.target.clone(),
        snapshot: record.snapshot.clone(),
        environment: record.environment.clone(),
        user: platform::user_name(),
        source,
        commit: git.and_then(|git| git.commit.clone()),
        branch: git.and_then(|git| git.branch.clone()),
        remote: git.and_then(|git| git.remote.clone()),
        dirty: git.is_some_and(|git| git.dirty),
        own: plan.run.tags.clone(),
    }
}

/// Turns a plan into what the target is told.
#[expect(clippy::too_many_arguments, reason = "the parts of one submission, all made by its caller")]
fn describe(
    plan: &Plan,
    packed: &snapshot::Packed,
    environment: &Environment,
    connection: Option<&Connection>,
    record: &Record,
    tags: &[(String, String)],
    dirs: &Dirs,
    variables: &BTreeMap<String, String>,
) -> (JobSpec, Launch) {
    let run = &plan.run;
    let attempt = Attempt::new(&dirs.data, &record.id, record.attempt);
    let bin = environment.folder.join("bin").display().to_string();
    let path = variables.get("PATH").map_or("/usr/bin:/bin", String::as_str);
    let mut plain: Vec<(String, String)> = [
        ("PATH", format!("{bin}:{path}")),
        ("VIRTUAL_ENV", environment.folder.display().to_string()),
        ("PYTHONUNBUFFERED", "1".to_owned()),
        ("SENDOFF_JOB_ID", record.id.to_string()),
        ("SENDOFF_TARGET", record.target.clone()),
        ("SENDOFF_ATTEMPT", record.attempt.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    for (name, input) in &run.inputs {
        let value = match input {
            Input::Literal(text) => text.clone(),
            Input::Local { path, .. } => path.display().to_string(),
            Input::OnTarget { path, .. } => path.clone(),
        };
        plain.push((format!("SENDOFF_INPUT_{}", name.to_uppercase()), value.clone()));
        values.insert(format!("inputs.{name}"), value);
    }
    for (name, _) in &run.outputs {
        let value = attempt.path("collected").join(name).display().to_string();
        plain.push((format!("SENDOFF_OUTPUT_{}", name.to_uppercase()), value.clone()));
        values.insert(format!("outputs.{name}"), value);
    }
    plain.extend(run.inherit.iter().filter_map(|name| Some((name.clone(), variables.get(name)?.clone()))));
    plain.extend(run.environment_variables.iter().cloned());
    let mut launch = Launch::default();
    launch.secrets.extend(run.secrets.iter().filter_map(|name| Some((name.clone(), Secret::new(variables.get(name)?)))));
    if let (Some(connection), Some(tracked)) = (connection, &record.tracking) {
        let injection =
            Injection { connection, run_id: &tracked.run_id, experiment_id: &tracked.experiment_id, attach: plan.attach, context: tags };
        let injected = tracking::inject(&injection);
        plain.extend(injected.plain);
        launch.secrets.extend(injected.secret);
        let mut artifacts = vec![
            ("sendoff/run-config.yaml".to_owned(), run.text.clone()),
            ("sendoff/requirements.lock".to_owned(), environment.lock.clone()),
        ];
        artifacts.extend(git::patch(&run.source_directory).map(|patch| ("sendoff/uncommitted.patch".to_owned(), patch)));
        let task = Task { connection: connection.clone(), run_id: tracked.run_id.clone(), artifacts };
        launch.closing = Some(Secret::new(serde_json::to_string(&task).expect("a task is plain data")));
    }
    let command = command(plan, &values, environment, &attempt);
    let spec = JobSpec {
        id: record.id.clone(),
        attempt: record.attempt,
        digest: record.digest.clone(),
        command,
        setup: run.setup.clone(),
        archive: packed.path.clone(),
        snapshot: packed.id.to_string(),
        leases: vec![environment.lease_file.clone()],
        python: environment.python.clone(),
        variables: plain,
        outputs: run.outputs.iter().map(|(name, output)| (name.clone(), output.kind == PathKind::Folder)).collect(),
        cpus: run.resources.cpus,
        memory: run.resources.memory,
        gpus: run.resources.gpus,
        max_duration: run.resources.max_duration,
        grace: run.grace,
        queue: run.target.value.max_jobs.map(|limit| (run.target.value.name.clone(), limit)),
        preflight: connection.is_some(),
    };
    (spec, launch)
}

fn command(plan: &Plan, values: &BTreeMap<String, String>, environment: &Environment, attempt: &Attempt) -> Command {
    let arguments = plan.run.arguments.iter().map(|text| placeholders::substitute(text, |name| values.get(name).cloned()));
    match &plan.run.entry {
        Entry::Script(script) => {
            let python = environment.python.display().to_string();
            Command::Program([python, script.clone()].into_iter().chain(arguments).collect())
        }
        Entry::Notebook(notebook) => {
            let python = environment.python.display().to_string();
            let folder = attempt.path("collected").display().to_string();
            let words = [&python, "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "--output-dir", &folder, notebook];
            Command::Program(words.map(str::to_owned).to_vec())
        }
        Entry::Command(line) => {
            let line = placeholders::substitute(line, |name| values.get(name).map(|value| shell::quote(value)));
            let rest = shell::join(arguments);
            Command::Shell(if rest.is_empty() { line } else { format!("{line} {rest}") })
        }
    }
}
