//! Renders the text of `templates/` in strict mode: a name that is not set is an error.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use super::shell;

/// A template could not be rendered, which is a bug of ours.
#[derive(Debug, thiserror::Error)]
#[error("could not render the template `{name}`")]
pub struct Error {
    name: &'static str,
    #[source]
    source: minijinja::Error,
}

/// Renders a template with the filter `sh`, which quotes a value as one shell word.
pub fn render<T: Serialize>(name: &'static str, text: &str, context: &T) -> Result<String, Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()
        .map_err(|source| Error { name, source })?;
    environment.set_syntax(syntax);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.add_filter("sh", |value: String| shell::quote(&value));
    environment.render_named_str(name, text, minijinja::value::Serde(context)).map_err(|source| Error { name, source })
}
