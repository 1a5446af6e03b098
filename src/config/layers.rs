//! Which layer wins.
//!
//! The order is the order of [`Origin`]'s variants, and [`strongest`] is the one function that applies it.

use std::collections::BTreeMap;
use std::path::Path;

use super::load::Flags;
use super::settings::Settings;
use super::{Origin, Sourced};
use crate::auth::Keyring;
use crate::support::yaml::{Parsed, Place, Text};

/// The name of the text that a `--set` flag holds.
pub(super) const SET: &str = "--set";

/// Everything around the run config that may set a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layers<'a> {
    pub(super) flags: &'a Flags,
    pub(super) environment: &'a BTreeMap<String, String>,
    /// The nearest project settings first, the user's own last.
    pub(super) settings: &'a [Settings],
}

impl Layers<'_> {
    /// Returns the value of a variable of the submitter's environment.
    pub(super) fn variable(&self, name: &str) -> Option<Sourced<String>> {
        let value = self.environment.get(name).filter(|value| !value.is_empty())?.clone();
        Some(Sourced { value, origin: Origin::Environment(name.to_owned()) })
    }

    /// Returns which credentials go to which host, as the user's own settings say.
    pub(super) fn keyring(&self) -> Keyring {
        self.settings.iter().find(|settings| settings.is_own()).map_or_else(Keyring::default, |settings| settings.keyring.clone())
    }

    /// Returns what each of the settings says.
    pub(super) fn settings<'s, T>(&'s self, get: impl Fn(&'s Settings) -> Option<(T, &'s Place)>) -> Vec<Option<Sourced<T>>> {
        self.settings.iter().map(|settings| get(settings).map(|(value, place)| Sourced { value, origin: settings.origin(place) })).collect()
    }
}

/// Returns where a place of the run config comes from: its file, or a `--set` flag.
pub(super) fn origin(place: &Place) -> Origin {
    if place.source.name == Path::new(SET) {
        return Origin::Flag(SET.to_owned());
    }
    Origin::RunConfig { file: place.source.name.clone(), line: place.line() }
}

/// Returns a text of the run config with its origin; a blank one counts as not written.
pub(super) fn written(text: Option<&Text>) -> Option<Sourced<String>> {
    let text = text.filter(|text| !text.text.trim().is_empty())?;
    Some(Sourced { value: text.text.clone(), origin: origin(&text.place) })
}

/// Returns a value of the run config with its origin.
pub(super) fn parsed<T: Clone>(value: Option<&Parsed<T>>) -> Option<Sourced<T>> {
    value.map(|value| Sourced { value: value.value.clone(), origin: origin(&value.place) })
}

/// Returns the value of the strongest layer that has one; of two of the same kind, the first.
pub(super) fn strongest<T>(layers: impl IntoIterator<Item = Option<Sourced<T>>>) -> Option<Sourced<T>> {
    layers.into_iter().flatten().min_by_key(|sourced| sourced.origin.rank())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_layer_wins_whatever_the_order() {
        let at = |origin| Some(Sourced { value: (), origin });
        let file = || "f".into();
        let ranked = [
            Origin::Flag("--x".into()),
            Origin::RunConfig { file: file(), line: 1 },
            Origin::Environment("X".into()),
            Origin::ProjectSettings { file: file(), line: 1 },
            Origin::UserSettings { file: file(), line: 1 },
            Origin::Default,
        ];
        for (index, strong) in ranked.iter().enumerate() {
            for weak in &ranked[index..] {
                let winner = strongest([at(weak.clone()), None, at(strong.clone())]).expect("there are layers");
                assert_eq!(&winner.origin, strong);
            }
        }
    }

    #[test]
    fn of_two_project_settings_the_nearer_wins() {
        let at = |file: &str| Some(Sourced { value: (), origin: Origin::ProjectSettings { file: file.into(), line: 1 } });
        let winner = strongest([at("z/nearer.yaml"), at("a.yaml")]).expect("there are layers");
        assert_eq!(winner.origin.to_string(), "z/nearer.yaml:1");
    }
}
