//! Interruptions: heard from the first to the last, and what the user wants done about them.

use clap::ValueEnum;
use sendoff::support::platform;

use super::printer::Printer;

/// What an interruption does to the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnInterrupt {
    /// Ask; a second Ctrl-C detaches
    Ask,
    /// Leave the job running
    Detach,
    /// End the job
    Cancel,
}

pub(crate) use sendoff::support::platform::Interruption;

/// What somebody at the terminal chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// End the job.
    Cancel,
    /// Leave it running.
    Detach,
    /// It was a mistake: go on.
    Continue,
}

/// Hears interruptions. From its making on, none ends the process by itself.
pub(crate) struct Interruptions(platform::Interruptions);

impl Interruptions {
    pub(crate) fn listen() -> Self {
        Self(platform::Interruptions::listen())
    }

    /// Waits for the next one. One that came while nobody waited is not lost.
    pub(crate) async fn next(&mut self) -> Interruption {
        self.0.next().await
    }

    /// Asks what to do about the job; a second interruption, and an end of the input, leave it running.
    pub(crate) async fn ask(&mut self, printer: &Printer) -> Choice {
        loop {
            printer.complain("\ninterrupted: [c]ancel the job, [d]etach and leave it running, or Enter to go on? (Ctrl-C again detaches)");
            let (send, answer) = tokio::sync::oneshot::channel();
            // Not one of the runtime's own threads: nobody waits for it when the answer never comes.
            std::thread::spawn(move || {
                let mut line = String::new();
                let read = std::io::stdin().read_line(&mut line);
                let _ = send.send(read.ok().filter(|count| *count > 0).map(|_| line.trim().to_ascii_lowercase()));
            });
            let answer = tokio::select! {
                answer = answer => answer.ok().flatten(),
                _ = self.next() => None,
            };
            match answer.as_deref() {
                Some("c" | "cancel" | "y" | "yes") => return Choice::Cancel,
                Some("d" | "detach") | None => return Choice::Detach,
                Some("") => return Choice::Continue,
                Some(_) => {}
            }
        }
    }
}
