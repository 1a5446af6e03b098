//! Which files belong to a snapshot: one matcher for every target.
//!
//! Rules, weakest first: nested `.gitignore` files (with those above, up to the repository's root) or, where the source directory has an
//! `.amlignore`, that instead; `.sendoffignore`; what is never sent ([`NEVER`], virtual environments); `include:`.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use ignore::{DirEntry, WalkBuilder, WalkState};

use super::error::{Error, Problem};
use super::manifest::Mode;
use super::{Spec, secrets};

/// Folders that are never sent, by name.
pub(super) const NEVER: [&str; 10] =
    [".git", ".hg", ".svn", ".venv", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".ipynb_checkpoints", "mlruns"];

/// A file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path relative to the root, with forward slashes.
    pub path: String,
    /// What it is.
    pub mode: Mode,
    /// Its size in bytes.
    pub size: u64,
    /// What tells that it has not changed: modification time, change time (nanoseconds), inode.
    pub stamp: (i128, i128, u64),
}

/// The files of a snapshot, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The files.
    pub files: Vec<File>,
    /// Entries that are neither file, folder nor link, and are left out.
    pub skipped: Vec<Problem>,
}

impl Listing {
    /// Returns the sum of the sizes in bytes.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Returns the biggest files, biggest first.
    pub fn biggest(&self, count: usize) -> Vec<&File> {
        let mut files: Vec<&File> = self.files.iter().collect();
        files.sort_by_key(|file| std::cmp::Reverse(file.size));
        files.truncate(count);
        files
    }

    /// Returns the biggest top-level folders and their sizes, biggest first.
    pub fn biggest_folders(&self, count: usize) -> Vec<(String, u64)> {
        let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
        for file in &self.files {
            if let Some((folder, _)) = file.path.split_once('/') {
                *sizes.entry(folder).or_default() += file.size;
            }
        }
        let mut folders: Vec<(String, u64)> = sizes.into_iter().map(|(folder, size)| (folder.to_owned(), size)).collect();
        folders.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        folders.truncate(count);
        folders
    }
}

/// Lists the files of a snapshot; every entry that cannot be packed, and every file that looks like a secret, is reported at once.
pub fn list(spec: &Spec) -> Result<Listing, Error> {
    let root = spec.root.canonicalize().map_err(|source| crate::support::fs::Error { act: "open", path: spec.root.clone(), source })?;
    let found = Mutex::new(Found::default());
    walk(&root, true, &found);
    if !spec.include.is_empty() {
        let wanted = matcher(&spec.include)?;
        let all = Mutex::new(Found::default());
        walk(&root, false, &all);
        let all = all.into_inner().unwrap_or_default();
        let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let have: std::collections::HashSet<String> = found.files.iter().map(|file| file.path.clone()).collect();
        let more = all
            .files
            .into_iter()
            .filter(|file| !have.contains(&file.path) && wanted.matched_path_or_any_parents(&file.path, false).is_ignore());
        found.files.extend(more);
    }
    let mut found = found.into_inner().unwrap_or_default();
    if let Some(error) = found.error.take() {
        return Err(Error::Walk(error));
    }
    if !found.problems.is_empty() {
        found.problems.sort_by(|a, b| a.path.cmp(&b.path));
        return Err(Error::Unpackable(found.problems));
    }
    found.files.sort_by(|a, b| a.path.cmp(&b.path));
    let allowed = matcher(&spec.allow_files)?;
    let suspects: Vec<Problem> = found
        .files
        .iter()
        .filter(|file| file.mode != Mode::Link)
        .filter_map(|file| Some((file, secrets::suspicion(&root, &file.path, file.size)?)))
        .filter(|(file, _)| !allowed.matched_path_or_any_parents(&file.path, false).is_ignore())
        .map(|(file, reason)| Problem { path: file.path.clone(), reason: reason.to_owned() })
        .collect();
    if !suspects.is_empty() {
        return Err(Error::Secrets(suspects));
    }
    if found.files.is_empty() {
        return Err(Error::Empty(spec.root.clone()));
    }
    Ok(Listing { files: found.files, skipped: found.skipped })
}

