//! The walk over a source directory, on all cores: level by level, so that no depth of folders exhausts the stack.
//!
//! A folder is read before its entries are looked at, so its files of rules are found without asking for each by name, and a file that is
//! left out costs no look at its metadata.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::{DirEntry, FileType};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::Match;
use rayon::prelude::*;

use super::entry::{self, Entry};
use super::error::Problem;
use super::listing::File;
use super::rules::{self, Rules};

/// Which entries a walk passes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// What the files of rules ignore, and what is never sent.
    Ignored,
    /// Only what is never sent.
    Never,
}

/// What a walk has found, in no order.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The files.
    pub(super) files: Vec<File>,
    /// Entries that cannot be packed.
    pub(super) problems: Vec<Problem>,
    /// Entries that are left out.
    pub(super) left_out: Vec<LeftOut>,
}

/// An entry that is left out; nothing below a folder that is left out is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// Its path relative to the root, with a slash at the end of a folder.
    pub(super) path: String,
    /// Why.
    pub(super) reason: Reason,
}

/// Why an entry is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reason {
    /// A line of a file of rules.
    Rule {
        /// The file.
        file: PathBuf,
        /// The line's pattern.
        pattern: String,
    },
    /// It is a cache, a repository or a virtual environment.
    Never,
    /// It is a folder that holds nothing.
    Empty,
    /// It is neither file, folder nor link.
    Special,
}

/// Walks a source directory, whose path is canonical.
pub(super) fn walk(root: &Path, without: Scope) -> Found {
    let mut found = Found::default();
    let (rules, way) = match Rules::above(root) {
        Ok((rules, way)) => (Some(rules).filter(|_| without == Scope::Ignored), way),
        Err(unreadable) => {
            found.problems.push(Problem { path: unreadable.path.display().to_string(), reason: unreadable.reason });
            return found;
        }
    };
    let walk = Walk { root, way: &way };
    let mut level = vec![Folder { path: String::new(), rules }];
    while !level.is_empty() {
        let read: Vec<(Found, Vec<Folder>)> = level.into_par_iter().map(|folder| walk.folder(&folder)).collect();
        level = Vec::new();
        for (part, below) in read {
            found.append(part);
            level.extend(below);
        }
    }
    found
}

struct Walk<'a> {
    root: &'a Path,
    /// The path from the repository's root to this one.
    way: &'a str,
}

/// A folder to look into.
struct Folder {
    /// Its path relative to the root, with a slash at its end; empty for the root.
    path: String,
    /// The rules from above it; `None` when none count.
    rules: Option<Arc<Rules>>,
}

struct Child {
    name: OsString,
    kind: FileType,
    entry: DirEntry,
}

impl Walk<'_> {
    fn folder(&self, folder: &Folder) -> (Found, Vec<Folder>) {
        let mut found = Found::default();
        let place = self.root.join(&folder.path);
        let children = match children(&place) {
            Ok(children) => children,
            Err(error) => {
                let path = if folder.path.is_empty() { "." } else { folder.path.trim_end_matches('/') };
                found.problems.push(Problem { path: path.to_owned(), reason: error.to_string() });
                return (found, Vec::new());
            }
        };
        let has = |name: &str| children.iter().any(|child| child.name == name);
        let is_root = folder.path.is_empty();
        if !is_root && (children.is_empty() || has(rules::VENV)) {
            let reason = if children.is_empty() { Reason::Empty } else { Reason::Never };
            found.left_out.push(LeftOut { path: folder.path.clone(), reason });
            return (found, Vec::new());
        }
        let full = format!("{}{}", self.way, folder.path);
        let rules = match folder.rules.as_ref().map(|rules| rules.below(&place, &full, has)).transpose() {
            Ok(rules) => rules,
            Err(unreadable) => {
                let path = unreadable.path.strip_prefix(self.root).unwrap_or(&unreadable.path).display().to_string();
                found.problems.push(Problem { path, reason: unreadable.reason });
                return (found, Vec::new());
            }
        };
        let mut below = Vec::new();
        let mut kept = Vec::with_capacity(children.len());
        let mut full = full;
        let parent = full.len();
        for child in children {
            let name = child.name.to_string_lossy();
            let is_folder = child.kind.is_dir();
            full.truncate(parent);
            full.push_str(&name);
            let path = &full[self.way.len()..];
            let reason = if rules::is_never(&name, is_folder) {
                Some(Reason::Never)
            } else {
                rules.as_ref().and_then(|rules| match rules.decide(&full, is_folder) {
                    Match::Ignore(glob) => {
                        Some(Reason::Rule { file: glob.from().unwrap_or(Path::new("")).to_owned(), pattern: glob.original().to_owned() })
                    }
                    Match::None | Match::Whitelist(_) => None,
                })
            };
            let slash = if is_folder { "/" } else { "" };
            if let Some(reason) = reason {
                found.left_out.push(LeftOut { path: format!("{path}{slash}"), reason });
            } else if matches!(name, Cow::Owned(_)) {
                let name = entry::shown(&child.name);
                found.problems.push(Problem { path: format!("{}{name}", folder.path), reason: "its name is not UTF-8".to_owned() });
            } else if is_folder {
                below.push(Folder { path: format!("{path}/"), rules: rules.clone() });
            } else {
                kept.push((path.to_owned(), child.entry));
            }
        }
        // A folder of very many files is looked at by more than one core.
        let entries: Vec<Entry> =
            kept.into_par_iter().with_min_len(256).map(|(path, entry)| entry::read(self.root, path, &entry)).collect();
        for entry in entries {
            match entry {
                Entry::File(file) => found.files.push(file),
                Entry::Special(path) => found.left_out.push(LeftOut { path, reason: Reason::Special }),
                Entry::Problem(problem) => found.problems.push(problem),
            }
        }
        (found, below)
    }
}

