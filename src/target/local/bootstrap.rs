//! Renders the bootstrap that all self-managed targets share.

use serde::Serialize;

use crate::job::attempt::Attempt;
use crate::job::{Command, JobSpec};
use crate::support::{shell, template};
use crate::target::Error;

/// The small Python programs that the bootstrap calls, by file name.
pub(super) const PROGRAMS: [(&str, &str); 2] =
    [("unpack.py", include_str!("../../../templates/unpack.py")), ("preflight.py", include_str!("../../../templates/preflight.py"))];

#[derive(Serialize)]
struct Context<'a> {
    id: &'a str,
    attempt: u32,
    folder: String,
    python: String,
    snapshot: &'a str,
    variables: &'a [(String, String)],
    outputs: Vec<String>,
    preflight: bool,
    setup: Option<&'a str>,
    command: String,
    shown: String,
}

/// Returns the script for an attempt.
pub(super) fn render(spec: &JobSpec, attempt: &Attempt) -> Result<String, Error> {
    let folder = attempt.folder().display().to_string();
    let command = match &spec.command {
        Command::Program(words) => shell::join(words),
        Command::Shell(line) => format!("/bin/sh -c {}", shell::quote(line)),
    };
    let shown = match &spec.command {
        Command::Program(words) => shell::join(words),
        Command::Shell(line) => line.clone(),
    };
    let outputs = spec.outputs.iter().filter(|(_, is_folder)| *is_folder).map(|(name, _)| format!("{folder}/collected/{name}")).collect();
    let context = Context {
        id: spec.id.as_str(),
        attempt: spec.attempt,
        folder,
        python: spec.python.display().to_string(),
        snapshot: &spec.snapshot,
        variables: &spec.variables,
        outputs,
        preflight: spec.preflight,
        setup: spec.setup.as_deref(),
        command,
        shown,
    };
    Ok(template::render("bootstrap.sh", include_str!("../../../templates/bootstrap.sh"), &context)?)
}
