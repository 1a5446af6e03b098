//! Which files belong to a snapshot: one matcher for every target (its rules: `rules.rs`).

use std::collections::{BTreeMap, HashSet};

use rayon::prelude::*;

use super::error::{Error, Problem};
use super::manifest::Mode;
use super::walk::{LeftOut, Reason, Scope, walk};
use super::{Spec, rules, secrets};
use crate::support::fs::Context;
use crate::support::platform::Stamp;

/// A file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path relative to the root, with forward slashes.
    pub path: String,
    /// What it is.
    pub mode: Mode,
    /// Its size in bytes.
    pub size: u64,
    /// What tells that it has not changed.
    pub stamp: Stamp,
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

    /// Returns the biggest files and folders at the root and their sizes, biggest first; a folder has a slash at its end.
    pub fn biggest_entries(&self, count: usize) -> Vec<(String, u64)> {
        let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
        for file in &self.files {
            let entry = file.path.find('/').map_or(file.path.as_str(), |slash| &file.path[..=slash]);
            *sizes.entry(entry).or_default() += file.size;
        }
        let mut entries: Vec<(String, u64)> = sizes.into_iter().map(|(entry, size)| (entry.to_owned(), size)).collect();
        entries.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        entries.truncate(count);
        entries
    }
}

/// Lists the files of a snapshot; every entry that cannot be packed, and every file that looks like a secret, is reported at once.
pub fn list(spec: &Spec) -> Result<Listing, Error> {
    let root = spec.root.canonicalize().context("open", &spec.root)?;
    let mut found = walk(&root, Scope::Ignored);
    if !spec.include.is_empty() {
        let wanted = rules::matcher(&spec.include)?;
        let have: HashSet<&str> = found.files.iter().map(|file| file.path.as_str()).collect();
        let mut more = walk(&root, Scope::Never).files;
        more.retain(|file| !have.contains(file.path.as_str()) && wanted.matched_path_or_any_parents(&file.path, false).is_ignore());
        found.files.append(&mut more);
    }
    if !found.problems.is_empty() {
        found.problems.sort_by(|a, b| a.path.cmp(&b.path));
        return Err(Error::Unpackable(found.problems));
    }
    // Stable, because what comes folder by folder is mostly sorted, and that sort uses it.
    found.files.par_sort_by(|a, b| a.path.cmp(&b.path));
    let allowed = rules::matcher(&spec.allow_files)?;
    let suspects: Vec<Problem> = found
        .files
        .par_iter()
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
    let special = |entry: LeftOut| {
        (entry.reason == Reason::Special).then(|| Problem { path: entry.path, reason: "neither file nor folder".to_owned() })
    };
    Ok(Listing { files: found.files, skipped: found.left_out.into_iter().filter_map(special).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

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
            ("vendored/.git", "gitdir: elsewhere\n"),
            ("env/pyvenv.cfg", ""),
            ("env/lib.py", ""),
            ("notes/.sendoffignore", "*\n"),
            ("notes/n.txt", ""),
        ]);
        assert_eq!(paths(tree.path()), [".gitignore", "a.py", "sub/.gitignore", "sub/keep.bin"]);
    }

    #[test]
    fn the_biggest_entries_are_files_and_folders() {
        let tree = tree(&[("a.bin", "12345"), ("data/x/1", "1234"), ("data/2", "12"), ("b.py", "1"), ("c.py", "")]);
        let biggest = list(&spec(tree.path())).expect("packable").biggest_entries(3);
        assert_eq!(biggest, [("data/".to_owned(), 6), ("a.bin".to_owned(), 5), ("b.py".to_owned(), 1)]);
    }

    #[test]
    fn a_folder_that_is_kept_out_is_not_part_of_the_next_snapshot() {
        let tree = tree(&[("a.py", ""), ("the-job/model/m.bin", "1"), ("the-job/log.txt", "1")]);
        rules::keep_out(&tree.path().join("the-job")).expect("writable");
        rules::keep_out(&tree.path().join("the-job")).expect("once is enough");
        assert_eq!(paths(tree.path()), ["a.py"]);
    }

    #[test]
    fn an_amlignore_replaces_git_rules() {
        let tree = tree(&[(".gitignore", "*.bin\n"), (".amlignore", "*.csv\n"), ("a.bin", ""), ("b.csv", "")]);
        assert_eq!(paths(tree.path()), [".amlignore", ".gitignore", "a.bin"]);
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
