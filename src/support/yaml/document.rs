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
        pub struct $name:ident {
            $(
                $(#[$field_meta:meta])*
                $field:ident $(| $alias:literal)* : $type:ty
            ),* $(,)?
        }
    ) => {
        #[derive(Debug, Clone, Default, schemars::JsonSchema)]
        $(#[$meta])*
        #[schemars(deny_unknown_fields, transform = $crate::support::yaml::Aliases(&[$((stringify!($field), &[$($alias),*])),*]))]
        pub struct $name {
            $(
                $(#[$field_meta])*
                pub $field: Option<$type>,
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
