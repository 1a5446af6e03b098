//! What an environment's image is built from: the Dockerfile, its scripts, the lock, and the local packages that the lock names.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Serialize;

use super::super::inputs::path_digest;
use super::super::{EnvironmentId, Error, resolve};
use super::settings::Settings;
use crate::engine::build::{Builder, Context, Mode};
use crate::support::{fs, template};

const DOCKERFILE: &str = include_str!("../../../templates/image/Dockerfile");
const CLASSIC: &str = include_str!("../../../templates/image/Dockerfile.classic");
const SCRIPTS: [(&str, &str); 3] = [
    ("uv.sh", include_str!("../../../templates/image/uv.sh")),
    ("system.sh", include_str!("../../../templates/image/system.sh")),
    ("packages.sh", include_str!("../../../templates/image/packages.sh")),
];
/// Where the scripts have what [`SCRIPTS`] calls `packages`.
const UNPACKED: &str = "/tmp/sendoff-packages";

/// What stands in the Dockerfile.
#[derive(Debug, Serialize)]
pub(super) struct Recipe<'a> {
    /// The environment.
    pub(super) id: &'a EnvironmentId,
    /// Whose image it is.
    pub(super) owner: &'a str,
    /// The base image as the Dockerfile finds it.
    pub(super) base: &'a str,
    /// The base image as the user knows it.
    pub(super) base_name: &'a str,
    /// The base image's Python.
    pub(super) python: &'a Path,
    /// The base image's user, when it has one.
    pub(super) user: &'a str,
    /// Debian packages.
    pub(super) system_packages: &'a [String],
}

impl Recipe<'_> {
    /// Returns everything as the archive that a build takes; what leads to an index is in it only for a builder without secrets.
    pub(super) fn context(&self, builder: Builder, lock: &str, settings: &Settings) -> Result<Bytes, Error> {
        let mut context = Context::default();
        let (name, text) = match builder {
            Builder::BuildKit => ("image/Dockerfile", DOCKERFILE),
            Builder::Classic => ("image/Dockerfile.classic", CLASSIC),
        };
        let text = template::render(name, text, self).expect("every name of the template is a field of the recipe");
        context.file("Dockerfile", Mode::Plain, text.as_bytes());
        for (name, text) in SCRIPTS {
            context.file(name, Mode::Plain, text.as_bytes());
        }
        if builder == Builder::Classic {
            context.file("settings", Mode::Plain, settings.exports().as_bytes());
            context.file("ca.pem", Mode::Plain, settings.ca().as_bytes());
        }
        let lock = moved(lock, &mut context)?;
        context.file("packages/lock.txt", Mode::Plain, lock.as_bytes());
        for wheel in wanted(&lock, &settings.folders) {
            let name = wheel.file_name().unwrap_or_default();
            context.file(Path::new("packages/wheels").join(name), Mode::Plain, &fs::read(&wheel)?);
        }
        // A folder has to be there to be looked into.
        context.file("packages/wheels/.keep", Mode::Plain, b"");
        Ok(context.finish())
    }
}

/// Returns the lock without the packages that the base image has in the same version.
pub(super) fn without(lock: &str, there: &[String]) -> String {
    let is_there = |line: &str| {
        let bare = line.split(" ;").next().unwrap_or(line).trim();
        bare.split_once("==").is_some_and(|(name, version)| {
            let name = name.split('[').next().unwrap_or(name);
            let version = version.split('+').next().unwrap_or(version);
            there.binary_search(&format!("{name}=={version}")).is_ok()
        })
    };
    lock.lines().filter(|line| !line.trim().is_empty() && !is_there(line)).flat_map(|line| [line, "\n"]).collect()
}

/// Adds the local wheels and folders of a lock to the context, and returns the lock that has them where they are unpacked.
fn moved(lock: &str, context: &mut Context) -> Result<String, Error> {
    let mut text = String::new();
    for line in lock.lines() {
        match resolve::local_path(line, Path::new("/")) {
            Some(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let folder = format!("local/{}", &path_digest(&path)?[..12]);
                add(context, &Path::new("packages").join(&folder).join(&name), &path)?;
                let place = format!("{UNPACKED}/{folder}/{name}");
                let named = line.split_once(" @ file://").map(|(name, _)| format!("{name} @ file://"));
                text.push_str(&format!("{}{place}", named.unwrap_or_default()));
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    Ok(text)
}

/// Adds a file, or a folder with what decides its hash.
fn add(context: &mut Context, goal: &Path, path: &Path) -> Result<(), Error> {
    if path.is_file() {
        context.file(goal, Mode::Plain, &fs::read(path)?);
        return Ok(());
    }
    for file in super::super::inputs::files(path) {
        let inside = file.strip_prefix(path).unwrap_or(&file);
        context.file(goal.join(inside), Mode::of(&file), &fs::read(&file)?);
    }
    Ok(())
}

/// Returns the files of local folders of packages that the lock may need.
fn wanted(lock: &str, find_links: &[PathBuf]) -> Vec<PathBuf> {
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let is_archive = |rest: &str| [".tar.gz", ".zip", ".tar.bz2"].contains(&rest);
    let pinned: Vec<String> = lock
        .lines()
        .filter_map(|line| line.split(" ;").next()?.split_once("=="))
        .map(|(name, version)| (plain(name.split('[').next().unwrap_or(name).trim()), version.trim()))
        // Archives of sources may keep the dots of a name.
        .flat_map(|(name, version)| [format!("{}_{version}", name.replace('.', "_")), format!("{name}_{version}")])
        .collect();
    let mut found: Vec<PathBuf> = find_links
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().map(|name| plain(&name.to_string_lossy())).unwrap_or_default();
            pinned.iter().any(|pin| name.strip_prefix(pin.as_str()).is_some_and(|rest| rest.starts_with('_') || is_archive(rest)))
        })
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_base_image_has_is_not_installed_again() {
        let there = ["numpy==1.26.4".to_owned(), "torch==2.3.0".to_owned()];
        let lock = "numpy==1.26.4\ntorch==2.3.0+cu121 ; sys_platform == 'linux'\nnumpy-x==1.26.4\ntorch[a]==2.3.1\n";
        assert_eq!(without(lock, &there), "numpy-x==1.26.4\ntorch[a]==2.3.1\n");
    }

    #[test]
    #[ignore = "needs `shellcheck`"]
    fn shellcheck_finds_nothing_in_the_scripts_of_images() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let paths: Vec<PathBuf> = SCRIPTS.iter().map(|(name, _)| folder.path().join(name)).collect();
        for ((_, text), path) in SCRIPTS.iter().zip(&paths) {
            std::fs::write(path, text).expect("writable");
        }
        let output = std::process::Command::new("shellcheck").args(&paths).output().expect("`shellcheck` runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    #[test]
    fn of_a_folder_of_packages_only_what_the_lock_pins_is_sent() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in [
            "Alpha_x-1.0-py3-none-any.whl",
            "alpha_x-1.0.1-py3-none-any.whl",
            "alpha-x-1.0.tar.gz",
            "beta-1.0-py3-none-any.whl",
            "notes.txt",
        ] {
            std::fs::write(folder.path().join(name), "").expect("writable");
        }
        let found = wanted("alpha-x==1.0\ngamma==2 ; python_version > '3'\n", &[folder.path().to_owned()]);
        let names: Vec<_> = found.iter().map(|path| path.file_name().expect("a file").to_string_lossy().into_owned()).collect();
        assert_eq!(names, ["Alpha_x-1.0-py3-none-any.whl", "alpha-x-1.0.tar.gz"]);
    }
}
