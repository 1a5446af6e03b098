//! Documents: types that are read from nodes and describe themselves as JSON Schema.

use schemars::Schema;
use schemars::transform::Transform;
use serde_json::{Value, json};

use super::{Context, Fields, Node};

/// A value that is read from a node.
pub trait Read: Sized {
    /// Reads a node; `name` is its key's full name, and what is wrong goes to the context.
    fn read(node: &Node, name: &str, context: &Context) -> Option<Self>;
}

/// A mapping of which the keys are known.
pub trait Document: Read {
    /// Reads the keys out of a mapping that may hold others.
    fn take(fields: &mut Fields<'_>) -> Self;
}

/// Makes the type of a mapping from its keys: each field is a key, its doc comment the description in the schema.
///
/// Every field is optional and reads as `None` when it is missing, nothing, or wrong (which is then a finding). Words behind a `|` are other
/// names of the key: they are accepted with a note, and deprecated in the schema. A key that is no field is a finding.
#[macro_export]
macro_rules! document {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident {
            $(
                $(#[$field_meta:meta])*
                $field:ident $(| $alias:literal)* : $type:ty
            ),* $(,)?
        }
    ) => {
        #[derive(Debug, Clone, Default, schemars::JsonSchema)]
        $(#[$meta])*
        #[schemars(deny_unknown_fields, transform = $crate::support::yaml::Aliases(&[$((stringify!($field), &[$($alias),*])),*]))]
        $visibility struct $name {
            $(
                $(#[$field_meta])*
                $visibility $field: Option<$type>,
            )*
        }

        impl $crate::support::yaml::Document for $name {
            #[allow(unused_variables, reason = "a document may have no keys")]
            fn take(fields: &mut $crate::support::yaml::Fields<'_>) -> Self {
                Self {
                    // A key that is a word of Rust is written `r#type`.
                    $($field: fields.take(stringify!($field).trim_start_matches("r#"), &[$($alias),*]),)*
                }
            }
        }

        impl $crate::support::yaml::Read for $name {
            fn read(
                node: &$crate::support::yaml::Node,
                name: &str,
                context: &$crate::support::yaml::Context,
            ) -> Option<Self> {
                let mut fields = $crate::support::yaml::Fields::of(node, name, context)?;
                let document = <Self as $crate::support::yaml::Document>::take(&mut fields);
                fields.finish();
                Some(document)
            }
        }
    };
}

/// Adds the other names of keys to a schema, as deprecated keys of the same shape, and flattens alternatives of alternatives.
#[derive(Debug, Clone, Copy)]
pub struct Aliases(pub &'static [(&'static str, &'static [&'static str])]);

impl Transform for Aliases {
    fn transform(&mut self, schema: &mut Schema) {
        let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
        for property in properties.values_mut() {
            flatten(property);
        }
        for (key, aliases) in self.0 {
            let Some(property) = properties.get(key.trim_start_matches("r#")).cloned() else { continue };
            for alias in *aliases {
                let mut property = property.clone();
                property["description"] = json!(format!("Another name of `{key}`."));
                property["deprecated"] = json!(true);
                properties.insert((*alias).to_owned(), property);
            }
        }
    }
}

/// Writes "(a or b) or c" as "a or b or c".
fn flatten(schema: &mut Value) {
    let Some(Value::Array(alternatives)) = schema.get_mut("anyOf") else { return };
    let nested = std::mem::take(alternatives);
    for alternative in nested {
        match alternative.get("anyOf").and_then(Value::as_array) {
            Some(inner) => alternatives.extend(inner.iter().cloned()),
            None => alternatives.push(alternative),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::path::Path;

    use schemars::JsonSchema;
    use serde_json::json;

    use super::Read;
    use crate::support::yaml::{Context, List, Map, Parsed, Text, parse};

    document! {
        /// A document.
        struct Sample {
            /// A name.
            name | "title": Text,
            /// A count.
            r#type: Parsed<NonZeroU32>,
            /// Words.
            words: List<Text>,
            /// Pairs.
            pairs: Map<Text>,
        }
    }

    /// Reads a document: what of it can be read, and what was found and noted.
    fn read(text: &str) -> (Option<Sample>, Vec<String>, Vec<String>) {
        let context = Context::default();
        let (root, findings) = parse(Path::new("a.yaml"), text);
        context.extend(findings);
        let sample = root.and_then(|root| Sample::read(&root, "", &context));
        let (findings, notes) = context.finish();
        (sample, findings.into_iter().map(|finding| finding.message).collect(), notes)
    }

    #[test]
    fn keys_are_read_by_their_source_text_and_a_single_value_is_a_list_of_one() {
        let (sample, findings, notes) = read("name: 3.10\ntype: 2\nwords: no\npairs: {b: 1e-4, a: 007}\n");
        let sample = sample.expect("it is a mapping");
        assert_eq!((sample.name.map(|name| name.text), sample.r#type.map(|count| count.value.get())), (Some("3.10".into()), Some(2)));
        assert_eq!(sample.words.map(|words| words.items[0].text.clone()), Some("no".into()));
        let pairs: Vec<String> =
            sample.pairs.iter().flat_map(|map| &map.entries).map(|(key, text)| format!("{} {}", key.text, text.text)).collect();
        assert_eq!((pairs, findings, notes), (vec!["b 1e-4".into(), "a 007".into()], Vec::new(), Vec::new()));
    }

    #[test]
    fn everything_wrong_is_found_at_once_and_the_rest_is_read() {
        let (sample, findings, _) = read("name: [a]\ntype: 0\nwords: {a: b}\npairs: [a]\nnmae: x\n");
        assert_eq!(sample.map(|sample| sample.name.is_none() && sample.words.is_none()), Some(true));
        assert_eq!(
            findings,
            [
                "`name` must be a single value",
                "`type` cannot be read",
                "`words` must be a list",
                "`pairs` must be a mapping",
                "unknown key `nmae`"
            ]
        );
        assert_eq!(read("- a\n").1, ["the document must be a mapping"]);
        assert!(read("").1.is_empty() && read("name:\ntype: ~\n").1.is_empty(), "nothing is as good as missing");
    }

    #[test]
    fn another_name_is_accepted_with_a_note_and_not_beside_the_key() {
        let (sample, findings, notes) = read("title: a\n");
        assert_eq!(sample.and_then(|sample| sample.name).map(|name| name.text), Some("a".into()));
        assert_eq!((findings.len(), notes), (0, vec!["`title` was read as `name`".to_owned()]));
        assert_eq!(read("title: a\nname: b\n").1, ["`title` and `name` are the same key"]);
    }

    #[test]
    fn the_schema_has_the_keys_their_descriptions_and_their_other_names() {
        let schema = Sample::json_schema(&mut schemars::SchemaGenerator::default()).to_value();
        let keys: Vec<&String> = schema["properties"].as_object().expect("it has keys").keys().collect();
        assert_eq!(keys, ["name", "type", "words", "pairs", "title"]);
        assert_eq!(
            schema["properties"]["title"],
            json!({
                "description": "Another name of `name`.",
                "type": ["string", "number", "boolean", "null"],
                "deprecated": true,
            })
        );
        assert_eq!((&schema["properties"]["type"]["description"], &schema["additionalProperties"]), (&json!("A count."), &json!(false)));
    }
}
