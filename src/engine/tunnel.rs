//! The way to an engine behind ssh: the user's own `ssh` brings its socket to this machine.
//!
//! Its configuration, agent and known hosts apply. A host that would ask for a password is not reached: nobody would answer.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::Instant;

/// The socket of an engine where the address does not say it.
const SOCKET: &str = "/var/run/docker.sock";
/// How long the connection may take.
const OPEN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// An engine behind ssh: `[user@]host[:port][/path/of/the.sock]`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Remote {
    /// The host as `ssh` takes it: `user@host`, or a name of its configuration.
    pub host: String,
    /// The port, when it is not what `ssh` would take.
    pub port: Option<u16>,
    /// The engine's socket there.
    pub socket: String,
}

impl Remote {
    /// Reads what follows `ssh://`; nothing when `ssh` could take it for something else than a host.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (authority, socket) = match text.find('/') {
            Some(slash) => text.split_at(slash),
            None => (text, SOCKET),
        };
        let (host, port) = match authority.rsplit_once(':').filter(|_| !authority.ends_with(']')) {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (authority, None),
        };
        let name = host.rsplit_once('@').map_or(host, |(_, name)| name).trim_start_matches('[').trim_end_matches(']');
        let odd = |part: &str| part.is_empty() || part.starts_with('-') || part.contains(char::is_whitespace);
        if odd(host) || odd(name) {
            return None;
        }
        let host = host.replace(['[', ']'], "");
        Some(Self { host, port, socket: socket.to_owned() })
    }

    /// Returns the command that reaches the host, for a person.
    pub(super) fn command(&self) -> String {
        match self.port {
            Some(port) => format!("ssh -p {port} {}", self.host),
            None => format!("ssh {}", self.host),
        }
    }

    fn arguments(&self, local: &Path) -> Vec<String> {
        let mut arguments: Vec<String> = ["-n", "-N", "-T"].map(str::to_owned).to_vec();
        // No questions; an end when the forward fails or the other side is gone.
        for option in ["BatchMode=yes", "ExitOnForwardFailure=yes", "ConnectTimeout=20", "ServerAliveInterval=15", "ServerAliveCountMax=4"]
        {
            arguments.extend(["-o".to_owned(), option.to_owned()]);
        }
        arguments.extend(["-L".to_owned(), format!("{}:{}", local.display(), self.socket)]);
        if let Some(port) = self.port {
            arguments.extend(["-p".to_owned(), port.to_string()]);
        }
        arguments.extend(["--".to_owned(), self.host.clone()]);
        arguments
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ssh://{}", self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        if self.socket == SOCKET { Ok(()) } else { f.write_str(&self.socket) }
    }
}

/// A forwarded socket, which ends with this value.
#[derive(Debug)]
pub(super) struct Tunnel {
    folder: tempfile::TempDir,
    /// Killed when dropped.
    _ssh: Child,
}

impl Tunnel {
    /// Starts `ssh`, and waits until it has made the socket. An error is what `ssh` said.
    pub(super) async fn open(remote: &Remote) -> Result<Self, String> {
        let said = |error: std::io::Error| error.to_string();
        let folder = tempfile::Builder::new().prefix("engine-").tempdir().map_err(said)?;
        let complaints = File::create(folder.path().join("said")).map_err(said)?;
        let mut command = Command::new("ssh");
        command.args(remote.arguments(&folder.path().join("s"))).stdin(Stdio::null()).stdout(Stdio::null()).stderr(complaints);
        // An interruption of ours is not one of the connection.
        #[cfg(unix)]
        command.process_group(0);
        let mut ssh = command.kill_on_drop(true).spawn().map_err(|error| format!("could not start `ssh`: {error}"))?;
        let deadline = Instant::now() + OPEN;
        while !folder.path().join("s").exists() {
            if let Ok(Some(status)) = ssh.try_wait() {
                return Err(words(folder.path()).unwrap_or_else(|| format!("`ssh` ended with {status}")));
            }
            if Instant::now() > deadline {
                return Err(words(folder.path()).unwrap_or_else(|| "`ssh` does not connect in time".to_owned()));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(Self { folder, _ssh: ssh })
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    /// Returns what `ssh` complained about last.
    pub(super) fn words(&self) -> Option<String> {
        words(self.folder.path())
    }
}

fn words(folder: &Path) -> Option<String> {
    let text = std::fs::read_to_string(folder.join("said")).ok()?;
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_docker_reads_them() {
        for (text, host, port, socket) in [
            ("me@box", "me@box", None, SOCKET),
            ("box:2222", "box", Some(2222), SOCKET),
            ("me@box:22/run/user/1000/docker.sock", "me@box", Some(22), "/run/user/1000/docker.sock"),
            ("me@[::1]:22", "me@::1", Some(22), SOCKET),
            ("[::1]", "::1", None, SOCKET),
        ] {
            let expected = Remote { host: host.to_owned(), port, socket: socket.to_owned() };
            assert_eq!(Remote::parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn ssh_is_asked_for_a_socket_and_no_questions() {
        let remote = Remote::parse("me@box:2222").expect("an address");
        insta::assert_snapshot!(remote.arguments(Path::new("/tmp/s")).join(" "), @"-n -N -T -o BatchMode=yes -o ExitOnForwardFailure=yes -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=4 -L /tmp/s:/var/run/docker.sock -p 2222 -- me@box");
    }
}
