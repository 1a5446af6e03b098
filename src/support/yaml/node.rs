//! The node tree.

use super::Place;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where it stands.
    pub place: Place,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Value {
    /// A scalar by its text, quotes and escapes resolved; never turned into a number or a truth value here.
    Scalar {
        /// The text.
        text: String,
        /// Whether it was written without quotes.
        plain: bool,
    },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order written; keys are scalars.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// Returns whether the node is written as nothing: an empty value, `~` or `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Returns a scalar's text.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Returns the value of a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value),
            Value::Scalar { .. } | Value::List(_) => None,
        }
    }

    /// Puts a value at a path of keys, each with the place where it is written, making mappings on the way; a list takes the number of an entry, from 0, or of the one to come.
    ///
    /// Fails with the key that has no place.
    pub fn set(&mut self, path: &[(&str, Place)], node: Node) -> Result<(), String> {
        let Some(((first, place), rest)) = path.split_first() else {
            *self = node;
            return Ok(());
        };
        if self.is_null() {
            self.value = Value::Map(Vec::new());
        }
        if let Value::List(items) = &mut self.value {
            let index = first.parse::<usize>().ok().filter(|index| *index <= items.len()).ok_or_else(|| (*first).to_owned())?;
            if index == items.len() {
                items.push(Node { value: Value::Scalar { text: String::new(), plain: true }, place: node.place.clone() });
            }
            return items[index].set(rest, node);
        }
        let Value::Map(entries) = &mut self.value else { return Err((*first).to_owned()) };
        let index = entries.iter().position(|(name, _)| name.text() == Some(first)).unwrap_or_else(|| {
            let scalar =
                |text: &str, place: &Place| Node { value: Value::Scalar { text: text.to_owned(), plain: true }, place: place.clone() };
            entries.push((scalar(first, place), scalar("", &node.place)));
            entries.len() - 1
        });
        entries[index].1.set(rest, node)
    }

    /// Returns what the value is, for messages.
    pub fn shape(&self) -> &'static str {
        match self.value {
            Value::Scalar { .. } if self.is_null() => "nothing",
            Value::Scalar { .. } => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}
