//! What the keys of a document hold: texts, values with a grammar, lists and mappings of them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::{Context, Grammar, Node, Place, Read, node};

/// A scalar by its source text: `3.10`, `1e-4`, `no` and `007` arrive as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The text, quotes resolved.
    pub text: String,
    /// Where it stands.
    pub place: Place,
}

/// A scalar with a grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed<T> {
    /// What it means.
    pub value: T,
    /// How it was written.
    pub text: String,
    /// Where it stands.
    pub place: Place,
}

/// A list; a single value is a list of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T> {
    /// The entries, in order.
    pub items: Vec<T>,
    /// Where it stands.
    pub place: Place,
}

/// A mapping of names that the user chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map<T> {
    /// Name and value, in the order written.
    pub entries: Vec<(Text, T)>,
    /// Where it stands.
    pub place: Place,
}

impl Read for Text {
    fn read(node: &Node, name: &str, context: &Context) -> Option<Self> {
        let Some(text) = node.text() else {
            context.find(&node.place, format!("`{name}` must be a single value"), format!("this is {}", node.shape()), None);
            return None;
        };
        Some(Self { text: text.to_owned(), place: node.place.clone() })
    }
}

impl<T: Grammar> Read for Parsed<T> {
    fn read(node: &Node, name: &str, context: &Context) -> Option<Self> {
        let text = Text::read(node, name, context)?;
        match T::parse(text.text.trim()) {
            Ok(value) => Some(Self { value, text: text.text, place: text.place }),
            Err(reason) => {
                let key = name.rsplit('.').next().unwrap_or(name);
                // An entry of a list has no key.
                let start = if key.ends_with(']') { String::new() } else { format!("{key}: ") };
                let fix = format!("write it like `{start}{}`", T::EXAMPLE);
                context.find(&text.place, format!("`{name}` cannot be read"), reason, Some(fix));
                None
            }
        }
    }
}

impl<T: Read> Read for List<T> {
    fn read(node: &Node, name: &str, context: &Context) -> Option<Self> {
        let items: Vec<&Node> = match &node.value {
            node::Value::Scalar { .. } => vec![node],
            node::Value::List(items) => items.iter().collect(),
            node::Value::Map(_) => {
                let key = name.rsplit('.').next().unwrap_or(name);
                let fix = format!("write `{key}: [a, b]`, or a line `- a` for each");
                context.find(&node.place, format!("`{name}` must be a list"), "this is a mapping", Some(fix));
                return None;
            }
        };
        let items = items.into_iter().enumerate().filter_map(|(index, item)| T::read(item, &format!("{name}[{index}]"), context)).collect();
        Some(Self { items, place: node.place.clone() })
    }
}

impl<T: Read> Read for Map<T> {
    fn read(node: &Node, name: &str, context: &Context) -> Option<Self> {
        let node::Value::Map(entries) = &node.value else {
            let key = name.rsplit('.').next().unwrap_or(name);
            let fix = format!("write `{key}: {{NAME: value}}`");
            context.find(&node.place, format!("`{name}` must be a mapping"), format!("this is {}", node.shape()), Some(fix));
            return None;
        };
        let entries = entries
            .iter()
            .filter_map(|(key, value)| {
                let key = Text::read(key, name, context)?;
                let value = T::read(value, &format!("{name}.{}", key.text), context)?;
                Some((key, value))
            })
            .collect();
        Some(Self { entries, place: node.place.clone() })
    }
}

/// Any scalar is a text.
impl JsonSchema for Text {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

impl<T: Grammar> JsonSchema for Parsed<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Parsed{}", T::EXAMPLE).into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        T::schema()
    }
}

impl JsonSchema for List<Text> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "List".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Text::json_schema(generator);
        let items = schema.clone();
        if let Some(Value::Array(types)) = schema.get_mut("type") {
            types.insert(0, "array".into());
        }
        schema.insert("items".to_owned(), items.to_value());
        schema
    }
}

impl<T: Grammar> JsonSchema for List<Parsed<T>> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("List{}", T::EXAMPLE).into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [T::schema(), { "type": "array", "items": T::schema() }] })
    }
}

impl<T: JsonSchema> JsonSchema for Map<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Map{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({ "type": "object", "additionalProperties": value })
    }
}
