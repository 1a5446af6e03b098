//! The rules that leave entries out: one matcher for every target.
//!
//! Weakest first: nested `.gitignore` files (with those above, up to the repository's root) or, where the source directory has an
//! `.amlignore`, those instead; `.sendoffignore`; what is never sent ([`NEVER`], virtual environments); `include:`. Of two files of one kind
//! the deeper one decides, and of two lines the later one, as in git. A repository inside the source directory has rules of its own: git's
//! rules from above it end there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder, Glob};

use super::error::Error;
use crate::support::fs::{self, Context};

/// Folders that are never sent, by name.
const NEVER: [&str; 10] =
    [".git", ".hg", ".svn", ".venv", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".ipynb_checkpoints", "mlruns"];

/// The file whose presence makes a folder a virtual environment.
pub(super) const VENV: &str = "pyvenv.cfg";

const OURS: &str = ".sendoffignore";
const AZURE: &str = ".amlignore";
const GIT: &str = ".gitignore";

/// The start of the names of files that another submission leaves for a moment, to see who sees them.
const PROBE: &str = ".sendoff-probe-";

/// Returns whether an entry is never sent: a folder by its name, the file that stands for `.git` where git keeps a repository elsewhere, a
/// probe of ours.
pub(super) fn is_never(name: &str, is_folder: bool) -> bool {
    if is_folder { NEVER.contains(&name) } else { name == ".git" || name.starts_with(PROBE) }
}

/// Keeps a folder of ours out of every snapshot, by a rule that a person can read and remove; rules that are there stay.
pub fn keep_out(folder: &Path) -> Result<(), fs::Error> {
    let path = folder.join(OURS);
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    std::fs::write(&path, "# Written by `sendoff download`: what a job has left is not sent with the next one.\n*\n")
        .context("write", &path)
}

/// Reads patterns of the run config.
pub(super) fn matcher(patterns: &[String]) -> Result<Gitignore, Error> {
    let mut builder = GitignoreBuilder::new("");
    for pattern in patterns {
        builder.add_line(None, pattern).map_err(|source| Error::Pattern { pattern: pattern.clone(), source })?;
    }
    builder.build().map_err(|source| Error::Pattern { pattern: patterns.join(", "), source })
}

/// The rules that hold in a folder: of its own files, and of those above it.
#[derive(Debug)]
pub(super) struct Rules {
    above: Option<Arc<Rules>>,
    /// Bytes of a path that lead to this folder; the rest is what its rules see.
    prefix: usize,
    ours: Option<Gitignore>,
    shared: Option<Gitignore>,
    /// The name of the files that are shared with other tools: git's or Azure ML's.
    kind: &'static str,
    /// Whether git's rules from above end here.
    is_repository: bool,
}

/// A file of rules that could not be read.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) path: PathBuf,
    pub(super) reason: String,
}

impl Rules {
    /// Returns what holds above a root, and the path from there to the root, with a slash at its end when it is not empty.
    pub(super) fn above(root: &Path) -> Result<(Arc<Self>, String), Unreadable> {
        let kind = if root.join(AZURE).is_file() { AZURE } else { GIT };
        let mut rules = Arc::new(Self { above: None, prefix: 0, ours: None, shared: None, kind, is_repository: false });
        let mut way = String::new();
        let repository = root.ancestors().find(|folder| folder.join(".git").exists());
        if let Some(repository) = repository.filter(|repository| kind == GIT && *repository != root)
            && let Some(relative) = root.strip_prefix(repository).ok().and_then(Path::to_str)
        {
            let mut folder = repository.to_owned();
            for name in relative.split(std::path::MAIN_SEPARATOR) {
                let has = |file: &str| folder.join(file).is_file();
                rules = rules.below(&folder, &way, has)?;
                folder.push(name);
                way.push_str(name);
                way.push('/');
            }
        }
        Ok((rules, way))
    }

    /// Returns what holds in a folder at a path, which ends with a slash or is empty; `has` tells which entries the folder has.
    pub(super) fn below(self: &Arc<Self>, folder: &Path, path: &str, has: impl Fn(&str) -> bool) -> Result<Arc<Self>, Unreadable> {
        let is_repository = has(".git");
        let read = |name: &str| if has(name) { read(&folder.join(name)).map(Some) } else { Ok(None) };
        let (ours, shared) = (read(OURS)?, read(self.kind)?);
        if ours.is_none() && shared.is_none() && !is_repository {
            return Ok(self.clone());
        }
        Ok(Arc::new(Self { above: Some(self.clone()), prefix: path.len(), ours, shared, kind: self.kind, is_repository }))
    }

    /// Returns the rule that decides over an entry, if there is one; the folders above the entry are not ignored.
    pub(super) fn decide(&self, path: &str, is_folder: bool) -> Match<&Glob> {
        for level in self.levels() {
            if let Some(ours) = &level.ours {
                let decision = ours.matched(&path[level.prefix..], is_folder);
                if !decision.is_none() {
                    return decision;
                }
            }
        }
        for level in self.levels() {
            if let Some(shared) = &level.shared {
                let decision = shared.matched(&path[level.prefix..], is_folder);
                if !decision.is_none() {
                    return decision;
                }
            }
            if level.is_repository && self.kind == GIT {
                break;
            }
        }
        Match::None
    }

    /// Returns this folder's rules and those above it, the deepest first.
    fn levels(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |level| level.above.as_deref())
    }
}

fn read(path: &Path) -> Result<Gitignore, Unreadable> {
    let mut builder = GitignoreBuilder::new("");
    // A line that cannot be read is passed over, as git does.
    if let Some(error) = builder.add(path)
        && let Some(error) = error.io_error()
    {
        return Err(Unreadable { path: path.to_owned(), reason: error.to_string() });
    }
    builder.build().map_err(|error| Unreadable { path: path.to_owned(), reason: error.to_string() })
}
