//! Reads a mapping key by key.

use std::collections::BTreeSet;

use super::{Context, Node, Read, Value};
use crate::support::suggest;

/// A mapping that is being read; [`Fields::finish`] reports the keys that nobody asked for.
pub struct Fields<'a> {
    node: &'a Node,
    context: &'a Context,
    path: String,
    known: Vec<&'static str>,
    seen: BTreeSet<&'static str>,
}

impl<'a> Fields<'a> {
    /// Starts to read a mapping; nothing is an empty one, and anything else is a finding.
    pub fn of(node: &'a Node, path: &str, context: &'a Context) -> Option<Self> {
        if !matches!(node.value, Value::Map(_)) && !node.is_null() {
            let name = if path.is_empty() { "the document".to_owned() } else { format!("`{path}`") };
            let fix = "write `key: value` lines".to_owned();
            context.find(&node.place, format!("{name} must be a mapping"), format!("this is {}", node.shape()), Some(fix));
            return None;
        }
        Some(Self { node, context, path: path.to_owned(), known: Vec::new(), seen: BTreeSet::new() })
    }

    fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Reads the value of a key, or of another name of it, which is accepted with a note.
    pub fn take<T: Read>(&mut self, key: &'static str, aliases: &[&'static str]) -> Option<T> {
        self.known.push(key);
        self.seen.insert(key);
        let mut found = self.node.get(key);
        for alias in aliases {
            self.seen.insert(alias);
            let Some(node) = self.node.get(alias) else { continue };
            if found.is_some() {
                self.context.find(
                    &node.place,
                    format!("`{alias}` and `{key}` are the same key"),
                    "the second of them",
                    Some(format!("keep `{key}`")),
                );
            } else {
                self.context.note(format!("`{}` was read as `{}`", self.name(alias), self.name(key)));
                found = Some(node);
            }
        }
        let node = found.filter(|node| !node.is_null())?;
        T::read(node, &self.name(key), self.context)
    }

    /// Reports the keys that nobody asked for.
    pub fn finish(self) {
        let Value::Map(entries) = &self.node.value else { return };
        for (key, _) in entries {
            let Some(text) = key.text().filter(|text| !self.seen.contains(text)) else { continue };
            let fix = match suggest::nearest(text, self.known.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("the keys here are {}", crate::support::words::all_of(&self.known)),
            };
            self.context.find(&key.place, format!("unknown key `{}`", self.name(text)), "no key of this name", Some(fix));
        }
    }
}
