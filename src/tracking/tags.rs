//! The tags of a job's MLflow run.

/// What the tags tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The job.
    pub job_id: String,
    /// The target's name.
    pub target: String,
    /// The snapshot.
    pub snapshot: String,
    /// The environment.
    pub environment: String,
    /// Who submits.
    pub user: String,
    /// The script or command.
    pub source: String,
    /// The commit.
    pub commit: Option<String>,
    /// The branch.
    pub branch: Option<String>,
    /// The repository's address.
    pub remote: Option<String>,
    /// Whether the tree differed from the commit.
    pub dirty: bool,
    /// What the job is about; `None` says which job it is, and where.
    pub description: Option<String>,
    /// The user's own.
    pub own: Vec<(String, String)>,
}

/// Characters that a value may have (MLflow cuts longer ones silently).
const MAX_VALUE: usize = 8000;

/// Returns the tags, the user's own last.
pub fn tags(facts: &Facts) -> Vec<(String, String)> {
    let mut tags = vec![
        ("sendoff.job_id", facts.job_id.clone()),
        ("sendoff.target", facts.target.clone()),
        ("sendoff.snapshot", facts.snapshot.clone()),
        ("sendoff.environment", facts.environment.clone()),
        ("mlflow.user", facts.user.clone()),
        ("mlflow.source.name", facts.source.clone()),
        ("mlflow.source.type", "JOB".to_owned()),
        (
            "mlflow.note.content",
            facts.description.clone().unwrap_or_else(|| format!("Submitted by sendoff as job `{}` to `{}`.", facts.job_id, facts.target)),
        ),
    ];
    tags.extend(facts.commit.clone().map(|commit| ("mlflow.source.git.commit", commit)));
    tags.extend(facts.branch.clone().map(|branch| ("mlflow.source.git.branch", branch)));
    tags.extend(facts.remote.clone().map(|remote| ("mlflow.source.git.repoURL", remote)));
    if facts.commit.is_some() {
        tags.push(("sendoff.git_dirty", facts.dirty.to_string()));
    }
    let named = tags.into_iter().map(|(key, value)| (key.to_owned(), value));
    named.chain(facts.own.iter().cloned()).map(|(key, value)| (key, value.chars().take(MAX_VALUE).collect())).collect()
}
