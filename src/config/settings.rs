//! `sendoff.yaml`, found by walking up from the run config, and the user's own.

use std::path::{Path, PathBuf};

use super::trust::{self, Author};
use super::{Error, Origin, document, load};
use crate::support::yaml::{self, Context, Place, Read};
use crate::target::config::Target;

/// The name of a settings file.
pub(super) const FILE: &str = "sendoff.yaml";

/// One settings file.
#[derive(Debug)]
pub(super) struct Settings {
    author: Author,
    pub(super) document: document::Settings,
}

impl Settings {
    /// Reads and checks all settings files: the project's from a folder upward, then the user's own.
    pub(super) fn load_all(start: &Path, home: Option<&Path>, own: &Path, cwd: &Path, context: &Context) -> Result<Vec<Self>, Error> {
        let mut files: Vec<(PathBuf, Author)> =
            trust::project_files(start, home, context).into_iter().map(|file| (file, Author::Project)).collect();
        let own = own.join(FILE);
        if own.is_file() {
            files.push((own, Author::User));
        }
        let mut settings = Vec::new();
        for (file, author) in files {
            let text = load::read(&file)?;
            let (root, findings) = yaml::parse(file.strip_prefix(cwd).unwrap_or(&file), &text);
            context.extend(findings);
            let Some(document) = root.and_then(|root| document::Settings::read(&root, "", context)) else { continue };
            for (name, target) in document.compute_targets.iter().flat_map(|targets| &targets.entries) {
                trust::may_be_called(name, target, context);
                trust::may_name_credentials(author, &format!("compute_targets.{}", name.text), target, context);
            }
            settings.push(Self { author, document });
        }
        Ok(settings)
    }

    /// Returns where a place of this file comes from.
    pub(super) fn origin(&self, place: &Place) -> Origin {
        let (file, line) = (place.source.name.clone(), place.line());
        match self.author {
            Author::User => Origin::UserSettings { file, line },
            Author::Project => Origin::ProjectSettings { file, line },
        }
    }

    /// Returns whether these are the user's own.
    pub(super) fn is_own(&self) -> bool {
        self.author == Author::User
    }

    /// Returns the target of a name.
    pub(super) fn target(&self, name: &str) -> Option<&Target> {
        self.document.compute_targets.as_ref()?.entries.iter().find(|(key, _)| key.text == name).map(|(_, target)| target)
    }

    /// Returns the names of the targets.
    pub(super) fn target_names(&self) -> impl Iterator<Item = &str> {
        self.document.compute_targets.iter().flat_map(|targets| &targets.entries).map(|(name, _)| name.text.as_str())
    }
}
