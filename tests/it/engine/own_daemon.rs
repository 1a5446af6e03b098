//! What happens to an engine itself: it stops, starts again, runs out of disk, sees other files. Each test has one of its own.
//!
//! They need `dockerd` and root.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use sendoff::engine::{ContainerSpec, Endpoint, Engine, Error, Follow, State, Tar};

use super::shown;

/// The image of these engines: a shell, `cat`, `seq` and `sleep`, taken from this machine.
const IMAGE: &str = "tiny";

/// An engine of a test's own, which ends with it.
pub(crate) struct OwnEngine {
    folder: tempfile::TempDir,
    daemon: Child,
    setup: String,
    port: Option<u16>,
}

impl OwnEngine {
    /// Starts an engine after `setup`, shell commands in namespaces of its own, where `$DIR` is its folder. What they leave as positional
    /// parameters, `dockerd` gets.
    pub(crate) async fn start(setup: &str) -> (Self, Engine) {
        Self::start_on(None, setup).await
    }

    /// Starts an engine that also listens on a port of loopback.
    async fn start_on(port: Option<u16>, setup: &str) -> (Self, Engine) {
        let folder = tempfile::tempdir().expect("a folder");
        let daemon = launch(folder.path(), setup, port);
        let own = Self { folder, daemon, setup: setup.to_owned(), port };
        let engine = own.engine().await;
        own.import();
        (own, engine)
    }

