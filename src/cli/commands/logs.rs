//! `sendoff logs`, `stream` and `wait`: a job's log as it is, or to the job's end.

use std::io::{self, Write};

use clap::Args;
use sendoff::job::JobState;
use sendoff::submit::{Jobs, Watch};
use sendoff::support::fs::Context;
use serde::Serialize;

use super::World;
use super::jobs::{open_jobs, report_end};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::interrupt::Interruptions;
use crate::cli::json;
use crate::cli::printer::Printer;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A job id, a unique prefix of one, `@last`, or a handle
    job: String,
    /// Go on until the job ends, and end with its own exit code
    #[arg(long, short)]
    follow: bool,
    /// The log of this node, of a job with several (`resources.nodes`); the first is 0
    #[arg(long, value_name = "RANK", default_value_t = 0, hide_default_value = true)]
    node: u32,
}

/// One line of a log. With `--output json` each is an object of its own.
#[derive(Serialize)]
struct Line<'a> {
    job: &'a str,
    node: u32,
    line: &'a str,
}

/// Whether the log is shown while waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    Log,
    Nothing,
}

pub(crate) async fn run(arguments: &Arguments, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    if arguments.follow {
        return follow(&arguments.job, arguments.node, Show::Log, world, printer).await;
    }
    let mut jobs = open_jobs(world, printer)?;
    let record = jobs.locate(&arguments.job).await?;
    jobs.has_node(&record, arguments.node)?;
    let (target, reference) = (jobs.target(&record), Jobs::reference(&record));
    target.fetch_log(&reference, arguments.node).await?;
    let path = target.log(&reference, arguments.node);
    let Ok(mut file) = std::fs::File::open(&path) else {
        printer.say("there is no log yet");
        return Ok(Exit::Success);
    };
    if printer.is_json() {
        let mut lines = Lines { job: record.id.as_str(), node: arguments.node, printer, rest: Vec::new() };
        io::copy(&mut file, &mut lines).context("read", &path).map_err(sendoff::job::Error::File)?;
        lines.finish();
    } else {
        // The standard library copies from file to stdout in the kernel where it can.
        match io::copy(&mut file, &mut io::stdout().lock()) {
            // A reader that went away is fine; a log that is shown in part is not.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            copied => {
                copied.context("show", &path).map_err(sendoff::job::Error::File)?;
            }
        }
    }
    Ok(Exit::Success)
}

/// Waits for a job's end.
pub(crate) async fn follow(job: &str, node: u32, show: Show, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let mut jobs = open_jobs(world, printer)?;
    let record = jobs.locate(job).await?;
    let record = jobs.refresh(record).await?;
    jobs.has_node(&record, node)?;
    if record.state == JobState::Preparing {
        return Err(Failure::Usage(format!("the job `{}` was never started: its submission was interrupted", record.id)));
    }
    let id = record.id.clone();
    let (mut watch, mut interruptions) = (Watch::new(record).of_node(node), Interruptions::listen());
    let (mut out, mut lines) = (io::stdout(), Lines { job: id.as_str(), node, printer, rest: Vec::new() });
    let log: &mut (dyn Write + Send) = if printer.is_json() { &mut lines } else { &mut out };
    let ended = tokio::select! {
        record = watch.to_end(&mut jobs, (show == Show::Log).then_some(log)) => Some(record?),
        _ = interruptions.next() => None,
    };
    lines.finish();
    let Some(record) = ended else {
        printer.complain(&format!("interrupted; the job goes on: `sendoff logs --follow {id}` shows it, `sendoff cancel {id}` ends it"));
        return Ok(Exit::Interrupted);
    };
    report_end(&record, &jobs, printer);
    Ok(Exit::of(&record.state))
}

/// Turns what is written into an object per line.
struct Lines<'a> {
    job: &'a str,
    node: u32,
    printer: &'a Printer,
    rest: Vec<u8>,
}

impl Lines<'_> {
    fn print(&self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        self.printer.json_line(&json::report("log-line", Line { job: self.job, node: self.node, line: &text }));
    }

    /// Prints what has no newline at its end.
    fn finish(mut self) {
        let rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() {
            self.print(&rest);
        }
    }
}

impl Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            self.print(&line[..line.len() - 1]);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
