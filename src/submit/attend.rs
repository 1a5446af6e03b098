//! Jobs that outlive their supervisors: who asks about one that nobody watches over has it watched over again.

use std::collections::BTreeMap;

use super::closing::Task;
use super::{Error, Jobs};
use crate::job::attempt::Attempt;
use crate::job::{JobState, Launch, Record};
use crate::support::secret::Secret;
use crate::support::words::all_of;
use crate::target::Presence;
use crate::tracking::Relaying;

impl Jobs {
    /// Lets jobs that were never started have the secrets that they name from the environment of this command: it submits them.
    #[must_use]
    pub fn with_secrets(self) -> Self {
        Self { gives_secrets: true, ..self }
    }

    /// Asks the target of a job about it, and has it watched over again when nobody does. The answer never is that nobody does.
    pub(super) async fn ask(&self, record: &Record) -> Result<Presence, Error> {
        let seen = self.look(record).await?;
        self.attend(record, seen).await
    }

    /// Asks the target of a job about it, and changes nothing.
    pub(super) async fn look(&self, record: &Record) -> Result<Presence, Error> {
        let target = self.target(record);
        Ok(target.states(&[Self::reference(record)]).await?.pop().unwrap_or(Presence::Absent))
    }

    /// Has a job watched over that nobody watches over; any other is as it was seen.
    pub(super) async fn attend(&self, record: &Record, seen: Presence) -> Result<Presence, Error> {
        if matches!(seen, Presence::Present(_) | Presence::Absent) {
            return Ok(seen);
        }
        let launch = self.launch_again(record);
        if let Presence::Unstarted { since } = seen
            && let Some(reason) = self.lacks(record, &launch)
        {
            return Ok(Presence::Present(JobState::Queued { since, reason }));
        }
        self.target(record).attend(&Self::reference(record), &launch).await?;
        let word = || JobState::Unknown { word: "unattended".to_owned() };
        Ok(match self.look(record).await? {
            // A supervisor that died at once: the next command starts another.
            Presence::Unattended | Presence::Unstarted { .. } => Presence::Present(word()),
            seen => seen,
        })
    }

    /// Says why a job that was never started cannot be started by this command.
    pub(super) fn unstartable(&self, record: &Record) -> Option<String> {
        self.lacks(record, &self.launch_again(record))
    }

    fn lacks(&self, record: &Record, launch: &Launch) -> Option<String> {
        let spec = self.attempt(record).spec().ok().flatten()?;
        let missing = launch.lacks(&spec);
        let because = "because its supervisor died before it was started";
        if !missing.is_empty() {
            return Some(format!("the same `submit` where {} set, {because}", are(&missing)));
        }
        (spec.preflight && launch.closing.is_none())
            .then(|| format!("the same `submit`, which starts the server that tracks it, {because}"))
    }

    /// Returns what a job needs whose supervisor died: the way to its tracker; and its secrets, if this command may give them.
    pub(super) fn launch_again(&self, record: &Record) -> Launch {
        let task = self.connection(record).zip(record.tracking.as_ref()).map(|(connection, tracking)| Task {
            connection,
            run_id: tracking.run_id.clone(),
            injected: None,
            relaying: Relaying::default(),
        });
        let closing = task.map(|task| Secret::new(serde_json::to_string(&task).expect("a task is plain data")));
        Launch { closing, secrets: self.own_secrets(record), ..Launch::default() }
    }

    fn own_secrets(&self, record: &Record) -> BTreeMap<String, Secret> {
        let named = if self.gives_secrets { self.attempt(record).spec().ok().flatten().map(|spec| spec.secrets) } else { None };
        let value = |name: String| self.variables.get(&name).map(Secret::new).map(|value| (name, value));
        named.unwrap_or_default().into_iter().filter_map(value).collect()
    }

    pub(super) fn attempt(&self, record: &Record) -> Attempt {
        Attempt::new(&self.dirs.data, &record.id, record.attempt)
    }
}

/// Returns the names with the verb that fits their number.
fn are(names: &[String]) -> String {
    format!("{} {}", all_of(names), if names.len() == 1 { "is" } else { "are" })
}
