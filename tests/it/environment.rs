//! The environment: every form of it, built once, never half, rebuilt when it has to be. Packages are tiny wheels that the tests make.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Run, Sandbox, path, shared, wait_until};

/// A sandbox without any package index: what is installed comes from `wheels/`.
fn sandbox() -> Sandbox {
    Sandbox::new().env("UV_OFFLINE", "1").env("UV_NO_INDEX", "1")
}

/// Writes a wheel with one module that says a text, and returns its path.
pub(crate) fn wheel(folder: &Path, name: &str, version: &str, says: &str, requires: &[&str]) -> PathBuf {
    std::fs::create_dir_all(folder).expect("writable");
    let path = folder.join(format!("{name}-{version}-py3-none-any.whl"));
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).expect("writable"));
    let info = format!("{name}-{version}.dist-info");
    let requires: String = requires.iter().map(|line| format!("Requires-Dist: {line}\n")).collect();
    for (file, text) in [
        (format!("{name}.py"), format!("SAYS = '{says}'\n")),
        (format!("{info}/METADATA"), format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}")),
        (format!("{info}/WHEEL"), "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n".to_owned()),
        (format!("{info}/RECORD"), String::new()),
    ] {
        zip.start_file(file, zip::write::SimpleFileOptions::default()).expect("a new file");
        zip.write_all(text.as_bytes()).expect("writable");
    }
    zip.finish().expect("writable");
    path
}

fn wheels(sandbox: &Sandbox) {
    let folder = sandbox.project().join("wheels");
    wheel(&folder, "alpha", "1.0", "alpha one", &[]);
    wheel(&folder, "alpha", "2.0", "alpha two", &[]);
    wheel(&folder, "beta", "1.0", "beta one", &["alpha"]);
}

/// Submits a job that prints what the modules of these names say.
fn say(sandbox: &Sandbox, modules: &[&str], environment: &str) -> Run {
    let text: String = modules.iter().map(|name| format!("import {name}\nprint('{name} says', {name}.SAYS)\n")).collect();
    sandbox.file("train.py", &text).file("run.yaml", &format!("script: train.py\nenvironment: {environment}\n"));
    sandbox.sendoff(&["submit", "--no-tracking"])
}

#[track_caller]
fn says(run: &Run, text: &str) {
    assert!(run.code == Some(0) && run.stdout.contains(text), "{run:?}");
}

#[test]
fn a_list_of_packages_is_found_where_find_links_leads() {
    let sandbox = sandbox();
    wheels(&sandbox);
    let run = say(&sandbox, &["alpha", "beta"], "{pip_packages: [beta, 'alpha<2'], find_links: [wheels]}");
    says(&run, "alpha says alpha one\nbeta says beta one\n");
}

#[test]
fn a_wheel_or_folder_of_the_source_directory_is_installed_and_a_change_of_it_is_noticed() {
    let sandbox = sandbox();
    let folder = sandbox.project().join("wheels");
    wheel(&folder, "alpha", "1.0", "as it was", &[]);
    let environment = "{pip_packages: [./wheels/alpha-1.0-py3-none-any.whl]}";
    says(&say(&sandbox, &["alpha"], environment), "alpha says as it was\n");
    // The same name and version with another content.
    wheel(&folder, "alpha", "1.0", "as it is", &[]);
    says(&say(&sandbox, &["alpha"], environment), "alpha says as it is\n");

    project(&sandbox, "package", "gamma", "first");
    says(&say(&sandbox, &["gamma"], "{pip_packages: [./package]}"), "gamma says first\n");
    project(&sandbox, "package", "gamma", "second");
    says(&say(&sandbox, &["gamma"], "{pip_packages: [./package]}"), "gamma says second\n");
}

