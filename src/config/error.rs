//! What can be wrong with a run config or settings.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::support::fs;
use crate::support::hints::Hints;
use crate::support::words::{Count, all_of};
use crate::support::yaml::Finding;

/// A run config cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no run config in this folder.
    #[error("could not find a run config in `{}`", .0.display())]
    NoRunConfig(PathBuf),
    /// The file is not there.
    #[error("could not find the run config `{}`", .0.display())]
    Missing(PathBuf),
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
            Self::NoRunConfig(_) => vec![
                "write one with `sendoff init`".to_owned(),
                "or submit a Python file as it stands: `sendoff submit train.py`".to_owned(),
            ],
            Self::Missing(_) => vec!["`sendoff submit` without a name looks for `run.yaml` in this folder".to_owned()],
            Self::File(error) => error.hints(),
            Self::NotText(_) => vec!["save it as UTF-8".to_owned()],
            Self::Findings(_) | Self::Template(_) => Vec::new(),
        }
    }
}