fn matcher(patterns: &[String]) -> Result<Gitignore, Error> {
    let mut builder = GitignoreBuilder::new("");
    for pattern in patterns {
        builder.add_line(None, pattern).map_err(|source| Error::Pattern { pattern: pattern.clone(), source })?;
    }
    builder.build().map_err(|source| Error::Pattern { pattern: patterns.join(", "), source })
}

#[derive(Default)]
struct Found {
    files: Vec<File>,
    problems: Vec<Problem>,
    skipped: Vec<Problem>,
    error: Option<ignore::Error>,
}

fn repository_root(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|folder| folder.join(".git").exists())
}

fn is_never(entry: &Path, name: &str) -> bool {
    NEVER.contains(&name) || entry.join("pyvenv.cfg").is_file()
}

fn walk(root: &Path, rules: bool, found: &Mutex<Found>) {
    let azure = root.join(".amlignore").is_file();
    let below_repository = repository_root(root).is_some_and(|repository| repository != root);
    let mut builder = WalkBuilder::new(root);
    builder
        .hidden(false)
        .ignore(false)
        .git_global(false)
        .git_exclude(false)
        .require_git(false)
        .follow_links(false)
        .git_ignore(rules && !azure)
        .parents(rules && !azure && below_repository)
        .filter_entry(|entry| {
            !(entry.file_type().is_some_and(|kind| kind.is_dir())
                && entry.depth() > 0
                && entry.file_name().to_str().is_some_and(|name| is_never(entry.path(), name)))
        });
    if rules {
        builder.add_custom_ignore_filename(".sendoffignore");
        if azure {
            builder.add_custom_ignore_filename(".amlignore");
        }
    }
    builder.build_parallel().run(|| {
        let mut mine = Batch { found, entries: Found::default() };
        Box::new(move |entry| {
            match entry {
                Ok(entry) => visit(root, &entry, &mut mine.entries),
                Err(error) => unreadable(root, error, &mut mine.entries),
            }
            WalkState::Continue
        })
    });
}

/// What one walking thread has found; handed over once, when the thread ends.
struct Batch<'a> {
    found: &'a Mutex<Found>,
    entries: Found,
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let mut found = self.found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        found.files.append(&mut self.entries.files);
        found.problems.append(&mut self.entries.problems);
        found.skipped.append(&mut self.entries.skipped);
        found.error = found.error.take().or(self.entries.error.take());
    }
}

fn unreadable(root: &Path, error: ignore::Error, found: &mut Found) {
    let reason = error.io_error().map_or_else(|| error.to_string(), std::string::ToString::to_string);
    let mut inner = &error;
    while let ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } = inner {
        inner = err;
    }
    if let ignore::Error::WithPath { path, .. } = inner {
        found.problems.push(Problem { path: shown(path.strip_prefix(root).unwrap_or(path)), reason });
    } else {
        found.error = Some(error);
    }
}

fn shown(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().utf8_chunks().fold(String::new(), |mut text, chunk| {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            use std::fmt::Write;
            // Writing to a string cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
        text
    })
}

fn visit(root: &Path, entry: &DirEntry, found: &mut Found) {
    let Some(kind) = entry.file_type().filter(|kind| !kind.is_dir()) else { return };
    let relative = entry.path().strip_prefix(root).unwrap_or(entry.path());
    let mut problem = |reason: &str| found.problems.push(Problem { path: shown(relative), reason: reason.to_owned() });
    let Some(path) = relative.to_str() else {
        return problem("its name is not UTF-8");
    };
    let metadata = match entry.metadata() {
        Ok(metadata) => metadata,
        Err(error) => return problem(&error.io_error().map_or_else(|| error.to_string(), std::string::ToString::to_string)),
    };
    let mode = if kind.is_symlink() {
        match link_stays_inside(root, entry.path()) {
            Ok(()) => Mode::Link,
            Err(reason) => return problem(&reason),
        }
    } else if kind.is_file() {
        if metadata.mode() & 0o111 == 0 { Mode::File } else { Mode::Executable }
    } else {
        found.skipped.push(Problem { path: path.to_owned(), reason: "neither file nor folder".to_owned() });
        return;
    };
    let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    found.files.push(File {
        path: path.to_owned(),
        mode,
        size: metadata.len(),
        stamp: (nanoseconds(metadata.mtime(), metadata.mtime_nsec()), nanoseconds(metadata.ctime(), metadata.ctime_nsec()), metadata.ino()),
    });
}