/// Writes a project that builds itself: nothing else is needed, so that it builds offline.
fn project(sandbox: &Sandbox, folder: &str, name: &str, says: &str) {
    let backend = format!(
        "import os, zipfile\n\
         def build_wheel(folder, config_settings=None, metadata_directory=None):\n\
         \x20   wheel = '{name}-1.0-py3-none-any.whl'\n\
         \x20   info = '{name}-1.0.dist-info'\n\
         \x20   with zipfile.ZipFile(os.path.join(folder, wheel), 'w') as file:\n\
         \x20       file.write('{name}.py')\n\
         \x20       file.writestr(info + '/METADATA', 'Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n')\n\
         \x20       file.writestr(info + '/WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
         \x20       file.writestr(info + '/RECORD', '')\n\
         \x20   return wheel\n"
    );
    let pyproject = format!(
        "[project]\nname = '{name}'\nversion = '1.0'\nrequires-python = '>=3.10'\ndependencies = []\n\
         [build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    );
    sandbox.file(&format!("{folder}/backend.py"), &backend).file(&format!("{folder}/pyproject.toml"), &pyproject);
    sandbox.file(&format!("{folder}/{name}.py"), &format!("SAYS = '{says}'\n"));
}

#[test]
fn a_requirements_file_includes_others_and_is_bounded_by_constraints() {
    let sandbox = sandbox();
    wheels(&sandbox);
    wheel(&sandbox.project().join("wheels"), "unwanted", "1.0", "no", &[]);
    sandbox.file("deps/requirements.txt", "-r more/base.txt\n-c bounds.txt\n--find-links ../wheels\n");
    sandbox.file("deps/more/base.txt", "beta==1.0 # with what it needs\n").file("deps/bounds.txt", "alpha==1.0\nunwanted==1.0\n");
    let run = say(&sandbox, &["alpha", "beta"], "{requirements_file: deps/requirements.txt}");
    says(&run, "alpha says alpha one\nbeta says beta one\n");
    let built = sandbox.sendoff(&["env", "list", "--output", "json"]).expect(0).json();
    assert_eq!(built["environments"][0]["packages"], serde_json::json!(["alpha==1.0", "beta==1.0"]));
    // A change in an included file is a change.
    sandbox.file("deps/bounds.txt", "alpha==2.0\n");
    let plan = sandbox.sendoff(&["plan", "--no-tracking"]).expect(0);
    assert!(plan.stdout.contains("environment  miss: constraints changed; Python "), "{}", plan.stdout);
}

#[test]
fn a_conda_file_gives_its_pip_part_and_its_python() {
    let sandbox = sandbox();
    wheels(&sandbox);
    let output = Command::new("python3").args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).output().expect("python3 runs");
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    sandbox.file("conda.yaml", &format!("name: x\ndependencies:\n- python={version}\n- pip\n- pip:\n  - alpha==1.0\n"));
    let run = say(&sandbox, &["alpha"], "{conda_file: conda.yaml, find_links: [wheels]}");
    says(&run, "alpha says alpha one\n");
    let built = sandbox.sendoff(&["env", "list", "--output", "json"]).expect(0).json();
    assert!(built["environments"][0]["python"].as_str().expect("a version").starts_with(&version));
}

#[test]
fn a_pyproject_is_resolved_and_its_lock_is_used_as_it_is() {
    let sandbox = sandbox();
    wheels(&sandbox);
    sandbox.file("pyproject.toml", "[project]\nname = 'p'\nversion = '1'\nrequires-python = '>=3.10'\ndependencies = ['beta']\n");
    let run = say(&sandbox, &["alpha", "beta"], "{pyproject: pyproject.toml, find_links: [wheels]}");
    says(&run, "alpha says alpha two\n");

    // The lock was made when there was another newest version.
    let mut lock = sandbox.command(&[]);
    let environment: Vec<_> = lock.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    lock = Command::new(shared().join("uv/bin/uv"));
    lock.args(["lock", "--quiet", "--find-links", "wheels", "--upgrade-package", "alpha<2"]).current_dir(sandbox.project());
    let output = lock.env_clear().envs(environment).output().expect("uv runs");
    assert!(output.status.success(), "{output:?}");
    let text = std::fs::read_to_string(sandbox.project().join("uv.lock")).expect("it was made");
    assert!(text.contains("version = \"1.0\"") && !text.contains("version = \"2.0\""), "{text}");
    let run = say(&sandbox, &["alpha", "beta"], "{pyproject: pyproject.toml, find_links: [wheels]}");
    says(&run, "alpha says alpha one\n");
}

#[test]
fn the_project_itself_is_installed_as_it_was_submitted() {
    let sandbox = sandbox();
    // Below a folder that is not on the script's path, so that only the installation makes it importable.
    for text in ["first", "second"] {
        project(&sandbox, ".", "delta", text);
        sandbox.file("scripts/train.py", "import delta\nprint('delta says', delta.SAYS, 'site-packages' in delta.__file__)\n");
        sandbox.file(
            "run.yaml",
            "script: scripts/train.py\nsource_directory: .\nenvironment: {pyproject: pyproject.toml, install_project: true}\n",
        );
        says(&sandbox.sendoff(&["submit", "--no-tracking"]), &format!("delta says {text} True\n"));
    }
}

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

