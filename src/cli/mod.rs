//! The command line: the only code that knows clap, colour, the terminal and exit codes.

mod browser;
mod commands;
mod exit;
mod failure;
mod interrupt;
mod json;
mod printer;
mod report;
mod terminal;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sendoff::config;

use exit::Exit;
use failure::Failure;

/// Sends machine-learning training jobs somewhere and makes sure that MLflow tracking works there.
#[derive(Debug, Parser)]
#[command(name = "sendoff", version, max_term_width = 100, propagate_version = false)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
struct Common {
    /// Print the answer as text for people, or as JSON for programs
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    output: Output,
    /// Say less: only the answer and what is wrong
    #[arg(long, short, global = true)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// A command without words of its own here takes its help from its arguments.
#[derive(Debug, Subcommand)]
enum Command {
    #[command(visible_alias = "create")]
    Submit(commands::submit::Arguments),
    Rerun(commands::rerun::Arguments),
    Init(commands::init::Arguments),
    Plan(commands::plan::Arguments),
    /// Check a run config and report everything that is wrong with it
    #[command(visible_alias = "validate")]
    Check(commands::check::Arguments),
    /// Show the run config's values and where each came from
    #[command(subcommand)]
    Config(commands::config::Command),
    Schema(commands::schema::Arguments),
    /// List the jobs, newest first
    #[command(visible_alias = "ls")]
    List(commands::list::Arguments),
    /// Show what is known of a job
    #[command(visible_alias = "show")]
    Status(commands::jobs::One),
    /// Show a job's log
    Logs(commands::logs::Arguments),
    /// Follow a job's log to its end; the same as `logs --follow`
    Stream(commands::jobs::One),
    /// Wait for a job and end with its own exit code
    Wait(commands::jobs::One),
    /// End a job: TERM, its grace, KILL
    Cancel(commands::jobs::One),
    /// Copy a job's outputs and log into ./<job id>/
    Download(commands::download::Arguments),
    Open(commands::open::Arguments),
    Shell(commands::shell::Arguments),
    /// Forget a job that has ended, with its log and outputs
    Delete(commands::delete::Arguments),
    /// Show a job's metrics: last value, extremes and course
    Metrics(commands::metrics::Arguments),
    /// See what a snapshot is made of
    #[command(subcommand)]
    Snapshot(commands::snapshot::Command),
    /// List and remove environments
    #[command(subcommand)]
    Env(commands::env::Command),
    /// Start, stop and look at the managed MLflow server; track from a notebook; deliver late
    #[command(subcommand)]
    Tracking(commands::tracking::Command),
    /// Run a local stand-in of a remote service, for any client of that service
    #[command(subcommand)]
    Emulator(commands::emulator::Command),
    Gc(commands::gc::Arguments),
    Doctor(commands::doctor::Arguments),
    /// Print completions for a shell
    Completions(commands::completions::Arguments),
    /// Runs the supervisor of an attempt (called by sendoff itself)
    #[command(hide = true)]
    Supervise {
        /// The attempt's folder
        folder: PathBuf,
        /// Takes the place of a supervisor that died
        #[arg(long)]
        again: bool,
    },
    /// Runs a tracking relay (called by the supervisor)
    #[command(hide = true)]
    Relay,
    /// Keeps the relay of a person (called by `tracking env`)
    #[command(hide = true)]
    KeepRelay,
    /// Runs an emulator (called by `emulator up`)
    #[command(hide = true)]
    Emulate,
    /// Becomes a job's bootstrap (called by the supervisor)
    #[command(hide = true)]
    Enter(commands::internal::Enter),
}

/// A run config and what overrides it.
#[derive(Debug, Clone, Args)]
struct RunConfigArguments {
    /// The run config, a .py or .ipynb file, or a folder with a run.yaml in it [default: this folder]
    file: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
}

/// What decides a run config beside its file.
#[derive(Debug, Clone, Args)]
struct Overrides {
    /// Choose the compute target
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Send it to a local emulation of the compute target
    #[arg(long)]
    emulate: bool,
    /// Choose the tracker: `managed` or an http(s) address
    #[arg(long, value_name = "URI", conflicts_with = "no_tracking")]
    tracking_uri: Option<String>,
    /// Submit without a tracker
    #[arg(long)]
    no_tracking: bool,
    /// Choose the MLflow experiment
    #[arg(long, value_name = "NAME")]
    experiment_name: Option<String>,
    /// Override a key of the run config (can be repeated)
    #[arg(long, value_name = "KEY.PATH=VALUE")]
    set: Vec<String>,
}

impl Overrides {
    fn flags(&self) -> config::Flags {
        config::Flags {
            target: self.target.clone(),
            tracking_uri: self.tracking_uri.clone(),
            experiment_name: self.experiment_name.clone(),
            no_tracking: self.no_tracking,
            emulate: self.emulate,
            set: self.set.clone(),
        }
    }
}

impl RunConfigArguments {
    fn request(&self, world: &commands::World, purpose: config::Purpose) -> config::Request {
        config::Request {
            file: self.file.clone(),
            cwd: world.cwd.clone(),
            flags: self.overrides.flags(),
            purpose,
            environment: world.variables.clone(),
            user_settings: world.dirs.config.clone(),
            stored: None,
        }
    }
}

/// Parses the command line, runs the command, and returns its exit code.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            if error.use_stderr() && wants_json(std::env::args_os()) {
                let message = error.kind().as_str().unwrap_or("the command line is wrong").to_owned();
                let printer = printer::Printer::new(Output::Json, false);
                printer.json(&json::failure(Exit::Usage.code(), &message, &[error.to_string()], &[], &[]));
            }
            // Help and version are answers, not mistakes.
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Success.into() };
        }
    };
    let printer = printer::Printer::new(cli.common.output, cli.common.quiet);
    match dispatch(cli.command, &printer) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            let exit = failure.exit();
            failure.render(&printer);
            exit.into()
        }
    }
}

