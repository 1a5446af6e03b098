//! Tokens from this machine: a program that prints one, a file that somebody renews.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use async_trait::async_trait;

use super::{Error, Provider, Token};
use crate::support::secret::Secret;
use crate::support::{clock, command, fs};

/// How long a program may take to print a token.
const LIMIT: Duration = Duration::from_secs(30);
/// How long a token is taken for good when nothing says how long it is.
const UNKNOWN_LIFETIME: Duration = Duration::from_mins(5);
/// After this time a token file is read again.
const FILE_LIFETIME: Duration = Duration::from_secs(30);

/// A program that prints a token.
pub(super) struct FromCommand {
    pub(super) command: Vec<String>,
    pub(super) lifetime: Option<Duration>,
}

#[async_trait]
impl Provider for FromCommand {
    async fn fetch(&self) -> Result<Token, Error> {
        let output = run(&self.command).await?;
        let value = String::from_utf8_lossy(&output).trim().to_owned();
        if value.is_empty() {
            return Err(Error::Empty(format!("what `{}` printed", self.command.first().map_or("", String::as_str))));
        }
        let mut token = Token::bearer(Secret::new(value), self.lifetime.map(|lifetime| clock::now() + lifetime));
        token.expires_at = token.expires_at.or_else(|| Some(clock::now() + UNKNOWN_LIFETIME));
        Ok(token)
    }
}

/// Runs a program without a shell and returns what it printed.
pub(super) async fn run(words: &[String]) -> Result<Vec<u8>, Error> {
    let words = words.to_vec();
    let running = tokio::task::spawn_blocking(move || {
        let Some((program, arguments)) = words.split_first() else { return Err(Error::Empty("an empty command".to_owned())) };
        command::capture(Command::new(program).args(arguments), LIMIT).map(|output| output.stdout).map_err(Error::Command)
    });
    running.await.map_err(|_| Error::Panicked)?
}

/// A file that somebody renews.
pub(super) struct FromFile {
    pub(super) file: PathBuf,
}

#[async_trait]
impl Provider for FromFile {
    async fn fetch(&self) -> Result<Token, Error> {
        let text = fs::read_to_string(&self.file)
            .map_err(|error| if error.is_missing() { Error::Missing(self.file.clone()) } else { Error::File(error) })?;
        if text.trim().is_empty() {
            return Err(Error::Empty(format!("`{}`", self.file.display())));
        }
        let read_again = clock::now() + FILE_LIFETIME;
        let mut token = Token::bearer(Secret::new(text.trim()), None);
        // A token that ends later than the next look at the file is looked at all the same.
        token.expires_at = Some(token.expires_at.map_or(read_again, |end| end.min(read_again)));
        Ok(token)
    }
}
