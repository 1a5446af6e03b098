//! Reads requirements as pip writes them: the lines, what bounds them, and where packages come from.

use std::path::{Path, PathBuf};

use super::{Error, PackageSource, Spec, conda};
use crate::support::fs;

/// How deep files may include one another.
const DEPTH: usize = 8;

/// Requirements, with everything that their files include in its place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Requirements {
    /// What is wanted, and options that are left to `uv`.
    pub(super) lines: Vec<String>,
    /// What bounds it without being wanted (`-c`).
    pub(super) constraints: Vec<String>,
    /// Where relative paths start.
    pub(super) folder: PathBuf,
    index_url: Option<String>,
    extra_index_urls: Vec<String>,
    find_links: Vec<String>,
}

impl Requirements {
    /// Reads what a spec names; what a `pyproject.toml` or `uv.lock` holds is left to the resolution.
    pub(super) fn of(spec: &Spec) -> Result<Self, Error> {
        let beside = |path: &Path| path.parent().unwrap_or(&spec.root).to_owned();
        let mut found = Self { folder: spec.root.clone(), ..Self::default() };
        match &spec.packages {
            PackageSource::Pip(lines) => found.lines.clone_from(lines),
            PackageSource::RequirementsFile(path) => {
                found.folder = beside(path);
                found.add(&fs::read_to_string(path)?, path, 0)?;
            }
            PackageSource::CondaFile(path) => {
                found.folder = beside(path);
                found.add(&conda::read(path, &fs::read_to_string(path)?)?.pip.join("\n"), path, 0)?;
            }
            PackageSource::Pyproject(path) => found.folder = beside(path),
        }
        Ok(found)
    }

    /// Adds the indexes that the files name to those of the run config, whose own come first.
    pub(super) fn indexes(&self, spec: &Spec) -> Spec {
        let mut spec = spec.clone();
        spec.index_url = spec.index_url.or_else(|| self.index_url.clone());
        spec.extra_index_urls.extend(self.extra_index_urls.iter().cloned());
        spec.find_links.extend(self.find_links.iter().cloned());
        spec
    }

    fn add(&mut self, text: &str, path: &Path, depth: usize) -> Result<(), Error> {
        // A backslash at the end goes on in the next line.
        for line in text.replace("\\\r\n", " ").replace("\\\n", " ").lines() {
            let bare = line.split(" #").next().unwrap_or(line).trim();
            let Some((option, value)) = option(bare) else {
                if !bare.is_empty() && !bare.starts_with('#') {
                    self.lines.push(bare.to_owned());
                }
                continue;
            };
            let file = path.with_file_name(value);
            let is_remote = value.contains("://");
            match option {
                "-r" | "--requirement" if depth < DEPTH && !is_remote => self.add(&fs::read_to_string(&file)?, &file, depth + 1)?,
                "-c" | "--constraint" if depth < DEPTH && !is_remote => {
                    let mut bounds = Self::default();
                    bounds.add(&fs::read_to_string(&file)?, &file, depth + 1)?;
                    self.constraints.extend(bounds.lines);
                    self.constraints.extend(bounds.constraints);
                }
                "-i" | "--index-url" => self.index_url = Some(value.to_owned()),
                "--extra-index-url" => self.extra_index_urls.push(value.to_owned()),
                "-f" | "--find-links" if is_remote => self.find_links.push(value.to_owned()),
                "-f" | "--find-links" => self.find_links.push(file.display().to_string()),
                // Editable never: the snapshot decides.
                "-e" | "--editable" => self.lines.push(value.to_owned()),
                _ => self.lines.push(bare.to_owned()),
            }
        }
        Ok(())
    }
}

/// Splits `-r x`, `-rx`, `--requirement x` and `--requirement=x`; `None` when the line is not one option with its value.
fn option(line: &str) -> Option<(&str, &str)> {
    if let Some(long) = line.strip_prefix("--") {
        let end = long.find(['=', ' '])? + 2;
        return Some((&line[..end], line[end + 1..].trim()));
    }
    let short = line.get(..2).filter(|_| line.starts_with('-'))?;
    Some((short, line[2..].trim_start_matches(['=', ' ']).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> (Requirements, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("writable");
            std::fs::write(path, text).expect("writable");
        }
        let path = folder.path().join(files[0].0);
        let mut found = Requirements::default();
        found.add(&std::fs::read_to_string(&path).expect("it was written"), &path, 0).expect("readable");
        (found, folder.path().to_owned())
    }

    #[test]
    fn what_files_include_stands_in_its_place_and_constraints_stand_apart() {
        let (found, _) = read(&[
            ("requirements.txt", "# all\n-r more/base.txt\n-c bounds.txt\ntorch>=2 # the big one\n-e ./package\n"),
            ("more/base.txt", "numpy \\\n  --hash=sha256:00\n--constraint=own.txt\n"),
            ("more/own.txt", "numpy<3\n"),
            ("bounds.txt", "scipy<2\n"),
        ]);
        assert_eq!(found.lines, ["numpy    --hash=sha256:00", "torch>=2", "./package"]);
        assert_eq!(found.constraints, ["numpy<3", "scipy<2"]);
    }

    #[test]
    fn where_packages_come_from_is_known_for_the_installation_too() {
        let (found, folder) = read(&[("r.txt", "-i https://a/simple\n--extra-index-url https://b/simple\n-f wheels\n--pre\n")]);
        assert_eq!(
            (found.index_url.as_deref(), &found.extra_index_urls[..]),
            (Some("https://a/simple"), &["https://b/simple".to_owned()][..])
        );
        assert_eq!(found.find_links, [folder.join("wheels").display().to_string()]);
        assert_eq!(found.lines, ["--pre"]);
    }

    #[test]
    fn files_that_include_each_other_come_to_an_end() {
        let (found, _) = read(&[("a.txt", "x\n-r a.txt\n")]);
        assert_eq!(found.lines.last().map(String::as_str), Some("-r a.txt"));
    }
}
