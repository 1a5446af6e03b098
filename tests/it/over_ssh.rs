//! An engine that is reached by `ssh://`: by the user's own `ssh`, and a server of the test's own on this machine.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::{Sandbox, wait_until};
use crate::tracker::Tracker;

/// A server with a key of its own, and a client's program that knows it: nobody's `~/.ssh` is read or written.
struct Server {
    process: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let path = |name: &str| folder.path().join(name).display().to_string();
        for name in ["host", "mine"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", &path(name)]);
            assert!(keygen.status().expect("ssh-keygen runs").success());
        }
        let host = std::fs::read_to_string(path("host.pub")).expect("a key");
        write(&folder.path().join("known"), &format!("[127.0.0.1]:{port} {host}"), 0o600);
        let server = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\n\
             PermitRootLogin yes\nPasswordAuthentication no\nAllowStreamLocalForwarding yes\n",
            path("host"),
            path("mine.pub"),
        );
        write(&folder.path().join("server.conf"), &server, 0o600);
        let client = format!(
            "Host *\n  IdentityFile {}\n  IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile {}\n  StrictHostKeyChecking yes\n",
            path("mine"),
            path("known"),
        );
        write(&folder.path().join("client.conf"), &client, 0o600);
        write(&folder.path().join("ssh"), &format!("#!/bin/sh\nexec /usr/bin/ssh -F '{}' \"$@\"\n", path("client.conf")), 0o755);
        // The system makes it when it starts the server itself.
        let _ = std::fs::create_dir_all("/run/sshd");
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f", &path("server.conf")]).stdin(Stdio::null()).stdout(Stdio::null());
        let said = std::fs::File::create(path("said")).expect("writable");
        let process = command.stderr(said).spawn().expect("sshd runs");
        let server = Self { process, folder, port };
        wait_until(|| match std::net::TcpStream::connect(("127.0.0.1", port)) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{error}; {}", server.said())),
        });
        server
    }

    /// Returns the address of this machine's engine by this way.
    fn address(&self) -> String {
        let user = Command::new("id").arg("-un").output().expect("id runs").stdout;
        format!("ssh://{}@127.0.0.1:{}", String::from_utf8_lossy(&user).trim(), self.port)
    }

    fn path(&self) -> String {
        format!("{}:{}", self.folder.path().display(), crate::support::path())
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("said")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn write(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).expect("writable");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("ours");
}

/// Asks the tracker as MLflow's client would, without its weight, and writes much.
const SCRIPT: &str = r#"
import json, os, urllib.request
url = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/get?run_id=" + os.environ["MLFLOW_RUN_ID"]
headers = {"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]}
print(json.load(urllib.request.urlopen(urllib.request.Request(url, headers=headers)))["run"]["info"]["status"])
for number in range(20000):
    print("line", number)
raise SystemExit(3)
"#;

#[test]
#[ignore = "needs sshd and a container engine"]
fn own_sshd_leads_to_where_a_tracked_job_runs_and_all_of_it_comes_back() {
    let server = Server::start();
    let tracker = Tracker::start();
    let sandbox = Sandbox::new().env("MLFLOW_TRACKING_URI", &tracker.uri()).env("PATH", &server.path());
    let sandbox = sandbox.env("DOCKER_HOST", &server.address());
    let job = format!("over-ssh-{}", std::process::id());
    sandbox.file("train.py", SCRIPT).file("run.yaml", "script: train.py\ncompute_target: docker\nenvironment: {python: '3.11'}\n");
    let plan = sandbox.sendoff(&["plan", "--output", "json"]).expect(0).json();
    assert!(plan["route"].as_str().is_some_and(|route| route.contains("second container")), "{plan}");
    let run = sandbox.sendoff(&["submit", "--quiet", "--job-id", &job]);
    let log = sandbox.sendoff(&["logs", &job]).expect(0).stdout;
    let end = &log[log.len().saturating_sub(2000)..];
    assert_eq!(run.code, Some(3), "{}\n{end}\n{}", run.stderr, server.said());
    let lines: Vec<&str> = log.lines().filter_map(|line| line.strip_prefix("line ")).collect();
    assert!(lines.iter().enumerate().all(|(number, line)| *line == number.to_string()) && lines.len() == 20000, "{}", lines.len());
    assert!(log.contains("\nRUNNING\n"), "the tracker answered the job");
    assert_eq!(tracker.statuses(&job), ["FAILED"]);
    // The way ends with who used it.
    sandbox.nothing_runs();
    assert_eq!(std::fs::read_dir(sandbox.temporary()).expect("a folder").count(), 0);
    assert_eq!(sandbox.containers(), [""; 0]);
}
