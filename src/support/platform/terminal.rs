//! The terminal that this process is at: its size, and the mode in which every key is the other side's.

use std::io::IsTerminal;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Returns columns and rows of the terminal that standard input and output are at; `None` when they are not both at one.
pub fn terminal_size() -> Option<(u16, u16)> {
    if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        return None;
    }
    let size = tcgetwinsize(std::io::stdout()).ok()?;
    Some((size.ws_col, size.ws_row))
}

/// A terminal that hands every key on as it is typed, Ctrl-C too. It is what it was before when this value goes.
#[derive(Debug)]
pub struct RawTerminal(Termios);

impl RawTerminal {
    /// Takes the terminal of standard input.
    pub fn take() -> std::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// The ear for changes of the terminal's size.
#[derive(Debug)]
pub struct Resizes(Option<Signal>);

impl Resizes {
    /// Begins to listen; needs a runtime.
    pub fn listen() -> Self {
        Self(signal(SignalKind::window_change()).ok())
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    }
}
