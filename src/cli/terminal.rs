//! This terminal, lent to a process elsewhere: keys go in, what it writes comes out, changes of the size are told.

use std::io::{Read, Write};
use std::process::ExitStatus;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use sendoff::engine::{self, Piece, Terminal};
use sendoff::support::platform::{self, RawTerminal, Resizes};
use sendoff::target::{Ending, Guest, Here, Inside};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::interrupt::Interruptions;

/// Bytes that are passed on at once.
const PIECE: usize = 64 << 10;

/// How long a process that is interrupted may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a process ended that the terminal was lent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With a code.
    Code(i32),
    /// We were asked to end.
    Interrupted,
    /// With the place where it ran.
    Gone,
}

/// Returns the size of the terminal, if there is somebody at one.
pub(crate) fn size() -> Option<Terminal> {
    platform::terminal_size().map(|(width, height)| Terminal { width, height })
}

/// Runs a program of this machine at our own ends.
pub(crate) async fn run(here: Here) -> Result<End, std::io::Error> {
    // Ctrl-C is the program's business: both hear it, and this process waits.
    let mut interruptions = Interruptions::listen();
    let Here { command, .. } = here;
    let mut child = tokio::process::Command::from(command).spawn()?;
    loop {
        tokio::select! {
            status = child.wait() => return Ok(End::Code(code(status?))),
            interruption = interruptions.next() => {
                if interruption == platform::Interruption::Termination {
                    child.kill().await?;
                    return Ok(End::Interrupted);
                }
            }
        }
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| platform::ending_signal(status).map(|signal| 128 + signal)).unwrap_or(-1)
}

/// Attends to a process in a container until it ends, and removes what was made for it.
pub(crate) async fn attend(inside: Inside) -> Result<End, sendoff::target::Error> {
    let Inside { mut guest, output, input } = inside;
    let end = {
        let _raw = size().and_then(|_| RawTerminal::take().ok());
        // A process that does not read may write all the same.
        let feeding = tokio::spawn(feed(input));
        let end = match pump(&mut guest, output).await? {
            Some(()) => guest.code().await.map_or(End::Gone, End::Code),
            None => End::Interrupted,
        };
        feeding.abort();
        end
    };
    guest.leave().await?;
    Ok(end)
}

/// Shows everything until the process has written its last; `None` when we are asked to end first, and then it has been ended, too: a second
/// interruption, or too long a time, leaves it no choice.
async fn pump(
    guest: &mut Guest,
    mut output: impl Stream<Item = Result<Piece, engine::Error>> + Unpin,
) -> Result<Option<()>, sendoff::target::Error> {
    let mut interruptions = Interruptions::listen();
    let mut resizes = Resizes::listen();
    let mut patience = std::pin::pin!(tokio::time::sleep(PATIENCE));
    let mut is_ending = false;
    loop {
        tokio::select! {
            piece = output.next() => match piece {
                // A reader of ours that went away is no reason to end what runs there.
                Some(Ok(Piece::Out(bytes))) => drop(show(&mut std::io::stdout().lock(), &bytes)),
                Some(Ok(Piece::Err(bytes))) => drop(show(&mut std::io::stderr().lock(), &bytes)),
                Some(Err(_)) | None => return Ok((!is_ending).then_some(())),
            },
            () = resizes.next() => {
                if let Some(size) = size() {
                    guest.resize(size).await;
                }
            }
            _ = interruptions.next() => {
                let how = if is_ending { Ending::Forced } else { Ending::Asked };
                guest.end(how).await?;
                if is_ending || guest.is_alone() {
                    return Ok(None);
                }
                is_ending = true;
                patience.as_mut().reset(tokio::time::Instant::now() + PATIENCE);
            }
            () = patience.as_mut(), if is_ending => {
                guest.end(Ending::Forced).await?;
                return Ok(None);
            }
        }
    }
}

/// Passes on what comes in by our standard input, and its end. A process that has ended takes nothing more; its output tells.
async fn feed(mut input: impl AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut keys = typed();
    while let Some(bytes) = keys.recv().await {
        input.write_all(&bytes).await?;
        input.flush().await?;
    }
    input.shutdown().await
}

fn show(out: &mut impl Write, bytes: &[u8]) -> std::io::Result<()> {
    out.write_all(bytes)?;
    out.flush()
}

/// Returns what comes in by standard input, to its end. Nobody waits for its thread when nothing more comes.
fn typed() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut buffer = vec![0; PIECE];
        while let Ok(count) = stdin.read(&mut buffer)
            && count > 0
            && sender.blocking_send(buffer[..count].to_vec()).is_ok()
        {}
    });
    receiver
}