/// A link may point at anything below the root, existing or not; never outside.
fn link_stays_inside(root: &Path, link: &Path) -> Result<(), String> {
    let target = std::fs::read_link(link).map_err(|error| error.to_string())?;
    let leaves = || Err(format!("the link leaves the source directory (it points to `{}`)", target.display()));
    if target.is_absolute() {
        return leaves();
    }
    let mut here: PathBuf = link.parent().unwrap_or(root).strip_prefix(root).unwrap_or(Path::new("")).to_owned();
    for part in target.components() {
        match part {
            std::path::Component::ParentDir if !here.pop() => {
                return leaves();
            }
            std::path::Component::Normal(name) => here.push(name),
            _ => {}
        }
    }
    match link.canonicalize() {
        Ok(real) if !real.starts_with(root) => leaves(),
        _ => Ok(()),
    }
}

/// Why an entry is in or out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// The path, with a slash at the end of a folder that is out as a whole.
    pub path: String,
    /// Whether it is packed.
    pub packed: bool,
    /// The rule: `.gitignore:3: *.bin`, `never sent`, or `not ignored`.
    pub rule: String,
}

/// Explains every entry; folders that are out as a whole are one entry.
pub fn why(spec: &Spec) -> Result<Vec<Why>, Error> {
    let listing = list(spec)?;
    let root = spec.root.canonicalize().map_err(|source| crate::support::fs::Error { act: "open", path: spec.root.clone(), source })?;
    let packed: std::collections::HashSet<&str> = listing.files.iter().map(|file| file.path.as_str()).collect();
    let parents: std::collections::HashSet<&str> =
        listing.files.iter().flat_map(|file| file.path.match_indices('/').map(|(at, _)| &file.path[..at])).collect();
    let mut answers = Vec::new();
    let mut entries = walkdir::WalkDir::new(&root).min_depth(1).sort_by_file_name().into_iter();
    while let Some(entry) = entries.next() {
        let Ok(entry) = entry else { continue };
        let relative = entry.path().strip_prefix(&root).unwrap_or(entry.path());
        let Some(path) = relative.to_str() else { continue };
        let folder = entry.file_type().is_dir();
        if packed.contains(path) {
            let rule =
                rule(&root, entry.path(), false).map_or_else(|| "not ignored".to_owned(), |rule| format!("`include` against {rule}"));
            answers.push(Why { path: path.to_owned(), packed: true, rule });
        } else if !folder || !parents.contains(path) {
            let never = folder && entry.file_name().to_str().is_some_and(|name| is_never(entry.path(), name));
            let rule = if never {
                "never sent".to_owned()
            } else {
                rule(&root, entry.path(), folder)
                    .unwrap_or_else(|| if folder { "no files in it".to_owned() } else { "neither file nor folder".to_owned() })
            };
            answers.push(Why { path: format!("{path}{}", if folder { "/" } else { "" }), packed: false, rule });
            if folder {
                entries.skip_current_dir();
            }
        }
    }
    Ok(answers)
}

