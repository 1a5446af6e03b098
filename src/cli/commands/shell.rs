//! `sendoff shell`.

use clap::Args;
use sendoff::job::JobState;
use sendoff::support::words::all_of;
use sendoff::target::{Door, Room};

use super::World;
use super::jobs::{open_jobs, sentence};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::cli::terminal;

/// Open a shell where a job runs, or in a fresh copy of that place after it ended
///
/// A job that runs: one more process in its container, or in its working directory on this machine. A job that does not: a fresh container of the same
/// image, user and mounts, or a folder, with the job's snapshot as it was submitted; what it left is in `sendoff download`. It is removed after. Of a job
/// that was submitted with `--keep` the shell has the working directory as the job left it.
///
/// The shell has the job's variables. It has the job's secrets as far as they are set where you type this, and is not attached to the MLflow run.
/// Without a terminal it reads its commands from stdin: `echo 'ls' | sendoff shell JOB`. It ends with the exit code of what ran.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A job id, a unique prefix of one, `@last`, or a handle
    job: String,
    /// Choose a node of the job by its rank [default: the first, 0]
    #[arg(long, value_name = "RANK")]
    node: Option<u32>,
    /// Run this instead of a shell
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(crate) async fn run(arguments: &Arguments, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    if printer.is_json() {
        return Err(Failure::Usage("what a shell prints is not JSON: leave `--output json` out".to_owned()));
    }
    let mut jobs = open_jobs(world, printer)?;
    let record = jobs.locate(&arguments.job).await?;
    let record = jobs.refresh(record).await?;
    if record.state == JobState::Preparing {
        return Err(Failure::Usage(format!("the job `{}` was never started: its submission was interrupted", record.id)));
    }
    let shell = jobs.shell(&record, arguments.node.unwrap_or(0), arguments.command.clone(), terminal::size()).await?;
    match shell.room {
        Room::TheJobs => {}
        Room::AsLeft => printer.say(&format!("{}: this is its working directory as it was left", sentence(&record))),
        Room::Fresh => {
            printer.say(&format!("{}: this is a fresh copy of its snapshot and environment, which goes when you leave", sentence(&record)));
        }
    }
    if !shell.missing.is_empty() {
        printer.complain(&format!("{}: it is without {}", printer.styled("1;33", "warning"), all_of(&shell.missing)));
    }
    let code = match shell.door {
        Door::Here(here) => terminal::run(*here).await.map_err(Failure::Shell)?,
        Door::Inside(inside) => terminal::attend(*inside).await?,
    };
    match code {
        terminal::End::Code(code) => Ok(u8::try_from(code).map_or(Exit::JobFailed, Exit::Job)),
        terminal::End::Interrupted => Ok(Exit::Interrupted),
        terminal::End::Gone => {
            printer.complain("the place where the shell was is gone: the job has ended");
            Ok(Exit::ContactLost)
        }
    }
}
