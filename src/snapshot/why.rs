//! Why each entry of a source directory is in its snapshot or not.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::Spec;
use super::error::Error;
use super::listing::list;
use super::walk::{Reason, Scope, walk};
use crate::support::fs::Context;

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

/// Explains every entry, sorted by path; a folder that is out as a whole is one entry.
pub fn why(spec: &Spec) -> Result<Vec<Why>, Error> {
    let listing = list(spec)?;
    let root = spec.root.canonicalize().context("open", &spec.root)?;
    let mut lines = Lines { root: &root, texts: HashMap::new() };
    let out: HashMap<String, String> =
        walk(&root, Scope::Ignored).left_out.into_iter().map(|entry| (entry.path, lines.explain(&entry.reason))).collect();
    let mut answers: Vec<Why> = listing
        .files
        .iter()
        .map(|file| {
            let rule = against(&out, &file.path).map_or_else(|| "not ignored".to_owned(), |rule| format!("`include` against {rule}"));
            Why { path: file.path.clone(), packed: true, rule }
        })
        .collect();
    answers.extend(
        out.iter().filter(|(path, _)| listing.files.binary_search_by(|file| file.path.cmp(path)).is_err()).map(|(path, rule)| Why {
            path: path.clone(),
            packed: false,
            rule: rule.clone(),
        }),
    );
    answers.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(answers)
}

/// Returns the rule that leaves out a file or a folder above it.
fn against<'a>(out: &'a HashMap<String, String>, path: &str) -> Option<&'a String> {
    out.get(path).or_else(|| path.match_indices('/').find_map(|(at, _)| out.get(&path[..=at])))
}

/// Finds the lines of patterns in their files, each of which is read once.
struct Lines<'a> {
    root: &'a Path,
    texts: HashMap<PathBuf, String>,
}

impl Lines<'_> {
    fn explain(&mut self, reason: &Reason) -> String {
        let (file, pattern) = match reason {
            Reason::Never => return "never sent".to_owned(),
            Reason::Empty => return "no files in it".to_owned(),
            Reason::Special => return "neither file nor folder".to_owned(),
            Reason::Rule { file, pattern } => (file, pattern),
        };
        let text = self.texts.entry(file.clone()).or_insert_with(|| std::fs::read_to_string(file).unwrap_or_default());
        // Of two equal lines the later one decides.
        let line = text.lines().enumerate().filter(|(_, line)| line.trim_end() == pattern).last().map_or(0, |(index, _)| index + 1);
        let shown = file.strip_prefix(self.root).unwrap_or(file).display();
        format!("{shown}:{line}: {pattern}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn include_overrides_a_rule_and_the_reason_is_named() {
        let tree = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(tree.path().join("data")).expect("writable");
        std::fs::create_dir(tree.path().join("empty")).expect("writable");
        for (path, text) in [(".gitignore", "# big\n*.bin\n/data/\n"), ("a.bin", ""), ("b.bin", ""), ("data/x", ""), ("data/y", "")] {
            std::fs::write(tree.path().join(path), text).expect("writable");
        }
        let include = vec!["b.bin".into(), "data/x".into()];
        let spec = Spec { root: tree.path().to_owned(), include, allow_files: Vec::new(), max_size: 1 << 30 };
        let answers = why(&spec).expect("packable");
        let shown: Vec<String> =
            answers.into_iter().map(|why| format!("{} {}: {}", if why.packed { "in" } else { "out" }, why.path, why.rule)).collect();
        assert_eq!(
            shown,
            [
                "in .gitignore: not ignored",
                "out a.bin: .gitignore:2: *.bin",
                "in b.bin: `include` against .gitignore:2: *.bin",
                "out data/: .gitignore:3: /data/",
                "in data/x: `include` against .gitignore:3: /data/",
                "out empty/: no files in it",
            ]
        );
    }
}
