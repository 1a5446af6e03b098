//! The user's own Dockerfile: what it copies decides its image's name, so that it is built again when any of it changes.

use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::super::{Error, Progress, inputs};
use super::Images;
use super::steps::Steps;
use crate::engine::Image;
use crate::engine::build::{Context, Mode, Order};
use crate::support::fs;

/// The label of such images.
pub(super) const DOCKERFILE: &str = "sendoff.dockerfile";

/// Returns the name of the image of a Dockerfile.
pub(super) fn tag(digest: &str) -> String {
    format!("sendoff/dockerfile:{}", &digest[..12])
}

/// What is left out of the context, as Docker reads it: patterns begin at the context, and the last one that fits decides.
struct Rules {
    patterns: Gitignore,
    has_exceptions: bool,
}

impl Rules {
    /// Reads the file beside the Dockerfile that bears its name, else the context's own.
    fn of(path: &Path, context: &Path) -> Self {
        let mut own = path.as_os_str().to_owned();
        own.push(".dockerignore");
        let text = std::fs::read_to_string(own).or_else(|_| std::fs::read_to_string(context.join(".dockerignore"))).unwrap_or_default();
        let mut builder = GitignoreBuilder::new(context);
        let mut has_exceptions = false;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (mark, pattern) = line.strip_prefix('!').map_or(("", line), |rest| ("!", rest.trim()));
            has_exceptions |= !mark.is_empty();
            // What is no pattern matches nothing.
            let _ = builder.add_line(None, &format!("{mark}/{}", pattern.trim_start_matches("./").trim_start_matches('/')));
        }
        Self { patterns: builder.build().unwrap_or_else(|_| Gitignore::empty()), has_exceptions }
    }

    fn leaves_out(&self, path: &Path, is_folder: bool) -> bool {
        // Something in a folder may be an exception.
        !(is_folder && self.has_exceptions) && self.patterns.matched_path_or_any_parents(path, is_folder).is_ignore()
    }
}

/// Returns the files that a Dockerfile may copy by their paths inside the context, in order.
fn files(path: &Path, context: &Path) -> Vec<(PathBuf, PathBuf)> {
    let rules = Rules::of(path, context);
    let entries = walkdir::WalkDir::new(context).min_depth(1).sort_by_file_name().into_iter();
    entries
        .filter_entry(|entry| !rules.leaves_out(entry.path(), entry.file_type().is_dir()))
        .flatten()
        .filter(|entry| entry.file_type().is_file() || entry.file_type().is_symlink())
        .map(|entry| (entry.path().strip_prefix(context).unwrap_or(entry.path()).to_owned(), entry.into_path()))
        .collect()
}

/// Hashes what the image is made from.
pub(super) fn digest(path: &Path, context: &Path, platform: Option<&str>) -> Result<String, Error> {
    let mut text = format!("{}\n{}\n", platform.unwrap_or_default(), inputs::digest(&fs::read(path)?));
    for (inside, file) in files(path, context) {
        let content = if file.is_symlink() {
            std::fs::read_link(&file).unwrap_or_default().display().to_string().into_bytes()
        } else {
            fs::read(&file)?
        };
        text.push_str(&format!("{} {} {}\n", inside.display(), Mode::of(&file) == Mode::Program, inputs::digest(&content)));
    }
    Ok(inputs::digest(text.as_bytes()))
}

/// Builds the image, and gives it its name.
pub(super) async fn build(
    images: &Images,
    path: &Path,
    context: &Path,
    name: &str,
    anew: bool,
    progress: &dyn Progress,
) -> Result<Image, Error> {
    const OWN: &str = "Dockerfile.sendoff";
    let mut archive = Context::default();
    for (inside, file) in files(path, context) {
        if file.is_symlink() {
            archive.link(inside, std::fs::read_link(&file).unwrap_or_default());
        } else {
            archive.file(inside, Mode::of(&file), &fs::read(&file)?);
        }
    }
    archive.file(OWN, Mode::Plain, &fs::read(path)?);
    let order = Order {
        context: archive.finish(),
        dockerfile: OWN.to_owned(),
        tag: name.to_owned(),
        labels: [(DOCKERFILE, name.to_owned()), (super::OWNER, super::owner(&images.dirs))]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
        platform: images.platform.clone(),
        images: named(&fs::read_to_string(path)?),
        anew,
        ..Order::default()
    };
    let failed = |source| Error::Dockerfile { path: path.to_owned(), source: super::steps::named(source) };
    let builder = images.builder().await?;
    let id = images.engine.build(builder, order, &Steps(progress)).await.map_err(failed)?;
    images.engine.image(id.as_str()).await?.ok_or_else(|| Error::BaseGone(name.to_owned()))
}

/// Returns the images that a Dockerfile names: what it begins with, and what it copies from. A stage of its own is among them, and harms
/// nobody.
fn named(text: &str) -> Vec<String> {
    let instruction = |line: &str| -> Option<String> {
        let mut words = line.split_whitespace();
        let is = |word: &str, name: &str| word.eq_ignore_ascii_case(name);
        match words.next()? {
            word if is(word, "FROM") => words.find(|word| !word.starts_with("--")).map(str::to_owned),
            word if is(word, "COPY") => words.find_map(|word| word.strip_prefix("--from=")).map(str::to_owned),
            _ => None,
        }
    };
    text.lines().filter_map(instruction).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_of_a_dockerfile_are_found_where_it_names_them() {
        let text = "# FROM nothing\nARG X=1\nFROM --platform=linux/amd64 registry.test/team/base:1 AS base\nRUN echo FROM here\n\
                    from registry.test:5000/tools\nCOPY --chown=1 --from=other.test/x /a /b\nCOPY a b\n";
        assert_eq!(named(text), ["registry.test/team/base:1", "registry.test:5000/tools", "other.test/x"]);
    }

    fn sent(rules: &str) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["Dockerfile", "a.md", "docs/b.md", "src/main.py", "src/data/x", "src/data/keep"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("writable");
            std::fs::write(path, "").expect("writable");
        }
        std::fs::write(folder.path().join("Dockerfile.dockerignore"), rules).expect("writable");
        let found = files(&folder.path().join("Dockerfile"), folder.path());
        found.into_iter().map(|(inside, _)| inside.display().to_string()).filter(|name| !name.starts_with("Dockerfile")).collect()
    }

    #[test]
    fn patterns_begin_at_the_context_and_the_last_one_decides() {
        for (rules, expected) in [
            ("", &["a.md", "docs/b.md", "src/data/keep", "src/data/x", "src/main.py"][..]),
            ("# no docs\n*.md\n", &["docs/b.md", "src/data/keep", "src/data/x", "src/main.py"]),
            ("**/*.md\ndata\n", &["src/data/keep", "src/data/x", "src/main.py"]),
            ("./src/data/\n/docs\n", &["a.md", "src/main.py"]),
            ("src/data\n!src/data/keep\n*.md\n", &["docs/b.md", "src/data/keep", "src/main.py"]),
            ("*\n!src\n", &["src/data/keep", "src/data/x", "src/main.py"]),
        ] {
            assert_eq!(sent(rules), expected, "{rules:?}");
        }
    }
}
