//! Whether a container comes to an address of this machine: tried by a connection, because an address proves nothing. Two engines give their
//! networks the same addresses, and a firewall may stand in between.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::route::Way;
use crate::engine::{Engine, ExecSpec};
use crate::support::{fs, platform};

/// Connects, and says a word.
const SAY: &str = "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 3); s.sendall(sys.argv[3].encode())";
/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How many networks are remembered.
const REMEMBERED: usize = 32;

/// Returns whether a container that runs comes to a port at `listen`, an address of this machine, by calling it `host`.
pub(super) async fn comes_here(engine: &Engine, container: &str, python: &Path, host: &str, listen: Ipv4Addr) -> bool {
    let Ok(listener) = TcpListener::bind((listen, 0)).await else { return false };
    let Ok(port) = listener.local_addr().map(|address| address.port()) else { return false };
    let word = word();
    let python = python.display().to_string();
    let command = [&python, "-I", "-S", "-c", SAY, host, &port.to_string(), &word].map(str::to_owned).to_vec();
    let tried = async {
        let exec = engine.exec(container, &ExecSpec { command, ..ExecSpec::default() }).await.ok()?;
        let heard = async {
            loop {
                let (mut stream, _) = listener.accept().await.ok()?;
                let mut come = Vec::new();
                // Somebody else's connection is not the answer.
                if (&mut stream).take(64).read_to_end(&mut come).await.is_ok() && come == word.as_bytes() {
                    return Some(true);
                }
            }
        };
        let ended = exec.output.for_each(|_| std::future::ready(()));
        tokio::select! {
            heard = heard => heard,
            () = async { ended.await; tokio::time::sleep(Duration::from_millis(200)).await } => Some(false),
        }
    };
    tokio::time::timeout(LIMIT, tried).await.ok().flatten().unwrap_or(false)
}

fn word() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A way that was tried with success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Tried {
    /// The id of the network, which no other has.
    network: String,
    /// The boot of this machine and the network namespace of this process.
    here: String,
    way: Way,
}

/// Returns the way that containers of a network have come here before.
pub(super) fn remembered(data: &Path, network: &str) -> Option<Way> {
    let here = here();
    read(data).into_iter().find(|tried| tried.network == network && tried.here == here).map(|tried| tried.way)
}

/// Remembers a way. Networks of engines whose ids are mere names are tried each time; a file that cannot be written costs time, nothing else.
pub(super) fn remember(data: &Path, network: &str, way: &Way) {
    if network.len() != 64 || !network.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return;
    }
    let tried = Tried { network: network.to_owned(), here: here(), way: way.clone() };
    let mut all: Vec<Tried> = read(data).into_iter().filter(|known| known.network != network && known.here == tried.here).collect();
    all.insert(0, tried);
    all.truncate(REMEMBERED);
    if let Ok(text) = serde_json::to_vec(&all) {
        let _ = fs::write_atomic(data.join("reached.json"), &text);
    }
}

fn read(data: &Path) -> Vec<Tried> {
    std::fs::read(data.join("reached.json")).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

fn here() -> String {
    format!("{} {}", platform::boot_id(), platform::network_namespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_remembered_for_its_network_alone() {
        let data = tempfile::tempdir().expect("a folder");
        let (one, other) = ("1".repeat(64), "2".repeat(64));
        let way = Way::Gateway(Ipv4Addr::new(172, 17, 0, 1));
        assert_eq!(remembered(data.path(), &one), None);
        remember(data.path(), &one, &way);
        remember(data.path(), "podman", &way);
        assert_eq!([&one, &other, "podman"].map(|network| remembered(data.path(), network)), [Some(way), None, None]);
        std::fs::write(data.path().join("reached.json"), "broken").expect("writable");
        assert_eq!(remembered(data.path(), &one), None);
    }
}
