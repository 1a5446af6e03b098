//! Package indexes, good and bad ones.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{say, says, wheel, wrapped};
use crate::support::{Sandbox, wait_until};

/// Serves the wheels of a folder as a package index; ends with this value.
struct Index {
    server: std::process::Child,
    url: String,
    /// While this file is there the index denies its release, as a server does that has not heard of it yet.
    denies: PathBuf,
}

impl Index {
    fn start(sandbox: &Sandbox, name: &str, wheel: &Path) -> Self {
        let file = wheel.file_name().expect("a file").to_string_lossy().into_owned();
        let package = file.split('-').next().expect("a name").to_owned();
        let root = sandbox.home().with_file_name(name);
        let folder = root.join("simple").join(&package);
        std::fs::create_dir_all(&folder).expect("writable");
        std::fs::copy(wheel, folder.join(&file)).expect("writable");
        std::fs::write(folder.join("index.html"), format!("<a href='{file}'>{file}</a>")).expect("writable");
        std::fs::write(folder.join("denied.html"), "<p>no release</p>").expect("writable");
        let program = "import http.server, os\n\
                       class Handler(http.server.SimpleHTTPRequestHandler):\n\
                       \x20   def do_GET(self):\n\
                       \x20       if self.path.endswith('/'):\n\
                       \x20           del self.headers['If-Modified-Since']\n\
                       \x20           self.path += 'denied.html' if os.path.exists('denies') else ''\n\
                       \x20       super().do_GET()\n\
                       \x20   def end_headers(self):\n\
                       \x20       if not self.path.endswith('.whl'):\n\
                       \x20           self.send_header('Cache-Control', 'no-cache')\n\
                       \x20       super().end_headers()\n\
                       server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)\n\
                       open('port', 'w').write(str(server.server_port) + '\\n')\nserver.serve_forever()\n";
        let server = Command::new("python3")
            .args(["-c", program])
            .current_dir(&root)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 runs");
        let port = wait_until(|| match std::fs::read_to_string(root.join("port")) {
            Ok(port) if port.ends_with('\n') => Ok(port.trim().to_owned()),
            seen => Err(format!("{seen:?}")),
        });
        Self { server, url: format!("http://127.0.0.1:{port}/simple"), denies: root.join("denies") }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn packages_come_from_the_indexes_that_the_run_config_names() {
    let sandbox = Sandbox::new().env("UV_INDEX_STRATEGY", "first-index");
    let built = sandbox.home().with_file_name("built");
    let one = Index::start(&sandbox, "index-one", &wheel(&built, "alpha", "1.0", "alpha of the index", &[]));
    let two = Index::start(&sandbox, "index-two", &wheel(&built, "beta", "1.0", "beta of the other", &[]));
    let environment = format!("{{pip_packages: [alpha, beta], index_url: '{}', extra_index_urls: ['{}']}}", one.url, two.url);
    says(&say(&sandbox, &["alpha", "beta"], &environment), "alpha says alpha of the index\nbeta says beta of the other\n");
}

#[test]
fn an_index_that_denies_what_it_offered_is_asked_again() {
    let sandbox = Sandbox::new();
    let wheel = wheel(&sandbox.home().with_file_name("built"), "alpha", "1.0", "alpha at last", &[]);
    let index = Index::start(&sandbox, "index", &wheel);
    let asked = sandbox.home().with_file_name("asked");
    let (asks, denies) = (asked.display(), index.denies.display());
    // It denies the release to the first two installations that ask it.
    let before = format!(
        "case \"$* \" in *' --offline '*) ;; 'pip install '*) echo >> '{asks}'; if [ $(wc -l < '{asks}') -le 2 ]; then touch '{denies}'; \
         else rm -f '{denies}'; fi ;; esac"
    );
    let sandbox = wrapped(sandbox, &before, "");
    let run = say(&sandbox, &["alpha"], &format!("{{pip_packages: [alpha], index_url: '{}'}}", index.url));
    says(&run, "alpha says alpha at last\n");
    assert_eq!(
        run.stderr.matches("the package index denies what it offered a moment ago: asking it again ...").count(),
        2,
        "{}",
        run.stderr
    );
}

#[test]
fn an_installation_takes_from_the_cache_what_is_there_and_asks_nobody() {
    let sandbox = Sandbox::new();
    let wheel = wheel(&sandbox.home().with_file_name("built"), "alpha", "1.0", "alpha of the cache", &[]);
    let index = Index::start(&sandbox, "index", &wheel);
    let environment = format!("{{pip_packages: [alpha], index_url: '{}'}}", index.url);
    says(&say(&sandbox, &["alpha"], &environment), "alpha says alpha of the cache\n");
    sandbox.sendoff(&["env", "prune"]).expect(0);
    std::fs::write(&index.denies, "").expect("writable");
    let again = say(&sandbox, &["alpha"], &environment);
    says(&again, "alpha says alpha of the cache\n");
    assert!(again.stderr.contains("building the environment") && !again.stderr.contains("asking it again"), "{}", again.stderr);
}