fn children(folder: &Path) -> io::Result<Vec<Child>> {
    std::fs::read_dir(folder)?
        .map(|entry| {
            let entry = entry?;
            Ok(Child { name: entry.file_name(), kind: entry.file_type()?, entry })
        })
        .collect()
}

impl Found {
    fn append(&mut self, mut other: Self) {
        self.files.append(&mut other.files);
        self.problems.append(&mut other.problems);
        self.left_out.append(&mut other.left_out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the `ignore` crate's own walker finds, by the same rules.
    fn by_the_crate(root: &Path) -> Vec<String> {
        let mut walker = ignore::WalkBuilder::new(root);
        walker.hidden(false).ignore(false).git_global(false).git_exclude(false).require_git(false).parents(false);
        walker.add_custom_ignore_filename(".sendoffignore");
        let files =
            walker.build().map(|entry| entry.expect("readable")).filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()));
        let mut paths: Vec<String> =
            files.map(|entry| entry.path().strip_prefix(root).expect("below the root").display().to_string()).collect();
        paths.sort();
        paths
    }

    fn by_us(root: &Path) -> Vec<String> {
        let mut paths: Vec<String> = walk(root, Scope::Ignored).files.into_iter().map(|file| file.path).collect();
        paths.sort();
        paths
    }

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("it is below the root")).expect("writable");
        std::fs::write(path, text).expect("writable");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn the_rules_mean_what_the_crate_makes_of_them(
            files in proptest::collection::btree_set("(a/|b/){0,2}(f|g)[.](x|y)", 1..12),
            rules in proptest::collection::btree_map(
                "(a/|b/){0,2}[.](git|sendoff)ignore",
                proptest::collection::vec(r"!?/?(a|b|f|g|\*\*|\*)?(/|[.]x|[.]\*|/f\*|/\*[.]y)?", 1..4),
                0..4,
            ),
        ) {
            let tree = tempfile::tempdir().expect("a temporary folder");
            let root = tree.path().canonicalize().expect("it exists");
            for file in &files {
                write(&root, file, "");
            }
            for (file, lines) in &rules {
                write(&root, file, &lines.join("\n"));
            }
            prop_assert_eq!(by_us(&root), by_the_crate(&root));
        }
    }

    #[test]
    fn rules_hold_from_the_repository_root_down_and_end_at_a_repository_inside() {
        let tree = tempfile::tempdir().expect("a temporary folder");
        let outer = tree.path().canonicalize().expect("it exists");
        for (path, text) in [
            (".gitignore", "*.never-read\n"),
            ("repo/.git/config", ""),
            ("repo/.gitignore", "*.bin\n/src/only-here\n"),
            ("repo/src/a.bin", ""),
            ("repo/src/a.never-read", ""),
            ("repo/src/only-here/x", ""),
            ("repo/src/deep/only-here", ""),
            ("repo/src/vendored/.git/config", ""),
            ("repo/src/vendored/b.bin", ""),
        ] {
            write(&outer, path, text);
        }
        assert_eq!(by_us(&outer.join("repo/src")), ["a.never-read", "deep/only-here", "vendored/b.bin"]);
    }

    #[test]
    fn ours_decide_over_those_of_other_tools() {
        let tree = tempfile::tempdir().expect("a temporary folder");
        let root = tree.path().canonicalize().expect("it exists");
        for (path, text) in
            [(".amlignore", "*.x\n!keep.y\n"), (".sendoffignore", "!a.x\nkeep.y\n"), ("a.x", ""), ("b.x", ""), ("keep.y", "")]
        {
            write(&root, path, text);
        }
        assert_eq!(by_us(&root), [".amlignore", ".sendoffignore", "a.x"]);
    }

    #[test]
    fn folders_may_be_as_deep_as_the_system_lets_them_be() {
        let tree = tempfile::tempdir().expect("a temporary folder");
        let root = tree.path().canonicalize().expect("it exists");
        let deep = "d/".repeat(1500);
        write(&root, &format!("{deep}f"), "");
        assert_eq!(by_us(&root), [format!("{deep}f")]);
    }
}
