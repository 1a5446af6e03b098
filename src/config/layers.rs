//! Which layer wins, and where each value came from.
//!
//! The order is the order of [`Origin`]'s variants. Trust is decided here too: a project's settings may name targets, a tracker and
//! defaults, but nothing in them runs a program, names a credential, or chooses a paid target.

use super::{Origin, Sourced};

/// A value of `sendoff config show`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The key's full name.
    pub key: String,
    /// The value, as one line, nothing secret in it.
    pub value: String,
    /// The layer that set it.
    pub origin: Origin,
}

/// Returns the value of the strongest layer that has one.
pub(super) fn strongest<T>(layers: impl IntoIterator<Item = Option<Sourced<T>>>) -> Option<Sourced<T>> {
    layers.into_iter().flatten().min_by(|a, b| a.origin.cmp(&b.origin))
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
}
