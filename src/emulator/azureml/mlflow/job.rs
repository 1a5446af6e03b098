//! A job is its own MLflow run: made before the job starts, closed by the service when it ended.

use std::collections::BTreeMap;

use http::Method;
use hyper::http;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::ids::{Ids, Kind};
use super::{Error, Plane};
use crate::support::azure::Scope;
use crate::support::clock;

/// The tag by which a run that was made, but not entered into the map, is found again.
pub(super) const MARK: &str = "sendoff.emulated_job";

/// What a job's MLflow run is made of.
#[derive(Debug, Clone)]
pub struct JobRun {
    /// Its workspace.
    pub scope: Scope,
    /// The job's name, which is the run's id.
    pub job: String,
    /// Its experiment, made when there is none.
    pub experiment_name: String,
    /// Its display name.
    pub run_name: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// What becomes of a run, in MLflow's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    /// It has not begun.
    Scheduled,
    /// It goes on.
    Running,
    /// It succeeded.
    Finished,
    /// It failed.
    Failed,
    /// It was cancelled.
    Killed,
}

impl RunStatus {
    /// Returns MLflow's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Scheduled => "SCHEDULED",
            Self::Running => "RUNNING",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Killed => "KILLED",
        }
    }
}

/// A run as the workspace shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// Its id.
    pub run_id: String,
    /// Its experiment's id: a GUID.
    pub experiment_id: String,
    /// Its experiment's name.
    pub experiment_name: String,
    /// Its name.
    pub run_name: String,
    /// MLflow's word for its state.
    pub status: String,
    /// When it began, in milliseconds since 1970.
    pub started_at: Option<i64>,
    /// When it ended, in milliseconds since 1970.
    pub ended_at: Option<i64>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl Plane {
    /// Makes the run of a job, or finds the one that was made, and returns it.
    ///
    /// Making runs is not idempotent behind: a run that was made by a process that died before it could enter it is found by a tag.
    pub async fn open_job(&self, job: &JobRun) -> Result<Shown, Error> {
        if let Some(shown) = self.shown(&job.scope, &job.job).await? {
            return Ok(shown);
        }
        let ids = self.maps.of(&job.scope);
        let experiment = self.experiment(&ids, &job.experiment_name).await?;
        let mark = format!("{}/jobs/{}", job.scope.to_string().to_lowercase(), job.job);
        let filter = format!("tags.`{MARK}` = '{mark}'");
        let asked = json!({ "experiment_ids": [experiment], "filter": filter, "max_results": 1 });
        let found = self.inner.get(&Method::POST, "runs/search", asked).await?.unwrap_or_default();
        let run = match found.pointer("/runs/0/info/run_id").and_then(Value::as_str) {
            Some(run) => run.to_owned(),
            None => {
                let mark = (MARK.to_owned(), mark);
                let tags: Vec<Value> =
                    job.tags.clone().into_iter().chain([mark]).map(|(key, value)| json!({ "key": key, "value": value })).collect();
                let now = clock::now().as_millisecond();
                let asked = json!({ "experiment_id": experiment, "run_name": job.run_name, "start_time": now, "tags": tags });
                let made = self.inner.get(&Method::POST, "runs/create", asked).await?.unwrap_or_default();
                made.pointer("/run/info/run_id").and_then(Value::as_str).unwrap_or_default().to_owned()
            }
        };
        ids.enter(Kind::Run, &job.job, &run)?;
        self.set_status(&job.scope, &job.job, RunStatus::Scheduled, None).await?;
        self.shown(&job.scope, &job.job).await?.ok_or_else(|| Error::Refused {
            act: "runs/get".to_owned(),
            status: 404,
            message: "it is gone".to_owned(),
        })
    }

    /// Sets what has become of a job's run; its end is given with a final status. A run that is not known is left alone.
    pub async fn set_status(&self, scope: &Scope, run: &str, status: RunStatus, ended_at: Option<Timestamp>) -> Result<(), Error> {
        let Some(inner) = self.maps.of(scope).inner(Kind::Run, run)? else { return Ok(()) };
        let mut asked = json!({ "run_id": inner, "status": status.word() });
        if let Some(end) = ended_at {
            asked["end_time"] = end.as_millisecond().into();
        }
        self.inner.get(&Method::POST, "runs/update", asked).await.map(drop)
    }

    /// Returns whether the workspace has a run of this id, or a logged model, which has artifacts of its own when no run made it.
    pub fn has(&self, scope: &Scope, run: &str) -> bool {
        let ids = self.maps.of(scope);
        [Kind::Run, Kind::Model].into_iter().any(|kind| matches!(ids.inner(kind, run), Ok(Some(_))))
    }

    /// Returns a run by Azure's id; `None` when the workspace has none.
    pub async fn shown(&self, scope: &Scope, run: &str) -> Result<Option<Shown>, Error> {
        let ids = self.maps.of(scope);
        let Some(inner) = ids.inner(Kind::Run, run)? else { return Ok(None) };
        let Some(answer) = self.inner.get(&Method::GET, "runs/get", json!({ "run_id": inner })).await? else { return Ok(None) };
        let info = |key: &str| answer.pointer(&format!("/run/info/{key}"));
        let text = |key: &str| info(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let experiment = text("experiment_id");
        self.learn_name(&ids, &experiment).await?;
        let pair = |tag: &Value| Some((tag.get("key")?.as_str()?.to_owned(), tag.get("value")?.as_str()?.to_owned()));
        let tags = answer.pointer("/run/data/tags").and_then(Value::as_array).into_iter().flatten();
        Ok(Some(Shown {
            run_id: run.to_owned(),
            experiment_id: ids.azure(Kind::Experiment, &experiment)?,
            experiment_name: ids.name(&experiment)?.unwrap_or_default(),
            run_name: text("run_name"),
            status: text("status"),
            started_at: info("start_time").and_then(Value::as_i64),
            ended_at: info("end_time").and_then(Value::as_i64),
            tags: tags.filter_map(pair).collect(),
        }))
    }

    /// Returns an experiment's id behind, making it when there is none and restoring one that was deleted.
    async fn experiment(&self, ids: &Ids, name: &str) -> Result<String, Error> {
        let id_of = |answer: &Value| answer.pointer("/experiment/experiment_id").and_then(Value::as_str).map(str::to_owned);
        let behind = ids.new_name(Kind::ExperimentName, name)?;
        for _ in 0..2 {
            if let Some(answer) = self.inner.get(&Method::GET, "experiments/get-by-name", json!({ "experiment_name": behind })).await?
                && let Some(id) = id_of(&answer)
            {
                if answer.pointer("/experiment/lifecycle_stage").and_then(Value::as_str) == Some("deleted") {
                    self.inner.get(&Method::POST, "experiments/restore", json!({ "experiment_id": id })).await?;
                }
                ids.note_name(&id, name)?;
                return Ok(id);
            }
            // Somebody else may make it at the same moment: then it is there at the second look.
            let made = self.inner.get(&Method::POST, "experiments/create", json!({ "name": behind })).await;
            if let Err(error @ Error::Refused { .. }) = made
                && !error.to_string().contains("already exists")
            {
                return Err(error);
            }
        }
        Err(Error::Refused { act: "experiments/create".to_owned(), status: 404, message: format!("`{name}` is made and not there") })
    }
}
