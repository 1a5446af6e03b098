//! Opens an address in the user's browser, where there is somebody to see it.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::process::{Command, Stdio};

use sendoff::support::platform;

use super::printer::Printer;

/// Tries to open an address; returns whether a browser was started. Without a terminal nothing is.
pub(crate) fn open(url: &str, variables: &BTreeMap<String, String>, printer: &Printer) -> bool {
    if !std::io::stdout().is_terminal() {
        return false;
    }
    if let Some(port) = loopback_port(url).filter(|_| variables.contains_key("SSH_CONNECTION")) {
        printer.say(&format!("from the machine that you sit at, `ssh -L {port}:127.0.0.1:{port} HOST` makes this address work"));
        return false;
    }
    let chosen = variables.get("BROWSER").filter(|value| !value.trim().is_empty());
    let candidates: Vec<&str> = match chosen {
        Some(list) => list.split(':').collect(),
        None if cfg!(target_os = "macos") => vec!["open"],
        None => vec!["xdg-open"],
    };
    candidates.into_iter().any(|candidate| {
        let mut words = candidate.split_whitespace();
        let Some(program) = words.next() else { return false };
        let mut arguments: Vec<String> = words.map(|word| word.replace("%s", url)).collect();
        if !candidate.contains("%s") {
            arguments.push(url.to_owned());
        }
        // What it says is not ours to show, and it may live long after us and our terminal.
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        platform::own_group(&mut command).spawn().is_ok()
    })
}

fn loopback_port(url: &str) -> Option<u16> {
    let url = url::Url::parse(url).ok()?;
    matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]")).then(|| url.port_or_known_default()).flatten()
}
