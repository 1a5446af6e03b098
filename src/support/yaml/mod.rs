//! YAML with places: a node tree that keeps the text and span of everything, and documents that are read from it.
//!
//! [`document!`](crate::document) makes a type that is both the reader of a mapping and its JSON Schema, so the two cannot drift apart.
//! Reading collects everything that is wrong in a [`Context`], instead of stopping at the first.

mod context;
mod document;
mod fields;
mod finding;
mod grammar;
mod leaf;
mod node;
mod parse;
mod place;

pub use context::Context;
pub use document::{Aliases, Document, Read};
pub use fields::Fields;
pub use finding::Finding;
pub use grammar::Grammar;
pub(crate) use grammar::word;
pub use leaf::{List, Map, Parsed, Text};
pub use node::{Node, Value};
pub use parse::{parse, parse_from};
pub use place::{Place, Source};
