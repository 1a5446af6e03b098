//! What a job leaves on its engine because it was asked to, or because something was killed; and who removes it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use sendoff::engine::{ContainerSpec, Removal};
use sendoff::support::platform;
use sendoff::target::docker::{owner, place};
use sha2::{Digest, Sha256};

use crate::support::{Run, Sandbox, engine, wait_until};

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

/// Makes an image of one file, with labels as environments have them.
fn image(id: &str, cache: &Path) {
    let owner = Sha256::digest(format!("{}\n{}", platform::host_name(), cache.display()).as_bytes());
    let owner: String = owner.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let script = r#"tar -c -C / etc/hostname | docker import -c "LABEL sendoff.environment=$0 sendoff.owner=$1" - "sendoff/env:$2""#;
    let short = &id[..12];
    let made = Command::new("sh").args(["-ec", script, id, &owner, short]).stdout(Stdio::null()).status();
    assert!(made.expect("a shell runs").success());
}

#[test]
#[ignore = "needs a Docker engine"]
fn docker_networks_volumes_and_images_go_when_they_are_ours_or_of_a_home_that_is_gone_and_no_others() {
    let world = World::new("kinds");
    let job = world.job.as_str();
    // An engine is asked that was used.
    world.submit(&[]).expect(0);
    let neighbour = tempfile::tempdir().expect("a folder");
    let (ours, theirs) = (world.sandbox.home().join("data"), neighbour.path().to_owned());
    let known = |data: &Path| owner::store(data).expect("writable");
    let labels = |data: &Path, store: &str, of: &str| -> BTreeMap<String, String> {
        let pairs = [
            (place::OWNER, data.display().to_string()),
            (place::STORE, store.to_owned()),
            (place::MACHINE, platform::host_name()),
            (place::JOB, of.to_owned()),
            (place::ATTEMPT, "1".to_owned()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into()
    };
    let unknown = format!("{job}-nobody");
    let gone = Path::new("/nonexistent/sendoff");
    let made = [
        ("ours", labels(&ours, &known(&ours), &unknown)),
        ("gone", labels(gone, "0123", &unknown)),
        ("theirs", labels(&theirs, &known(&theirs), &unknown)),
        (
            "elsewhere",
            [labels(gone, "0123", &unknown), [(place::MACHINE.to_owned(), "another".to_owned())].into()].into_iter().flatten().collect(),
        ),
        ("foreign", BTreeMap::new()),
        ("unnamed", [(place::OWNER.to_owned(), gone.display().to_string())].into()),
    ];
    let container = |name: &str, labels: &BTreeMap<String, String>| ContainerSpec {
        name: format!("{job}-{name}"),
        image: "python:3.11-slim".to_owned(),
        command: vec!["true".to_owned()],
        labels: labels.clone(),
        network: Some("none".to_owned()),
        ..ContainerSpec::default()
    };
    engine(async |engine| {
        for (name, labels) in &made {
            let name = format!("{job}-{name}");
            engine.create_network(&name, labels).await.expect("it is free");
            engine.create_volume(&name, labels).await.expect("it is free");
        }
        for (name, labels) in &made {
            engine.create(&container(name, labels)).await.expect("it is free");
            engine.start(&format!("{job}-{name}")).await.expect("it is there");
            engine.wait(&format!("{job}-{name}")).await.expect("it is there");
        }
    });
    let hash = |text: &str| Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (own_image, other_image) = (hash(&format!("{job} ours")), hash(&format!("{job} theirs")));
    image(&own_image, &world.sandbox.home().join("cache"));
    image(&other_image, &theirs.join("cache"));

    let removed = world.sandbox.sendoff(&["gc", "--yes", "--output", "json"]).expect(0).json();
    let mut names: Vec<String> = removed["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|item| format!("{} {}", item["kind"].as_str().expect("a word"), item["name"].as_str().expect("a name")))
        .filter(|item| item.contains(job) || item.contains(&own_image[..12]) || item.contains(&other_image[..12]))
        .filter(|item| ["container ", "network ", "volume ", "image "].iter().any(|kind| item.starts_with(kind)))
        .map(|item| item.replace(job, "[JOB]").replace(&own_image[..12], "[OWN]").replace(" on `/var/run/docker.sock`", ""))
        .collect();
    names.sort();
    let left = engine(async |engine| {
        let mut left = Vec::new();
        for (name, _) in &made {
            let name = format!("{job}-{name}");
            let there = [
                engine.inspect(&name).await.expect("it answers").is_some(),
                engine.inspect_network(&name).await.expect("it answers").is_some(),
                engine.inspect_volume(&name).await.expect("it answers").is_some(),
            ];
            left.push(there);
            engine.remove(&name, Removal::Forced).await.expect("it goes");
            engine.remove_network(&name).await.expect("it goes");
            engine.remove_volume(&name).await.expect("it goes");
        }
        let other = format!("sendoff/env:{}", &other_image[..12]);
        assert!(engine.image(&other).await.expect("it answers").is_some(), "another cache's");
        engine.remove_image(&other).await.expect("it goes");
        assert!(engine.image(&format!("sendoff/env:{}", &own_image[..12])).await.expect("it answers").is_none());
        left
    });
    assert_eq!(
        names,
        [
            "container [JOB]-ours, of a job that nobody knows",
            "image sendoff/env:[OWN]",
            "network [JOB]-gone, of the home `/nonexistent/sendoff`, which is gone",
            "network [JOB]-ours, of a job that nobody knows",
            "volume [JOB]-gone, of the home `/nonexistent/sendoff`, which is gone",
            "volume [JOB]-ours, of a job that nobody knows",
        ]
    );
    // Of a home that is gone, a container goes a day later.
    let stays = [true; 3];
    assert_eq!(left, [[false; 3], [true, false, false], stays, stays, stays, stays]);
}
