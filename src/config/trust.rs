//! Who may say what: a cloned repository must not be able to run something, to spend money or to collect credentials because somebody
//! typed `plan`.
//!
//! - A paid target is chosen by the run config or a flag only: [`may_choose`].
//! - Which credential goes where, and which program prints one, stands in the user's own settings only: [`may_name_credentials`],
//!   [`take_credentials`].
//! - `local` is always this machine, and `docker` a container, whatever settings say: [`may_be_called`].
//! - Project settings are looked for up to the repository's root, and files of other users are skipped: [`project_files`].
//! - Credentials of the environment go only to the host that the environment names: [`Connection::new`](crate::tracking::Connection::new).
//! - `check` and `plan` run nothing of the project: nothing in this folder starts a process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Origin;
use crate::support::platform;
use crate::support::yaml::{Context, Node, Place, Source, Text, Value};
use crate::target::config::{Kind, Target};

/// Returns whether this layer may choose a target of this kind.
pub(super) fn may_choose(origin: &Origin, kind: Kind) -> bool {
    !kind.is_paid() || matches!(origin, Origin::Flag(_) | Origin::RunConfig { .. })
}

/// Who wrote a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Author {
    /// The user, in the settings of their own.
    User,
    /// Whoever wrote the project: its settings, a run config.
    Project,
}

/// Finds a target that takes the name of one that is always there for something else: who types `local` means this machine.
pub(super) fn may_be_called(name: &Text, target: &Target, context: &Context) {
    let kind = match name.text.as_str() {
        "local" => Kind::Local,
        "docker" => Kind::Docker,
        _ => return,
    };
    if target.kind != kind {
        context.find(
            &name.place,
            format!("`{}` always names a target of the kind `{}`", name.text, kind.word()),
            format!("this is of the kind `{}`", target.kind.word()),
            Some("choose another name".to_owned()),
        );
    }
}

/// Finds a key that names a credential where only the user may name one.
pub(super) fn may_name_credentials(author: Author, name: &str, target: &Target, context: &Context) {
    if author == Author::User {
        return;
    }
    if let Some((key, place)) = target.keys.credential() {
        context.find(
            place,
            format!("`{name}.{key}` may only stand in your own settings"),
            "a project does not choose among your credentials",
            Some("move the target to `sendoff.yaml` in your own configuration folder".to_owned()),
        );
    }
}

/// Finds `credentials:` where it may not stand, and takes it out.
pub(super) fn take_credentials(root: &mut Node, context: &Context) {
    let Value::Map(entries) = &mut root.value else { return };
    entries.retain(|(key, value)| {
        let is_it = key.text() == Some("credentials");
        if is_it {
            context.find(
                &without_values(&key.place, value),
                "`credentials` may only stand in your own settings",
                "a project does not say where your credentials go",
                Some("move it to `sendoff.yaml` in your own configuration folder".to_owned()),
            );
        }
        !is_it
    });
}

/// Returns a place in a text that does not show the values below a node, which may be secrets, nor the keys with a user in them.
fn without_values(place: &Place, node: &Node) -> Place {
    let mut text = place.source.text.clone();
    for hidden in values(node).into_iter().filter(|hidden| hidden.source == place.source) {
        let span = hidden.span.start.min(text.len())..hidden.span.end.min(text.len());
        let stars: String =
            text[span.clone()].chars().map(|c| if c == '\n' { "\n".to_owned() } else { "*".repeat(c.len_utf8()) }).collect();
        text.replace_range(span, &stars);
    }
    Place { source: Arc::new(Source { name: place.source.name.clone(), text }), span: place.span.clone() }
}

fn values(node: &Node) -> Vec<&Place> {
    match &node.value {
        Value::Scalar { .. } => vec![&node.place],
        Value::List(items) => items.iter().flat_map(values).collect(),
        Value::Map(entries) => {
            let keys = entries.iter().map(|(key, _)| key).filter(|key| key.text().is_none_or(|text| text.contains('@')));
            keys.map(|key| &key.place).chain(entries.iter().flat_map(|(_, value)| values(value))).collect()
        }
    }
}

/// Returns the project's settings files from a folder upward, the nearest first: the walk stops at the repository root, at the home folder
/// and at `/`, and files of other users are skipped with a note.
pub(super) fn project_files(start: &Path, home: Option<&Path>, context: &Context) -> Vec<PathBuf> {
    project_files_named(super::settings::FILE, start, home, context)
}

/// Returns the project's files of a name by the same walk.
pub(super) fn project_files_named(name: &str, start: &Path, home: Option<&Path>, context: &Context) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in start.ancestors() {
        if Some(folder) == home {
            break;
        }
        let file = folder.join(name);
        if file.is_file() {
            if is_ours(&file) {
                found.push(file);
            } else {
                context.note(format!("skipped `{}`: it belongs to another user", file.display()));
            }
        }
        if folder.join(".git").exists() {
            break;
        }
    }
    found
}

fn is_ours(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| platform::is_ours(&metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_run_config_and_flags_choose_what_costs_money() {
        let file = || PathBuf::from("f");
        for (origin, may) in [
            (Origin::Flag("--target".into()), true),
            (Origin::RunConfig { file: file(), line: 1 }, true),
            (Origin::Environment("X".into()), false),
            (Origin::ProjectSettings { file: file(), line: 1 }, false),
            (Origin::UserSettings { file: file(), line: 1 }, false),
            (Origin::Default, false),
        ] {
            assert_eq!(may_choose(&origin, Kind::AzureMl), may, "{origin}");
            assert!(may_choose(&origin, Kind::Local), "{origin}");
        }
    }

    #[test]
    fn the_walk_for_settings_stops_at_the_repository_and_at_home() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let repository = folder.path().join("repository");
        std::fs::create_dir_all(repository.join(".git")).expect("writable");
        std::fs::create_dir_all(repository.join("a/b")).expect("writable");
        for place in ["sendoff.yaml", "repository/sendoff.yaml", "repository/a/sendoff.yaml"] {
            std::fs::write(folder.path().join(place), "").expect("writable");
        }
        let found = |start: &str, home: Option<&Path>| project_files(&repository.join(start), home, &Context::default());
        assert_eq!(found("a/b", None), [repository.join("a/sendoff.yaml"), repository.join("sendoff.yaml")]);
        assert_eq!(found("a/b", Some(&repository)), [repository.join("a/sendoff.yaml")]);
    }
}
