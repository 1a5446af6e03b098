//! Why a tree cannot be packed.

use std::path::PathBuf;

use crate::support::fs;
use crate::support::hints::Hints;
use crate::support::words::{Count, all_of};

/// One entry of a tree that cannot be packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path, relative to the root; bytes that are not UTF-8 are shown as `\xNN`.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A snapshot could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Entries that cannot be packed.
    #[error("could not pack the source directory: {}{}", Count(.0.len(), "entry").to_string().replace("entrys", "entries"), listed(.0))]
    Unpackable(Vec<Problem>),
    /// Files that look like secrets.
    #[error("{} in the source directory look{} like secrets{}", Count(.0.len(), "file"), if .0.len() == 1 { "s" } else { "" }, listed(.0))]
    Secrets(Vec<Problem>),
    /// A file changed twice while it was packed.
    #[error("`{}` changes while it is packed", .0.display())]
    Restless(PathBuf),
    /// There are no files.
    #[error("there is nothing to pack in `{}`", .0.display())]
    Empty(PathBuf),
    /// An `include` or `allow_files` pattern cannot be read.
    #[error("could not read the pattern `{pattern}`")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        #[source]
        source: ignore::Error,
    },
    /// The archive could not be written.
    #[error("could not write the snapshot")]
    Zip(#[source] zip::result::ZipError),
    /// A file refused.
    #[error(transparent)]
    File(#[from] fs::Error),
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().take(20).map(|problem| format!("\n  `{}`: {}", problem.path, problem.reason)).collect()
}

impl Hints for Error {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Unpackable(_) => vec!["remove them, or keep them out with a line in `.sendoffignore`".to_owned()],
            Self::Secrets(problems) => {
                let names: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
                vec![
                    format!("keep {} out with a line in `.sendoffignore`", all_of(names.iter())),
                    format!("or, if sending is meant, write `allow_files: [{}]` in the run config", names.join(", ")),
                ]
            }
            Self::Restless(_) => vec!["wait until nothing writes to it, or keep it out with a line in `.sendoffignore`".to_owned()],
            Self::Empty(_) => vec!["`sendoff snapshot list --why` shows which rule leaves each file out".to_owned()],
            Self::Zip(zip::result::ZipError::Io(error)) if error.kind() == std::io::ErrorKind::StorageFull => {
                vec![
                    "free some space (`sendoff delete` and `sendoff env prune` remove what is no longer needed), or set `SENDOFF_HOME` to a folder elsewhere"
                        .to_owned(),
                ]
            }
            Self::File(error) => error.hints(),
            Self::Pattern { .. } | Self::Zip(_) => Vec::new(),
        }
    }
}
