//! What a job leaves on its engine because it was asked to, or because something was killed; and who removes it.

use crate::support::{Run, Sandbox, wait_until};

/// A sandbox whose containers go with it.
struct World {
    sandbox: Sandbox,
    /// Names of jobs are those of containers, which all tests share.
    job: String,
}

impl World {
    fn new(name: &str) -> Self {
        let sandbox = Sandbox::new();
        sandbox.file("run.yaml", "compute_target: docker\ncommand: 'echo changed >data.txt'\n").file("data.txt", "as submitted");
        Self { sandbox, job: format!("left-{}-{name}", std::process::id()) }
    }

    fn submit(&self, more: &[&str]) -> Run {
        self.sandbox.sendoff(&[&["submit", "--no-tracking", "--job-id", &self.job], more].concat())
    }

    /// Returns what `gc` says of this world's own containers.
    fn garbage(&self, arguments: &[&str]) -> Vec<String> {
        self.garbage_of(&self.sandbox, arguments)
    }

    fn garbage_of(&self, sandbox: &Sandbox, arguments: &[&str]) -> Vec<String> {
        let found = sandbox.sendoff(&[&["gc", "--output", "json"], arguments].concat()).expect(0).json();
        let items = found["items"].as_array().cloned().unwrap_or_default();
        let names = items.iter().filter(|item| item["kind"] == "container").filter_map(|item| item["name"].as_str());
        names.filter(|name| name.contains(&self.job)).map(|name| name.replace(&self.job, "[JOB]")).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.sandbox.remove_containers();
    }
}

#[test]
#[ignore = "needs a Docker engine"]
fn docker_links_of_a_job_lead_to_no_file_of_this_machine() {
    let world = World::new("links");
    let (sandbox, job) = (&world.sandbox, world.job.as_str());
    let secret = sandbox.file("../secret.txt", "not the job's").project().join("../secret.txt").canonicalize().expect("it is there");
    let folder = secret.parent().expect("a folder").display().to_string();
    let command = format!(
        "mkdir outputs; echo own >outputs/own; ln -s own outputs/near; ln -s {} outputs/far; ln -s far outputs/further; \
         rm -r ../collected; ln -s {folder} ../collected",
        secret.display()
    );
    world.submit(&["--set", &format!("command={}", serde_json::Value::from(command))]).expect(0);
    sandbox.sendoff(&["download", job, "--to", "got"]).expect(0);
    let got = sandbox.project().join("got");
    let text = |name: &str| std::fs::read_to_string(got.join("outputs").join(name)).ok();
    assert_eq!((text("own").as_deref(), text("near").as_deref()), (Some("own\n"), Some("own\n")));
    for link in ["far", "further"] {
        let metadata = got.join("outputs").join(link).symlink_metadata().expect("a link is kept as it is");
        assert!(metadata.is_symlink(), "{link} became the file of this machine");
    }
    assert!(!got.join("secret.txt").exists(), "a folder of this machine was taken for the job's");
}

#[test]
#[ignore = "needs a Docker engine"]
fn docker_keeps_what_it_is_asked_to_keep_until_gc_and_no_other_home_touches_it() {
    let world = World::new("keep");
    let (sandbox, job) = (&world.sandbox, world.job.as_str());
    world.submit(&["--keep"]).expect(0);
    assert_eq!(sandbox.containers(), [format!("{job} Exited")]);
    let status = sandbox.sendoff(&["status", job]).expect(0).stdout;
    let kept = status.lines().find(|line| line.starts_with("kept ")).unwrap_or_else(|| panic!("{status}"));
    assert!(
        kept.contains(&format!("its container `{job}`")) && kept.ends_with("`sendoff delete` and `sendoff gc --yes` remove it"),
        "{kept}"
    );
    let json = sandbox.sendoff(&["status", job, "--output", "json"]).expect(0).json();
    assert!(json["kept"].as_str().is_some_and(|kept| kept.starts_with("its container")), "{json}");
    let shell = sandbox.sendoff(&["shell", job, "--", "cat", "data.txt"]).expect(0);
    assert_eq!(shell.stdout, "changed\n");
    assert_eq!(shell.stderr, format!("job `{job}` succeeded with exit code 0: this is its working directory as it was left\n"));

    let other = Sandbox::new();
    assert_eq!(world.garbage_of(&other, &["--yes"]), [""; 0]);
    let expected = ["[JOB], kept with `--keep` on `/var/run/docker.sock`"];
    assert_eq!(world.garbage(&[]), expected);
    assert_eq!(sandbox.containers().len(), 1, "only looked at");
    assert_eq!(world.garbage(&["--yes"]), expected);
    assert_eq!(sandbox.containers(), [""; 0]);
    assert!(!sandbox.sendoff(&["status", job]).expect(0).stdout.contains("kept "));
    assert_eq!(world.garbage(&[]), [""; 0]);
}

#[test]
#[ignore = "needs a Docker engine"]
fn docker_containers_of_deleted_and_of_unknown_jobs_go() {
    let world = World::new("delete");
    let (sandbox, job) = (&world.sandbox, world.job.as_str());
    world.submit(&["--keep"]).expect(0);
    sandbox.sendoff(&["delete", job]).expect(0);
    assert_eq!(sandbox.containers(), [""; 0]);

    world.submit(&["--keep"]).expect(0);
    // The engine is away, or another by now.
    let engine = sandbox.attempt(job, "engine.json");
    std::fs::write(&engine, r#"{"address": {"Local": "/nonexistent/engine.sock"}, "source": "HostVariable"}"#).expect("writable");
    let refused = sandbox.sendoff(&["delete", job]).expect(245);
    insta::assert_snapshot!(refused.stderr.replace(job, "[JOB]"), @r"
    error: could not remove what `[JOB]` has left where it ran
      caused by: could not reach the container engine at `/nonexistent/engine.sock` (from `DOCKER_HOST`)
      caused by: there is no such socket
    hint: start the engine that listens there, or correct the address
    hint: or `--force`; `sendoff gc` finds it later
    ");
    sandbox.sendoff(&["delete", "--force", job]).expect(0);
    assert_eq!(world.garbage(&["--yes"]), ["[JOB], of a job that nobody knows on `/var/run/docker.sock`"]);
    assert_eq!(sandbox.containers(), [""; 0]);
}

#[test]
#[ignore = "needs a Docker engine"]
fn docker_containers_of_shells_that_were_killed_end_by_themselves_and_go() {
    let world = World::new("shell");
    let (sandbox, job) = (&world.sandbox, world.job.as_str());
    world.submit(&[]).expect(0);
    let mut command = sandbox.command(&["shell", job, "--", "sh", "-c", "echo up; sleep 600"]);
    let mut shell = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    let mut said = String::new();
    let mut out = std::io::BufReader::new(shell.stdout.take().expect("a pipe"));
    std::io::BufRead::read_line(&mut out, &mut said).expect("it says something");
    assert_eq!(said, "up\n");
    assert_eq!(world.garbage(&["--yes"]), [""; 0], "somebody is in there");
    shell.kill().expect("it runs");
    shell.wait().expect("it ends");
    wait_until(|| match sandbox.containers().as_slice() {
        [one] if one.ends_with(" Exited") => Ok(()),
        others => Err(format!("{others:?}")),
    });
    let found = world.garbage(&["--yes"]);
    assert!(found.len() == 1 && found[0].starts_with("[JOB]-shell-") && found[0].contains(", a shell of the job [JOB] on "), "{found:?}");
    assert_eq!(sandbox.containers(), [""; 0]);
}