    /// Returns its address.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}/d.sock", self.folder.path().display())
    }

    /// Waits until the engine answers.
    async fn engine(&self) -> Engine {
        let endpoint = Endpoint::choose(Some(&self.host()), &[].into(), Path::new("/")).expect("an address");
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            match Engine::connect(&endpoint).await {
                Ok(engine) => return engine,
                Err(error) if Instant::now() > deadline => {
                    let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                    panic!("{}\n{log}", shown(&error));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Ends the daemon with a signal, and waits until it has ended.
    pub(crate) fn end(&mut self, signal: &str) {
        self.signal(signal);
        self.daemon.wait().expect("the daemon ends");
    }

    /// Sends the daemon a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.folder.path().join("pid")).expect("the daemon's pid");
        assert!(Command::new("kill").args(["-s", signal, pid.trim()]).status().expect("kill runs").success());
    }

    /// Starts it again on what it had.
    pub(crate) async fn start_again(&mut self) -> Engine {
        self.daemon = launch(self.folder.path(), &self.setup, self.port);
        self.engine().await
    }

    fn import(&self) {
        let script = r#"
            mkdir -p "$DIR/root/bin" "$DIR/root/tmp"
            for program in sh cat seq sleep; do
                cp -L "$(command -v $program)" "$DIR/root/bin/"
                ldd "$(command -v $program)" | grep -o '/[^ ]*' | while read -r library; do
                    mkdir -p "$DIR/root$(dirname "$library")"; cp -L "$library" "$DIR/root$library"
                done
            done
            tar -C "$DIR/root" -c . | docker -H "unix://$DIR/d.sock" import - "$0""#;
        let output = Command::new("sh").args(["-ec", script, IMAGE]).env("DIR", self.folder.path()).output().expect("a shell runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        if self.daemon.try_wait().is_ok_and(|status| status.is_none()) {
            self.end("TERM");
        }
    }
}

/// Listens on the port before it goes where this machine's ports are not, and hands the socket on as systemd does.
const LISTEN: &str = r#"
import os, socket, sys
if sys.argv[1] != "0":
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    os.dup2(listener.fileno(), 3)
    os.set_inheritable(3, True)
    os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execvp(sys.argv[2], sys.argv[2:])
"#;

/// Starts `dockerd` in a network of its own: one without a bridge would remove that of the engine beside it.
fn launch(folder: &Path, setup: &str, port: Option<u16>) -> Child {
    let script = format!(
        r#"mount --make-rprivate /; {setup}
        exec dockerd -H "unix://$DIR/d.sock" --data-root "$DIR/data" --exec-root "$DIR/exec" -p "$DIR/pid" \
            --bridge="${{BRIDGE-none}}" --iptables=false --ip-forward=false --ip-masq=false --shutdown-timeout 2 "$@" >>"$DIR/log" 2>&1"#
    );
    Command::new("python3")
        .args(["-c", LISTEN, &port.unwrap_or_default().to_string(), "unshare", "--mount", "--net", "sh", "-ec", &script])
        .env("DIR", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("python3 runs")
}

fn spec(name: &str, script: &str) -> ContainerSpec {
    ContainerSpec {
        name: name.to_owned(),
        image: IMAGE.to_owned(),
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        network: Some("none".to_owned()),
        init: true,
        ..ContainerSpec::default()
    }
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built").block_on(test);
}

#[test]
#[ignore = "needs dockerd and root"]
fn own_daemon_that_stops_ends_the_container_and_its_log_goes_on_without_loss() {
    run(async {
        let (mut own, engine) = OwnEngine::start("").await;
        engine.create(&spec("job", "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.01; done")).await.expect("it is created");
        engine.start("job").await.expect("it starts");
        let mut kept = Vec::new();
        {
            let mut log = std::pin::pin!(engine.logs("job", 0, Follow::Yes).expect("a name that fits"));
            while kept.len() < 200 {
                kept.extend_from_slice(&log.try_next().await.expect("the log is read").expect("it goes on"));
            }
            own.end("TERM");
            // What is still under way arrives; then the stream ends or breaks.
            while let Ok(Some(piece)) = log.try_next().await {
                kept.extend_from_slice(&piece);
            }
        }
        let away = engine.inspect("job").await.expect_err("the engine is away");
        assert!(away.is_transient(), "{away:?}");
        let engine = own.start_again().await;
        let ended = engine.wait("job").await.expect("it ended").expect("it is there");
        assert_eq!((ended.state.clone(), ended.has_ended(), ended.exit_code.is_some_and(|code| code != 0)), (State::Exited, true, true));
        let rest: Vec<_> =
            engine.logs("job", kept.len() as u64, Follow::Yes).expect("a name").try_collect().await.expect("the log is read");
        kept.extend_from_slice(&rest.concat());
        let text = String::from_utf8(kept).expect("the log is UTF-8");
        assert!(text.lines().count() > 20);
        for (number, line) in text.lines().enumerate() {
            assert_eq!(line, format!("line {number}"));
        }
    });
}

#[test]
#[ignore = "needs dockerd and root"]
fn own_daemon_without_room_says_so() {
    run(async {
        let (_own, engine) = OwnEngine::start(r#"mkdir -p "$DIR/data"; mount -t tmpfs -o size=40m tmpfs "$DIR/data""#).await;
        engine.create(&spec("job", "cat /tmp/big")).await.expect("it is created");
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(64 << 20);
        header.set_mode(0o644);
        tar.append_data(&mut header, "big", vec![0; 64 << 20].as_slice()).expect("an archive in memory");
        let tar = tar.into_inner().expect("an archive in memory");
        let error = engine.put("job", "/tmp", Tar::Whole(tar.into())).await.expect_err("there is no room");
        assert!(matches!(error, Error::DiskFull { .. }), "{error:?}");
        insta::assert_snapshot!(shown(&error).lines().filter(|line| !line.contains("caused by")).collect::<Vec<_>>().join("\n"), @r"
        error: could not copy files into `/tmp` of the container `job`: the disk of the container engine is full
        hint: make room on the engine's machine: `docker system df` shows what takes it
        ");
    });
}

#[test]
#[ignore = "needs dockerd and root"]
fn own_daemon_that_has_another_folder_of_the_same_path_does_not_see_ours() {
    run(async {
        let shared = tempfile::tempdir().expect("a folder");
        let (_own, engine) = OwnEngine::start(&format!("mount -t tmpfs tmpfs '{}'", shared.path().display())).await;
        assert!(!engine.sees(shared.path(), IMAGE).await.expect("it is tried"));
        assert!(engine.sees(shared.path(), "no-such-image").await.is_err(), "without an image nothing can be tried");
        assert_eq!(engine.list(&[]).await.expect("they are listed"), [], "the probe is gone");
        assert_eq!(std::fs::read_dir(shared.path()).expect("a folder").count(), 0);
    });
}

/// Makes an authority, and certificates of it for an engine on loopback and for us, by the names that Docker gives them.
const CERTIFICATES: &str = r#"
    mkdir "$DIR/ours"; cd "$DIR/ours"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=authority -keyout ca-key.pem -out ca.pem
    printf 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n' >names
    for name in server client; do
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$name" -keyout "$name-key.pem" -out "$name.csr"
        openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile names -out "$name.pem"
    done
    mv client.pem cert.pem; mv client-key.pem key.pem; cd /
    set -- -H fd:// --tlsverify --tlscacert "$DIR/ours/ca.pem" --tlscert "$DIR/ours/server.pem" --tlskey "$DIR/ours/server-key.pem""#;

#[test]
#[ignore = "needs dockerd and root"]
fn own_daemon_over_tcp_is_reached_with_certificates_and_says_so_without() {
    run(async {
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let (own, _engine) = OwnEngine::start_on(Some(port), CERTIFICATES).await;
        let host = ("DOCKER_HOST".to_owned(), format!("tcp://127.0.0.1:{port}"));
        let certificates = ("DOCKER_CERT_PATH".to_owned(), own.folder.path().join("ours").display().to_string());
        let secured = [host.clone(), certificates, ("DOCKER_TLS_VERIFY".to_owned(), "1".to_owned())].into();
        let endpoint = Endpoint::choose(None, &secured, Path::new("/")).expect("an address");
        let engine = Engine::connect(&endpoint).await.expect("it is reached");
        engine.create(&spec("job", "cat")).await.expect("it is created");
        assert!(engine.about().await.expect("it describes itself").is_local);
        let endpoint = Endpoint::choose(None, &[host].into(), Path::new("/")).expect("an address");
        let error = shown(&Engine::connect(&endpoint).await.expect_err("it wants a secured connection"));
        insta::assert_snapshot!(error.replace(&port.to_string(), "[PORT]"), @r"
        error: could not reach the container engine at `tcp://127.0.0.1:[PORT]` (from `DOCKER_HOST`)
          caused by: Client sent an HTTP request to an HTTPS server.
        hint: check the address, and whether that engine wants a secured connection (`DOCKER_TLS_VERIFY=1` and `DOCKER_CERT_PATH`)
        ");
    });
}
