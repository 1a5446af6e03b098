//! A proxy that leads to the emulator whoever insists on Azure's own host names for storage, and nobody else anywhere.
//!
//! Azure's clients make `https://ACCOUNT.blob.core.windows.net` of a datastore, whatever address it says. As their `HTTPS_PROXY`, this ends
//! CONNECT for that suffix at the emulator, which is then asked in TLS under the name that they expect.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The end of the names that lead to the emulator.
const SUFFIX: &str = ".blob.core.windows.net:443";

pub(super) struct Proxy {
    port: u16,
    /// The names that were asked for, and whether they were let through.
    asked: Arc<Mutex<Vec<(String, bool)>>>,
}

impl Proxy {
    /// Starts one that leads to this port; it ends with the process.
    pub(super) fn to(emulator: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let heard = heard.clone();
                std::thread::spawn(move || serve(client, emulator, &heard));
            }
        });
        Self { port, asked }
    }

    pub(super) fn uri(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the names that were asked for, and whether they were let through.
    pub(super) fn asked(&self) -> Vec<(String, bool)> {
        self.asked.lock().expect("nobody panics meanwhile").clone()
    }
}

fn serve(mut client: TcpStream, emulator: u16, asked: &Mutex<Vec<(String, bool)>>) {
    let mut reader = BufReader::new(client.try_clone().expect("a socket can be shared"));
    let mut first = String::new();
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|length| length > 0) && line.trim_end() != "" {
        if first.is_empty() {
            first.clone_from(&line);
        }
        line.clear();
    }
    let name = first.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or(first.trim()).to_owned();
    let good = first.starts_with("CONNECT ") && name.ends_with(SUFFIX);
    asked.lock().expect("nobody panics meanwhile").push((name, good));
    let Some(mut server) = good.then(|| TcpStream::connect(("127.0.0.1", emulator)).ok()).flatten() else {
        let _ = client.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
        return;
    };
    if client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").is_err() {
        return;
    }
    let (mut to, mut back) = (server.try_clone().expect("a socket can be shared"), client.try_clone().expect("a socket can be shared"));
    std::thread::spawn(move || {
        // What the reader has taken beyond the head belongs to the tunnel.
        let _ = std::io::copy(&mut reader, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut server, &mut back);
    let _ = back.shutdown(Shutdown::Write);
}
