//! `sendoff submit`.

use clap::Args;
use sendoff::submit::Options;

use super::World;
use super::send::{Sending, send};
use crate::cli::RunConfigArguments;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;

/// Submit a run config (or a bare .py file), show its log, and end with the job's own exit code
///
/// Other exit codes:
///
/// 130 we were interrupted; 240 the job failed without a code of its own; 241 it was cancelled; 242 it ran past `max_duration`; 243 contact lost, it may
/// still run; 244 bad command line, run config or settings, nothing was sent; 245 the submission failed, nothing is running; 246 the tracker cannot
/// be used from the job, its command never started; 247 our own fault.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    run: RunConfigArguments,
    #[command(flatten)]
    sending: Sending,
    /// Start a job again that failed, was cancelled or lost
    #[arg(long)]
    new_attempt: bool,
    /// Resolve the environment's packages again
    #[arg(long)]
    upgrade: bool,
}

pub(crate) async fn run(arguments: Arguments, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let loaded = sendoff::config::load(&arguments.run.request(world, sendoff::config::Purpose::Submit))
        .map_err(|error| Failure::Submit(error.into()))?;
    let options = Options { new_attempt: arguments.new_attempt, upgrade: arguments.upgrade, ..Options::default() };
    Box::pin(send(loaded, None, arguments.sending, options, world, printer)).await
}
