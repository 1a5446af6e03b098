//! What can be wrong with a run config or settings.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::support::fs;
use crate::support::hints::Hints;
use crate::support::words::{Count, all_of, any_of};
use crate::support::yaml::Finding;

/// A run config cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no run config in this folder.
    #[error("could not find a run config in `{}`", folder.display())]
    NoRunConfig {
        /// The folder.
        folder: PathBuf,
        /// Files in it that may be one under another name: other YAML files, Python files, notebooks.
        candidates: Vec<String>,
    },
    /// The file is not there.
    #[error("could not find `{}`", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
        /// A file of nearly this name.
        near: Option<String>,
    },
    /// There is a run config already.
    #[error("`{}` is there already", .0.display())]
    Exists(PathBuf),
    /// The file is one of another tool's.
    #[error("`{}` is {what}, and reading those is not built yet", file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The file holds settings.
    #[error("`{}` holds settings, not a run config", .0.display())]
    IsSettings(PathBuf),
    /// A file refused.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The template of `init` could not be rendered.
    #[error(transparent)]
    Template(#[from] crate::support::template::Error),
    /// A file is not text.
    #[error("could not read `{}` as UTF-8 text", .0.display())]
    NotText(PathBuf),
    /// Everything that is wrong in the files.
    #[error("found {} in {}", Count(.0.len(), "problem"), files(.0))]
    Findings(Vec<Finding>),
}

/// Names the files that findings stand in, each once.
fn files(findings: &[Finding]) -> String {
    let names: BTreeSet<String> = findings.iter().map(|finding| finding.place.source.name.display().to_string()).collect();
    all_of(names)
}

impl Hints for Error {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoRunConfig { candidates, .. } => {
                let mut hints = vec!["write one with `sendoff init`, which makes a `run.yaml`".to_owned()];
                match candidates.as_slice() {
                    [] => hints.push("or, if it is elsewhere, name it: `sendoff submit path/to/train.py`".to_owned()),
                    [only] => hints.push(format!("or name the file: `sendoff submit {only}`")),
                    [first, ..] => {
                        hints.push(format!("or name one of {}: `sendoff submit {first}`", any_of(candidates.iter().take(5))));
                    }
                }
                hints
            }
            Self::Missing { near, .. } => match near {
                Some(near) => vec![format!("did you mean `{near}`?")],
                None => vec!["the path starts at the folder that you are in; without one, `run.yaml` of this folder is taken".to_owned()],
            },
            Self::Foreign { .. } => vec!["write it as a run config: `sendoff init` makes one".to_owned()],
            Self::Exists(file) => vec![format!("change it, or move it away first: `mv {0} {0}.old`", file.display())],
            Self::IsSettings(_) => {
                vec!["settings are checked with every run config below them: `sendoff check run.yaml`".to_owned()]
            }
            Self::File(error) => error.hints(),
            Self::NotText(_) => vec!["save it as UTF-8".to_owned()],
            Self::Findings(_) | Self::Template(_) => Vec::new(),
        }
    }
}