/// Returns the rule that ignores a path, with its file and line.
fn rule(root: &Path, path: &Path, folder: bool) -> Option<String> {
    let azure = root.join(".amlignore").is_file();
    let names: &[&str] = if azure { &[".sendoffignore", ".amlignore"] } else { &[".sendoffignore", ".gitignore"] };
    let top = if azure { root } else { repository_root(root).unwrap_or(root) };
    for name in names {
        for base in path.parent()?.ancestors() {
            let file = base.join(name);
            if file.is_file() {
                let matcher = Gitignore::new(&file).0;
                match matcher.matched_path_or_any_parents(path, folder) {
                    ignore::Match::Ignore(glob) => {
                        let text = std::fs::read_to_string(&file).unwrap_or_default();
                        let line = text.lines().position(|line| line.trim_end() == glob.original()).map_or(0, |line| line + 1);
                        let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
                        return Some(format!("{shown}:{line}: {}", glob.original()));
                    }
                    ignore::Match::Whitelist(_) => return None,
                    ignore::Match::None => {}
                }
            }
            if base == top {
                break;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("it is below the folder")).expect("writable");
            std::fs::write(path, text).expect("writable");
        }
        folder
    }

    fn spec(root: &Path) -> Spec {
        Spec { root: root.to_owned(), include: Vec::new(), allow_files: Vec::new(), max_size: 1 << 30 }
    }

    fn paths(root: &Path) -> Vec<String> {
        list(&spec(root)).expect("packable").files.into_iter().map(|file| file.path).collect()
    }

    #[test]
    fn nested_rules_and_caches_are_left_out() {
        let tree = tree(&[
            (".gitignore", "*.bin\n/data/\n"),
            ("a.py", ""),
            ("x.bin", ""),
            ("data/d.csv", ""),
            ("sub/.gitignore", "!keep.bin\n"),
            ("sub/keep.bin", ""),
            ("sub/drop.bin", ""),
            ("__pycache__/a.pyc", ""),
            ("env/pyvenv.cfg", ""),
            ("env/lib.py", ""),
            ("notes/.sendoffignore", "*\n"),
            ("notes/n.txt", ""),
        ]);
        assert_eq!(paths(tree.path()), [".gitignore", "a.py", "sub/.gitignore", "sub/keep.bin"]);
    }

    #[test]
    fn an_amlignore_replaces_git_rules() {
        let tree = tree(&[(".gitignore", "*.bin\n"), (".amlignore", "*.csv\n"), ("a.bin", ""), ("b.csv", "")]);
        assert_eq!(paths(tree.path()), [".amlignore", ".gitignore", "a.bin"]);
    }

    #[test]
    fn include_overrides_a_rule_and_the_reason_is_named() {
        let tree = tree(&[(".gitignore", "*.bin\n"), ("a.bin", ""), ("b.bin", "")]);
        let spec = Spec { include: vec!["b.bin".into()], ..spec(tree.path()) };
        let answers: Vec<(String, bool, String)> =
            why(&spec).expect("packable").into_iter().map(|why| (why.path, why.packed, why.rule)).collect();
        assert_eq!(answers[1], ("a.bin".into(), false, ".gitignore:1: *.bin".into()));
        assert_eq!(answers[2], ("b.bin".into(), true, "`include` against .gitignore:1: *.bin".into()));
    }

    #[test]
    fn links_inside_stay_and_links_outside_are_refused() {
        let tree = tree(&[("a", "x")]);
        std::os::unix::fs::symlink("a", tree.path().join("inside")).expect("writable");
        std::os::unix::fs::symlink(".", tree.path().join("loop")).expect("writable");
        assert_eq!(paths(tree.path()), ["a", "inside", "loop"]);
        std::os::unix::fs::symlink("../../etc", tree.path().join("outside")).expect("writable");
        let error = list(&spec(tree.path())).expect_err("a link leaves").to_string();
        assert!(error.contains("`outside`: the link leaves"), "{error}");
    }

    #[test]
    fn a_name_that_is_not_utf8_is_refused_by_name() {
        use std::os::unix::ffi::OsStrExt;
        let tree = tree(&[("a", "x")]);
        std::fs::write(tree.path().join(std::ffi::OsStr::from_bytes(b"b\xff")), "").expect("writable");
        let error = list(&spec(tree.path())).expect_err("a bad name").to_string();
        assert!(error.contains(r"`b\xff`: its name is not UTF-8"), "{error}");
    }

    #[test]
    fn secrets_stop_the_snapshot_until_they_are_allowed() {
        let tree = tree(&[(".env", "X=1"), ("a.py", ""), ("k.pem", "-----BEGIN PRIVATE KEY-----\n")]);
        assert!(matches!(list(&spec(tree.path())), Err(Error::Secrets(found)) if found.len() == 2));
        let spec = Spec { allow_files: vec![".env".into(), "k.pem".into()], ..spec(tree.path()) };
        assert!(list(&spec).is_ok());
    }
}
