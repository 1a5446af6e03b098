//! The `sendoff` command: parse, run, render the failure, return the exit code.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
