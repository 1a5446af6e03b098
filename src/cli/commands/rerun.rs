//! `sendoff rerun`.

use clap::Args;
use sendoff::submit::{self as pipeline, Jobs, Options};

use super::World;
use super::send::{Sending, send};
use crate::cli::Overrides;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;

/// Run a job again as a new one: the same snapshot, environment, run config and arguments
///
/// What is submitted is what ran then, whatever became of the working tree since: the stored snapshot and the stored lock are used. `--set` and the
/// other overrides change the run config on top, except for what decides snapshot and environment. To start a job that failed again under its
/// own id, use `sendoff submit --new-attempt`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A job id, a unique prefix of one, `@last`, or a handle
    job: String,
    #[command(flatten)]
    overrides: Overrides,
    #[command(flatten)]
    sending: Sending,
}

pub(crate) async fn run(arguments: Arguments, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let mut jobs = Jobs::open(&world.dirs, &world.variables)?;
    let record = jobs.locate(&arguments.job).await?;
    let flags = arguments.overrides.flags();
    let (loaded, again) = pipeline::rerun(&jobs, &record, flags, &world.dirs, &world.variables).await.map_err(Failure::Submit)?;
    drop(jobs);
    printer.say(&format!("rerun:    {}", record.id));
    Box::pin(send(loaded, Some(again), arguments.sending, Options::default(), world, printer)).await
}