/// Returns whether a command line that could not be read asks for JSON.
fn wants_json(arguments: impl Iterator<Item = std::ffi::OsString>) -> bool {
    let words: Vec<_> = arguments.collect();
    words.iter().any(|word| word == "--output=json") || words.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json")
}

fn dispatch(command: Command, printer: &printer::Printer) -> Result<Exit, Failure> {
    // These run on their own and must not depend on the caller's folders.
    match &command {
        Command::Supervise { folder, again } => return commands::internal::supervise(folder, *again),
        Command::Enter(enter) => return commands::internal::enter(enter),
        Command::Relay => return commands::internal::relay(),
        Command::KeepRelay => return commands::internal::keep_relay(),
        Command::Emulate => return commands::internal::emulate(),
        _ => {}
    }
    if let Command::Completions(arguments) = command {
        return commands::completions::run(&arguments, printer);
    }
    let world = commands::World::new()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    let result = runtime.block_on(async {
        match command {
            Command::Submit(arguments) => Box::pin(commands::submit::run(arguments, &world, printer)).await,
            Command::Rerun(arguments) => Box::pin(commands::rerun::run(arguments, &world, printer)).await,
            Command::Init(arguments) => commands::init::run(&arguments, &world, printer),
            Command::Plan(arguments) => Box::pin(commands::plan::run(&arguments, &world, printer)).await,
            Command::Check(arguments) => commands::check::run(&arguments, &world, printer),
            Command::Schema(arguments) => commands::schema::run(&arguments, printer),
            Command::Config(command) => commands::config::run(&command, &world, printer),
            Command::List(arguments) => commands::list::run(&arguments, &world, printer).await,
            Command::Status(arguments) => commands::status::run(&arguments, &world, printer).await,
            Command::Logs(arguments) => commands::logs::run(&arguments, &world, printer).await,
            Command::Stream(arguments) => commands::logs::follow(&arguments.job, 0, commands::logs::Show::Log, &world, printer).await,
            Command::Wait(arguments) => commands::logs::follow(&arguments.job, 0, commands::logs::Show::Nothing, &world, printer).await,
            Command::Cancel(arguments) => commands::cancel::run(&arguments, &world, printer).await,
            Command::Download(arguments) => commands::download::run(&arguments, &world, printer).await,
            Command::Shell(arguments) => commands::shell::run(&arguments, &world, printer).await,
            Command::Open(arguments) => commands::open::run(&arguments, &world, printer).await,
            Command::Delete(arguments) => commands::delete::run(&arguments, &world, printer).await,
            Command::Metrics(arguments) => commands::metrics::run(&arguments, &world, printer).await,
            Command::Snapshot(command) => commands::snapshot::run(&command, &world, printer),
            Command::Env(command) => commands::env::run(&command, &world, printer).await,
            Command::Gc(arguments) => commands::gc::run(&arguments, &world, printer).await,
            Command::Doctor(arguments) => commands::doctor::run(&arguments, &world, printer),
            Command::Emulator(command) => commands::emulator::run(&command, &world, printer).await,
            Command::Tracking(command) => commands::tracking::run(&command, &world, printer).await,
            Command::Completions(_)
            | Command::Supervise { .. }
            | Command::Relay
            | Command::KeepRelay
            | Command::Emulate
            | Command::Enter(_) => Ok(Exit::Success),
        }
    });
    // Threads that are still at work, or wait for somebody to type, do not hold up the end.
    runtime.shutdown_background();
    result
}
