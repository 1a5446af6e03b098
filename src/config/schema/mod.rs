//! The JSON Schema of the two kinds of file, made from the types that read them.
//!
//! The copies beside this file are for whoever wants them without the program, and show in a review what a change does to users' files.

use schemars::generate::SchemaSettings;

use super::document;

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// `run.yaml`.
    RunConfig,
    /// `sendoff.yaml`.
    Settings,
}

/// Returns the JSON Schema (2020-12) of a kind of file, as text that ends with a newline.
pub fn schema(of: Schema) -> String {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let schema = match of {
        Schema::RunConfig => generator.into_root_schema_for::<document::RunConfig>(),
        Schema::Settings => generator.into_root_schema_for::<document::Settings>(),
    };
    serde_json::to_string_pretty(&schema).expect("a schema is plain JSON") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copies_beside_this_file_are_fresh() {
        for (of, copy, command) in [
            (Schema::RunConfig, include_str!("run-config.json"), "sendoff schema > src/config/schema/run-config.json"),
            (Schema::Settings, include_str!("settings.json"), "sendoff schema settings > src/config/schema/settings.json"),
        ] {
            assert!(schema(of) == copy, "the copy is stale; look at the difference and write it anew: {command}");
        }
    }
}
