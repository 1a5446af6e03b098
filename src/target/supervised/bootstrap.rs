//! Renders the bootstrap that all self-managed targets share.

use serde::Serialize;

use crate::job::{Command, JobSpec};
use crate::support::{shell, template};
use crate::target::Error;

/// The program that unpacks a snapshot and verifies it: archive, id, folder.
pub(in crate::target) const UNPACK: &str = include_str!("../../../templates/unpack.py");

/// The small Python programs that the bootstrap calls, by file name.
pub(in crate::target) const PROGRAMS: [(&str, &str); 2] =
    [("unpack.py", UNPACK), ("preflight.py", include_str!("../../../templates/preflight.py"))];

#[derive(Serialize)]
struct Context<'a> {
    id: &'a str,
    attempt: u32,
    folder: &'a str,
    state: &'a str,
    in_container: bool,
    python: String,
    snapshot: &'a str,
    variables: &'a [(String, String)],
    outputs: Vec<String>,
    preflight: bool,
    setup: Option<&'a str>,
    command: String,
    shown: String,
}

/// The folders of an attempt, as the bootstrap has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::target) struct Folders {
    /// Holds the bundle, the working directory and what is collected.
    pub(in crate::target) folder: String,
    /// Where the bootstrap writes down how it goes.
    pub(in crate::target) state: String,
    /// Whether the bootstrap is the first process of a container: its supervisor may die then, and secrets come over stdin.
    pub(in crate::target) in_container: bool,
}

