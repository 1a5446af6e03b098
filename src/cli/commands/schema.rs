//! `sendoff schema`.

use clap::{Args, ValueEnum};
use sendoff::config::{Schema, schema};

use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;

/// Print the JSON Schema of run configs or settings, which editors complete from
///
/// Save it (`sendoff schema > run.schema.json`) and name it in the first line of a run config:
///
///     # yaml-language-server: $schema=run.schema.json
///
/// Editors with the YAML language server then complete keys, show what each means, and mark what is wrong.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Which file it describes
    #[arg(value_enum, default_value_t = Kind::RunConfig)]
    of: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A run config (`run.yaml`)
    RunConfig,
    /// Settings (`sendoff.yaml`)
    Settings,
}

pub(crate) fn run(arguments: &Arguments, printer: &Printer) -> Result<Exit, Failure> {
    let of = match arguments.of {
        Kind::RunConfig => Schema::RunConfig,
        Kind::Settings => Schema::Settings,
    };
    // JSON already, whatever `--output` says.
    printer.answer(&schema(of));
    Ok(Exit::Success)
}