#[test]
fn debian_packages_are_refused_where_there_is_no_image() {
    let sandbox = sandbox();
    let run = say(&sandbox, &[], "{system_packages: [ffmpeg]}");
    insta::assert_snapshot!(sandbox.plain(&run.expect(244).stderr), @r"
    error: `environment.system_packages` needs a target with containers
     --> run.yaml:2:32
      |
    2 | environment: {system_packages: [ffmpeg]}
      |                                ^^^^^^^^ the target here is this machine
      |
      = help: remove it, or choose another target

    error: found 1 problem in `run.yaml`
    ");
}

/// Puts a `uv` first on PATH that runs some shell before the real one, with its arguments, and some after.
fn wrapped(sandbox: Sandbox, before: &str, after: &str) -> Sandbox {
    use std::os::unix::fs::PermissionsExt;
    let folder = sandbox.home().with_file_name("wrapped");
    std::fs::create_dir_all(&folder).expect("writable");
    let (text, program, real) = (folder.join("uv.txt"), folder.join("uv"), shared().join("uv/bin/uv"));
    std::fs::write(&text, format!("#!/bin/sh\n{before}\n'{}' \"$@\"\ncode=$?\n{after}\nexit $code\n", real.display())).expect("writable");
    // Made by a shell: a file that this process has open for writing cannot be executed by what another thread starts meanwhile.
    let made = Command::new("cp").arg(&text).arg(&program).status().expect("cp runs");
    assert!(made.success());
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("ours");
    sandbox.env("PATH", &format!("{}:{}", folder.display(), path()))
}

/// A `uv` that writes down when each call begins and ends, and holds an installation while the file `hold` is there.
fn witnessed(sandbox: Sandbox) -> (Sandbox, PathBuf, PathBuf) {
    let [log, hold] = ["log", "hold"].map(|name| sandbox.home().with_file_name(name));
    let before = format!(
        "echo \"begin $1 $2\" >> '{log}'\nif [ \"$1 $2\" = 'pip install' ]; then while [ -e '{hold}' ]; do sleep 0.02; done; fi",
        log = log.display(),
        hold = hold.display()
    );
    let after = format!("echo \"end $1 $2\" >> '{}'", log.display());
    (wrapped(sandbox, &before, &after), log, hold)
}

fn count(log: &Path, line: &str) -> usize {
    std::fs::read_to_string(log).unwrap_or_default().lines().filter(|found| found.starts_with(line)).count()
}

#[test]
fn ten_submissions_race_for_one_new_environment_and_build_it_once() {
    let (sandbox, log, _) = witnessed(sandbox());
    wheels(&sandbox);
    sandbox.file("train.py", "import alpha\n");
    sandbox.file("run.yaml", "script: train.py\nenvironment: {pip_packages: [alpha], find_links: [wheels]}\n");
    let clients: Vec<_> = (0..10)
        .map(|number| {
            let mut client = sandbox.command(&["submit", "--no-tracking", "--quiet", "--job-id", &format!("job-{number}")]);
            client.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts")
        })
        .collect();
    for client in clients {
        let output = client.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!((count(&log, "begin venv"), count(&log, "begin pip install")), (1, 1));
    // And what is cached asks `uv` for nothing.
    let before = count(&log, "begin");
    sandbox.sendoff(&["submit", "--no-tracking"]).expect(0);
    assert_eq!(count(&log, "begin"), before);
}

/// Every point at which a build can be interrupted.
const POINTS: [&str; 2] = ["environment.half-built", "environment.before-complete"];

#[test]
fn a_build_that_is_interrupted_is_never_taken_for_whole() {
    let source = format!("{}/src/environment", env!("CARGO_MANIFEST_DIR"));
    let text: String =
        walkdir::WalkDir::new(source).into_iter().flatten().filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect();
    assert_eq!(text.matches("fault::point(").count(), POINTS.len(), "a point is not armed here");
    for point in POINTS {
        let sandbox = sandbox();
        wheels(&sandbox);
        sandbox.file("train.py", "import alpha\nprint(alpha.SAYS)\n");
        sandbox.file("run.yaml", "script: train.py\nenvironment: {pip_packages: [alpha], find_links: [wheels]}\n");
        let killed = sandbox.armed(point, &["submit", "--no-tracking"]);
        assert_eq!(killed.code, None, "{point} is not on the way: {killed:?}");
        let plan = sandbox.sendoff(&["plan", "--no-tracking"]).expect(0);
        assert!(plan.stdout.contains("is resolved and has to be built"), "{}", plan.stdout);
        says(&sandbox.sendoff(&["submit", "--no-tracking"]), "alpha two\n");
    }
}

#[test]
fn a_client_that_is_killed_leaves_an_installation_that_nobody_builds_beside() {
    let (sandbox, log, hold) = witnessed(sandbox());
    wheels(&sandbox);
    std::fs::write(&hold, "").expect("writable");
    sandbox.file("train.py", "import alpha\nprint(alpha.SAYS)\n");
    sandbox.file("run.yaml", "script: train.py\nenvironment: {pip_packages: [alpha], find_links: [wheels]}\n");
    let submit = || {
        let mut client = sandbox.command(&["submit", "--no-tracking", "--quiet"]);
        client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let mut first = submit();
    wait_until(|| if count(&log, "begin pip install") == 1 { Ok(()) } else { Err("it does not install".to_owned()) });
    first.kill().expect("it runs");
    first.wait().expect("it ends");
    let second = submit();
    // It waits for the lock, which the kernel shows.
    let waiting = format!("{}", second.id());
    wait_until(|| {
        let stack = std::fs::read_to_string("/proc/locks").unwrap_or_default();
        let waits = stack.lines().any(|line| line.contains("->") && line.split_whitespace().any(|word| word == waiting));
        if waits { Ok(()) } else { Err(stack) }
    });
    assert_eq!(count(&log, "begin venv"), 1, "built beside an installation that still runs");
    std::fs::remove_file(&hold).expect("it is there");
    let output = second.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    let calls = std::fs::read_to_string(&log).expect("they were written down");
    let end = calls.find("end pip install").expect("the orphan ended");
    assert!(calls.rfind("begin venv").expect("it was built again") > end, "{calls}");
    sandbox.nothing_runs();
}

#[test]
fn an_environment_whose_interpreter_is_gone_is_built_again() {
    let sandbox = sandbox();
    wheels(&sandbox);
    let environment = "{pip_packages: [alpha], find_links: [wheels]}";
    says(&say(&sandbox, &["alpha"], environment), "alpha two\n");
    let folders = std::fs::read_dir(sandbox.home().join("cache/environments")).expect("it was built");
    let folder = folders.flatten().map(|entry| entry.path()).find(|path| path.is_dir()).expect("one");
    std::fs::remove_file(folder.join("bin/python")).expect("it is there");
    std::os::unix::fs::symlink("/nowhere/python3", folder.join("bin/python")).expect("writable");
    says(&say(&sandbox, &["alpha"], environment), "alpha two\n");
}

#[test]
fn prune_passes_over_the_environments_of_live_jobs() {
    let sandbox = sandbox();
    sandbox.file("run.yaml", "command: sleep 600\ngrace: 1s\n");
    sandbox.sendoff(&["submit", "--no-tracking", "--detach", "--job-id", "the-job"]).expect(0);
    let pruned = sandbox.sendoff(&["env", "prune"]).expect(0);
    assert_eq!(pruned.stdout, "removed 0 environments\n");
    sandbox.sendoff(&["cancel", "the-job"]).expect(0);
    let pruned = sandbox.sendoff(&["env", "prune"]).expect(0);
    assert_eq!(pruned.stdout, "removed 1 environment\n");
}

#[test]
fn plan_says_hit_or_miss_and_what_changed() {
    let sandbox = sandbox();
    wheels(&sandbox);
    let plan = || {
        let text = sandbox.sendoff(&["plan", "--no-tracking"]).expect(0).stdout;
        let line = text.lines().find_map(|line| line.strip_prefix("environment  ")).expect("a line");
        line.split("; Python").next().unwrap_or(line).to_owned()
    };
    sandbox.file("train.py", "print()\n");
    sandbox.file("run.yaml", "script: train.py\nenvironment: {pip_packages: [alpha], find_links: [wheels]}\n");
    assert_eq!(plan(), "miss: not resolved yet");
    sandbox.sendoff(&["submit", "--no-tracking"]).expect(0);
    let hit = plan();
    assert!(hit.starts_with("hit: ") && hit.ends_with(" is built"), "{hit}");
    sandbox.file("run.yaml", "script: train.py\nenvironment: {pip_packages: [alpha, beta], find_links: [wheels]}\n");
    assert_eq!(plan(), "miss: pip_packages changed");
    sandbox.file("run.yaml", "script: train.py\nenvironment: {pip_packages: [alpha], find_links: [wheels, .]}\n");
    assert_eq!(plan(), "miss: find_links changed");
}

#[test]
fn a_lock_is_kept_until_an_upgrade_is_asked_for_and_stored_with_the_job() {
    let sandbox = sandbox();
    let folder = sandbox.project().join("wheels");
    wheel(&folder, "alpha", "1.0", "alpha one", &[]);
    sandbox.file("train.py", "import alpha\nprint(alpha.SAYS)\n");
    sandbox.file("run.yaml", "script: train.py\nenvironment: {pip_packages: [alpha], find_links: [wheels]}\n");
    let submit = ["submit", "--no-tracking", "--job-id", "the-job"];
    says(&sandbox.sendoff(&submit), "alpha one\n");
    let lock = std::fs::read_to_string(sandbox.attempt("the-job", "artifacts/requirements.lock")).expect("it is stored with the job");
    assert_eq!(lock, "alpha==1.0\n");
    wheel(&folder, "alpha", "2.0", "alpha two", &[]);
    says(&sandbox.sendoff(&["submit", "--no-tracking"]), "alpha one\n");
    says(&sandbox.sendoff(&["submit", "--no-tracking", "--upgrade"]), "alpha two\n");
}

/// Returns a PATH without any `uv`, whatever this machine's own Python has: that of a venv that has nothing else.
fn path_without_uv(sandbox: &Sandbox) -> String {
    let venv = sandbox.home().with_file_name("bare");
    let made = Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(&venv).status().expect("python3 runs");
    assert!(made.success());
    format!("{}:/usr/bin:/bin", venv.join("bin").display())
}

#[test]
fn uv_is_installed_from_the_index_when_there_is_none() {
    let sandbox = Sandbox::new();
    let path = path_without_uv(&sandbox);
    let sandbox = sandbox.env("PATH", &path);
    sandbox.file("run.yaml", "command: echo ok\n");
    let plan = sandbox.sendoff(&["plan", "--no-tracking"]).expect(0);
    assert!(plan.stdout.contains("environment  miss: not resolved yet; Python found at submission\n"), "{}", plan.stdout);
    let run = sandbox.sendoff(&["submit", "--no-tracking"]).expect(0);
    assert!(run.stderr.contains("installing uv"), "{}", run.stderr);
    assert!(sandbox.home().join("data/tools/uv/bin/uv").is_file());
    let run = sandbox.sendoff(&["submit", "--no-tracking", "--upgrade"]).expect(0);
    assert!(!run.stderr.contains("installing uv"), "{}", run.stderr);
}

#[test]
fn uv_is_found_as_a_module_of_python() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::new();
    let folder = sandbox.home().with_file_name("bin");
    std::fs::create_dir(&folder).expect("writable");
    let program = folder.join("python3");
    std::fs::write(&program, format!("#!/bin/sh\nexec '{}' \"$@\"\n", shared().join("uv/bin/python").display())).expect("writable");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("ours");
    let path = format!("{}:{}", folder.display(), path_without_uv(&sandbox));
    let sandbox = sandbox.env("PATH", &path);
    sandbox.file("run.yaml", "command: echo ok\n");
    let run = sandbox.sendoff(&["submit", "--no-tracking"]).expect(0);
    assert!(!run.stderr.contains("installing uv"), "{}", run.stderr);
    assert!(!sandbox.home().join("data/tools").exists());
}

#[test]
fn a_home_that_cannot_be_written_to_costs_only_the_shared_cache_of_uv() {
    let sandbox = sandbox();
    wheels(&sandbox);
    sandbox.file("train.py", "import alpha\nprint(alpha.SAYS)\n");
    sandbox.file("run.yaml", "script: train.py\nenvironment: {pip_packages: ['alpha<2'], find_links: [wheels]}\n");
    let command = |arguments: &[&str]| {
        let mut command = sandbox.command(arguments);
        command.env("HOME", "/dev/null/x").env_remove("UV_CACHE_DIR");
        command
    };
    let run = |command: &mut Command| Run::from(command.output().expect("it starts"));
    let submit = ["submit", "--no-tracking"];
    // A cache that the user chose is not replaced, and its fault is not taken for another.
    let chosen = run(command(&submit).env("UV_CACHE_DIR", "/dev/null/y")).expect(245);
    assert!(chosen.stderr.contains("error: could not look for Python `>=3.10` on this machine"), "{}", chosen.stderr);
    assert!(chosen.stderr.contains("hint: set `UV_CACHE_DIR` to a folder that you can write to"), "{}", chosen.stderr);

    says(&run(&mut command(&submit)), "alpha one\n");
    assert!(sandbox.home().join("cache/uv").is_dir());
    let doctor = run(&mut command(&["doctor"])).stdout;
    let line = doctor.lines().find(|line| line.contains("cache of uv: ")).unwrap_or_default();
    assert!(line.starts_with("ok ") && line.ends_with(" (`/dev/null/x/.cache/uv` cannot be written to)"), "{doctor}");

    // Without a place for its records it says what to do.
    let list = run(command(&["list"]).env_remove("SENDOFF_HOME")).expect(244);
    assert!(list.stderr.contains("hint: set `SENDOFF_HOME` to a folder that you can write to"), "{}", list.stderr);
}