/// Returns the script for an attempt.
pub(in crate::target) fn render(spec: &JobSpec, folders: &Folders) -> Result<String, Error> {
    let Folders { folder, state, in_container } = folders;
    let command = match &spec.command {
        Command::Program(words) => shell::join(words),
        Command::Shell(line) => format!("/bin/sh -c {}", shell::quote(line)),
    };
    let shown = match &spec.command {
        Command::Program(words) => shell::join(words),
        Command::Shell(line) => line.clone(),
    };
    let outputs = spec.outputs.iter().filter(|(_, is_folder)| *is_folder).map(|(name, _)| format!("{folder}/collected/{name}")).collect();
    let context = Context {
        id: spec.id.as_str(),
        attempt: spec.attempt,
        folder,
        state,
        in_container: *in_container,
        python: spec.python.display().to_string(),
        snapshot: &spec.snapshot,
        variables: &spec.variables,
        outputs,
        preflight: spec.preflight,
        setup: spec.setup.as_deref(),
        command,
        shown,
    };
    Ok(template::render("bootstrap.sh", include_str!("../../../templates/bootstrap.sh"), &context)?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn spec() -> JobSpec {
        JobSpec {
            id: "amber-fox".parse().expect("a good id"),
            attempt: 2,
            digest: String::new(),
            request: crate::job::Request::default(),
            command: Command::Program(["/env/bin/python", "train.py", "--name", "it's $(id)"].map(str::to_owned).to_vec()),
            setup: Some("module load cuda\nexport X=1".to_owned()),
            archive: "/cache/snapshot.zip".into(),
            snapshot: "0123456789abcdef".repeat(4),
            leases: Vec::new(),
            python: "/env/bin/python".into(),
            variables: vec![("PATH".to_owned(), "/env/bin:/usr/bin".to_owned()), ("TEXT".to_owned(), "a b\n'c'".to_owned())],
            secrets: Vec::new(),
            outputs: vec![("model".to_owned(), true), ("report".to_owned(), false)],
            cpus: None,
            memory: None,
            gpus: None,
            max_duration: None,
            grace: Duration::ZERO,
            queue: None,
            preflight: true,
            nodes: 1,
            container: None,
            hosted: None,
        }
    }

    fn here(folder: &str) -> Folders {
        Folders { folder: folder.to_owned(), state: folder.to_owned(), in_container: false }
    }

    #[test]
    fn the_script_reads_well_at_night() {
        let script = render(&spec(), &here("/data/jobs/amber-fox/attempt 2")).expect("it renders");
        insta::assert_snapshot!(script, @r##"
        #!/bin/sh
        # sendoff job amber-fox, attempt 2: the bootstrap around the user's command.
        #
        # Steps, each named in the log: unpack, preflight, setup, command. The first that fails ends the job.
        # All output is in $sendoff_attempt/log. What is written down for whoever reads it later, in $sendoff_state:
        #   step         the step that was come to
        #   failed-step  the step that failed, unless it was the command
        #   started      there once the command has started
        #   code         the command's exit code, 128 + n for signal n
        set -u

        # Named so that no variable of the job's is meant.
        sendoff_attempt='/data/jobs/amber-fox/attempt 2'
        sendoff_state='/data/jobs/amber-fox/attempt 2'
        sendoff_python=/env/bin/python
        sendoff_step=
        sendoff_stopped=

        step() { # NAME TEXT
            # Between two of its children nobody else has heard of it.
            [ -z "$sendoff_stopped" ] || exit 143
            sendoff_step=$1
            printf '%s\n' "$1" >"$sendoff_state/step"
            printf '[sendoff] %s: %s\n' "$1" "$2"
        }
        fail() { # NAME CODE
            sendoff_step=
            printf '%s\n' "$1" >"$sendoff_state/failed-step"
            printf '[sendoff] job amber-fox ended in its step %s (status %s)\n' "$1" "$2"
            exit "$2"
        }
        # Called by the trap below, whichever way this shell ends.
        # shellcheck disable=SC2317
        left() { # CODE
            kill -KILL "$sendoff_watch" 2>/dev/null
            # The block of the run config runs in this shell, and may end it.
            [ "$sendoff_step" != setup ] || fail setup "$1"
        }

        # TERM goes to the whole group; this shell waits for the command all the same, and reports its status.
        trap 'sendoff_stopped=1' TERM INT HUP
        # The pipe on stdin ends when the supervisor dies: then nothing of this job may stay.
        exec 3<&0 </dev/null
        (trap '' TERM INT HUP; IFS= read -r _ <&3; kill -KILL 0) >/dev/null 2>&1 &
        sendoff_watch=$!
        exec 3<&-
        trap 'left $?' EXIT

        export PATH=/env/bin:/usr/bin
        export TEXT='a b
        '\''c'\'''
        # Secrets come in a file of their own, which is gone before anything of the job runs.
        if [ -f "$sendoff_attempt/secrets" ]; then
            # shellcheck disable=SC1091
            . "$sendoff_attempt/secrets"
            rm -f "$sendoff_attempt/secrets"
        fi

        step unpack "snapshot 0123456789ab"
        mkdir -p "$sendoff_attempt/work" "$sendoff_attempt/collected" || fail unpack 1
        "$sendoff_python" -I -S "$sendoff_attempt/unpack.py" "$sendoff_attempt/snapshot.zip" 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef "$sendoff_attempt/work" || fail unpack $?
        rm -f "$sendoff_attempt/snapshot.zip"
        cd "$sendoff_attempt/work" || fail unpack 1
        unset OLDPWD
        mkdir -p '/data/jobs/amber-fox/attempt 2/collected/model' || fail unpack 1

        step preflight "asking the tracker"
        "$sendoff_python" -I -S "$sendoff_attempt/preflight.py" || fail preflight $?

        step setup "the block of the run config"
        set +u
        # shellcheck disable=all
        {
        module load cuda
        export X=1
        }
        sendoff_code=$?
        [ "$sendoff_code" -eq 0 ] || fail setup "$sendoff_code"

        step command '/env/bin/python train.py --name '\''it'\''\'\'''\''s $(id)'\'''
        # Not with `:`, whose failed redirection would end the shell.
        true >"$sendoff_state/started"
        [ -z "$sendoff_stopped" ] || exit 143
        /env/bin/python train.py --name 'it'\''s $(id)'
        sendoff_code=$?
        printf '%s\n' "$sendoff_code" >"$sendoff_state/code"
        # The block of the run config may have put another trap in place of ours.
        kill -KILL "$sendoff_watch" 2>/dev/null
        exit "$sendoff_code"
        "##);
    }

    #[test]
    fn what_a_job_does_not_ask_for_is_not_in_its_script() {
        let spec = JobSpec { setup: None, preflight: false, outputs: Vec::new(), variables: Vec::new(), ..spec() };
        let script = render(&spec, &here("/a")).expect("it renders");
        for word in ["preflight", "step setup", "export", "collected/"] {
            assert_eq!(script.lines().filter(|line| !line.starts_with('#') && line.contains(word)).count(), 0, "{word}: {script}");
        }
        assert!(!script.contains("\n\n\n"), "{script}");
    }

    #[test]
    fn a_container_whose_input_breaks_off_does_not_run_its_command() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = folder.path().display().to_string();
        let script = render(&spec(), &Folders { folder: home.clone(), state: home, in_container: true }).expect("it renders");
        let mut shell = std::process::Command::new("sh")
            .args(["-c", &script])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("`sh` runs");
        // The supervisor dies before the last line.
        std::io::Write::write_all(&mut shell.stdin.take().expect("a pipe"), b"export TOKEN='x'\n").expect("it reads");
        let output = shell.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(std::fs::read_to_string(folder.path().join("failed-step")).expect("it says where"), "start\n");
        assert!(!folder.path().join("work").exists() && !folder.path().join("started").exists());
    }

    #[test]
    #[ignore = "needs `shellcheck`"]
    fn shellcheck_finds_nothing_in_the_script() {
        let script = render(&spec(), &here("/data/jobs/amber-fox/attempt 2")).expect("it renders");
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), script).expect("writable");
        let output = std::process::Command::new("shellcheck")
            // Quotes and dollars inside single quotes are the user's.
            .args(["--shell=sh", "--exclude=SC1003,SC2016"])
            .arg(file.path())
            .output()
            .expect("`shellcheck` runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
