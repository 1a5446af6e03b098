//! YAML with places: a node tree that keeps the text and span of everything, and a reader that collects findings.

mod fields;
mod finding;
mod node;
mod parse;

pub use fields::{Context, Fields};
pub use finding::{Finding, Source};
pub use node::{Node, Value};
pub use parse::parse;
