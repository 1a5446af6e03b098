//! `script` or `command`.

use std::path::Path;

use crate::config::{Entry, document};
use crate::support::yaml::{Context, Node};

/// Returns what runs.
pub(super) fn check(document: &document::RunConfig, root: &Node, context: &Context) -> Option<Entry> {
    let (script, command) = (document.script.as_ref(), document.command.as_ref());
    let is_written = |key| root.get(key).is_some_and(|node| !node.is_null());
    match (script, command) {
        (Some(_), Some(command)) => {
            context.find(
                &command.place,
                "`script` and `command` exclude each other",
                "the second of them",
                Some("keep one of them".to_owned()),
            );
            None
        }
        (None, None) => {
            // One that is written and wrong was found already.
            if !is_written("script") && !is_written("command") {
                let place = &root.place;
                context.find(
                    place,
                    "there is nothing to run",
                    "neither `script` nor `command`",
                    Some("write `script: train.py`".to_owned()),
                );
            }
            None
        }
        (None, Some(command)) => Some(Entry::Command(command.text.clone())),
        (Some(script), None) => {
            let path = script.text.trim_start_matches("./").to_owned();
            if Path::new(&path).is_absolute() || path.split('/').any(|part| part == "..") {
                context.find(
                    &script.place,
                    "`script` must lie inside the source directory",
                    "this leaves it",
                    Some("write it relative to `source_directory`, or set `source_directory` to a folder that contains it".to_owned()),
                );
                return None;
            }
            match Path::new(&path).extension().and_then(|extension| extension.to_str()) {
                Some("ipynb") => {
                    if let Some(arguments) = document.arguments.as_ref().filter(|arguments| !arguments.items.is_empty()) {
                        context.find(
                            &arguments.place,
                            "a notebook takes no `arguments`",
                            "nobody would read them",
                            Some("write `inputs:`; its cells find them in `os.environ[\"SENDOFF_INPUT_<NAME>\"]`".to_owned()),
                        );
                    }
                    Some(Entry::Notebook(path))
                }
                Some("py") => Some(Entry::Script(path)),
                _ => {
                    context.find(
                        &script.place,
                        "`script` takes a Python file or a notebook",
                        "neither `.py` nor `.ipynb`",
                        Some("use `command:` for other programs".to_owned()),
                    );
                    None
                }
            }
        }
    }
}
