//! `sendoff.yaml`, found by walking up from the run config, and the user's own.

use std::path::{Path, PathBuf};

use super::trust::{self, Author};
use super::{Error, Origin, document, load};
use crate::auth::{self, Keyring};
use crate::support::yaml::{self, Context, Place, Read};
use crate::target::config::Target;

/// The name of a settings file.
pub(super) const FILE: &str = "sendoff.yaml";

/// One settings file.
#[derive(Debug)]
pub(super) struct Settings {
    author: Author,
    pub(super) document: document::Settings,
    /// Which credentials go where; only the user's own settings say it.
    pub(super) keyring: Keyring,
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
            let mut root = root;
            if let (Some(root), Author::Project) = (&mut root, author) {
                trust::take_credentials(root, context);
            }
            let Some(document) = root.and_then(|root| document::Settings::read(&root, "", context)) else { continue };
            for (name, target) in document.compute_targets.iter().flat_map(|targets| &targets.entries) {
                trust::may_be_called(name, target, context);
                trust::may_name_credentials(author, &format!("compute_targets.{}", name.text), target, context);
            }
            let keyring = match (&document.credentials, author) {
                (Some(sections), Author::User) => auth::check(sections, file.parent().unwrap_or(start), home, context),
                _ => Keyring::default(),
            };
            settings.push(Self { author, document, keyring });
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

    /// Returns which credentials the user's own settings send where; what is wrong with them is said by the commands that read settings.
    pub(super) fn own_keyring(own: &Path, home: Option<&Path>) -> Keyring {
        let file = own.join(FILE);
        let Some(text) = std::fs::read_to_string(&file).ok() else { return Keyring::default() };
        let context = Context::default();
        let document = yaml::parse(&file, &text).0.and_then(|root| document::Settings::read(&root, "", &context));
        let sections = document.and_then(|document| document.credentials);
        sections.map_or_else(Keyring::default, |sections| auth::check(&sections, own, home, &context))
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
