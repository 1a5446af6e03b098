//! The one place that shows errors: what, causes, hints.

use sendoff::support::causes::chain;
use sendoff::support::hints::Hints;
use sendoff::{config, submit};

use super::exit::Exit;
use super::json;
use super::printer::Printer;

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The pipeline failed.
    Submit(submit::Error),
    /// A command that asks or changes something failed.
    Command(submit::Error),
    /// A word of the command line is wrong.
    Usage(String),
    /// The folders of sendoff are not known.
    Dirs(sendoff::support::dirs::Error),
    /// A shell of this machine could not be run.
    Shell(std::io::Error),
    /// The runtime could not be started.
    Runtime(std::io::Error),
}

impl<E: Into<submit::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Command(error.into())
    }
}

impl Failure {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Submit(error) | Self::Command(error) if error.is_usage() => Exit::Usage,
            Self::Submit(submit::Error::Interrupted) => Exit::Interrupted,
            Self::Submit(_) => Exit::SubmissionFailed,
            // Where the records are to be is the user's to say.
            Self::Command(submit::Error::Job(error)) if error.is_refused() => Exit::Usage,
            Self::Command(submit::Error::Job(_) | submit::Error::Panicked) | Self::Runtime(_) | Self::Shell(_) => Exit::Internal,
            Self::Command(error) if error.is_out_of_contact() => Exit::ContactLost,
            Self::Command(_) => Exit::SubmissionFailed,
            Self::Usage(_) | Self::Dirs(_) => Exit::Usage,
        }
    }

    pub(crate) fn render(&self, printer: &Printer) {
        let (message, causes, hints, findings) = self.parts();
        if printer.is_json() {
            printer.json(&json::failure(self.exit().code(), &message, &causes, &hints, findings));
        }
        for finding in findings {
            printer.complain(&finding.render(printer.colour()));
            printer.complain("");
        }
        printer.complain(&format!("{}: {message}", printer.styled("1;31", "error")));
        for cause in causes {
            printer.complain(&format!("  caused by: {cause}"));
        }
        for hint in hints {
            printer.complain(&format!("{}: {hint}", printer.styled("1;36", "hint")));
        }
    }

    fn parts(&self) -> (String, Vec<String>, Vec<String>, &[sendoff::support::yaml::Finding]) {
        match self {
            Self::Submit(error) | Self::Command(error) => {
                let findings: &[_] = match error {
                    submit::Error::Config(config::Error::Findings(findings)) => findings,
                    _ => &[],
                };
                (error.to_string(), causes(error), error.hints(), findings)
            }
            Self::Usage(text) => (text.clone(), Vec::new(), Vec::new(), &[]),
            Self::Dirs(error) => (error.to_string(), Vec::new(), error.hints(), &[]),
            Self::Shell(error) => ("could not run a shell".to_owned(), vec![error.to_string()], Vec::new(), &[]),
            Self::Runtime(error) => ("could not start".to_owned(), vec![error.to_string()], Vec::new(), &[]),
        }
    }
}

fn causes(error: &submit::Error) -> Vec<String> {
    let mut causes: Vec<String> = chain(error).skip(1).map(ToString::to_string).collect();
    // A transparent layer repeats what is below it.
    causes.dedup();
    causes
}
