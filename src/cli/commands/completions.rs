//! `sendoff completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "sendoff", &mut text);
    let _ = std::io::Write::write_all(&mut std::io::stdout(), &text);
    Ok(Exit::Success)
}
