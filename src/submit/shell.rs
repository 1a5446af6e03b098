//! Opens a shell beside a job.

use super::{Error, Jobs};
use crate::engine::Terminal;
use crate::job::Record;
use crate::job::attempt::Attempt;
use crate::support::secret::Secret;
use crate::target::{Shell, Visit};
use crate::tracking;

impl Jobs {
    /// Opens a shell, or runs a command, where a job runs or would run again. It has the job's variables, and those of its secrets that
    /// the caller's environment has; what attaches the job to its tracker is the job's alone.
    pub async fn shell(&self, record: &Record, node: u32, command: Vec<String>, terminal: Option<Terminal>) -> Result<Shell, Error> {
        self.has_node(record, node)?;
        let spec = Attempt::new(&self.dirs.data, &record.id, record.attempt).spec()?;
        let secrets = spec.map(|spec| spec.secrets).unwrap_or_default().into_iter();
        let visit = Visit {
            command,
            node,
            terminal,
            term: terminal.and_then(|_| self.variables.get("TERM").cloned()),
            secrets: secrets.filter_map(|name| Some((name.clone(), Secret::new(self.variables.get(&name)?)))).collect(),
            without: &tracking::ATTACHING,
        };
        Ok(self.target(record).shell(&Self::reference(record), &visit).await?)
    }
}
