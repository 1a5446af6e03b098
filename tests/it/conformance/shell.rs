//! A shell beside a job: where it runs, or where it would run again.

use std::io::Write;
use std::process::Stdio;

use super::{Place, World, service};
use crate::support::Run;
use crate::terminal::{at_a_terminal, resize};

/// A job that has written a file and waits.
const WAITING: &str = "command: 'echo made >made.txt; echo up; while [ ! -e go ]; do sleep 0.05; done'\n\
                       environment_variables: {ODD: \"a b'\\n$c\"}\nsecrets: [MY_TOKEN]\n";

/// Gives a shell its commands by standard input.
fn told(world: &World<'_>, arguments: &[&str], commands: &[u8]) -> Run {
    let mut command = world.sandbox.command(&[&["shell", "the-job"], arguments].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let commands = commands.to_vec();
    let writing = std::thread::spawn(move || stdin.write_all(&commands));
    let output = child.wait_with_output().expect("it ends");
    // A shell that leaves early reads no more.
    let _ = writing.join().expect("no panic");
    Run::from(output)
}

pub(crate) fn a_shell_is_where_the_job_is_and_ends_with_its_own_code(place: &Place) {
    if place.service {
        return service::has_no_shell(place, service::While::Running);
    }
    let world = place.world().env("MY_TOKEN", "the-secret");
    world.start("the-job", WAITING);
    world.wait_for("the-job", "\nup");
    let run = told(&world, &[], b"cat made.txt; printf '%s|' \"$ODD\" \"$MY_TOKEN\"; echo oh >&2; exit 7\n").expect(7);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("made\na b'\n$c|the-secret|", "oh\n"));
    let run = world.sandbox.sendoff(&["shell", "the-job", "--", "python", "-c", "import sys; sys.exit(len(sys.argv[1]))", "a b"]);
    assert_eq!(run.expect(3).stdout, "");
    world.sandbox.sendoff(&["shell", "the-job", "--", "no-such-program"]).expect(127);
    // What a shell does there is seen by the job.
    told(&world, &[], b"touch go\n").expect(0);
    world.sandbox.sendoff(&["wait", "the-job"]).expect(0);
}

pub(crate) fn a_terminal_is_lent_with_its_size_and_every_key(place: &Place) {
    if place.service {
        return service::has_no_shell(place, service::While::Running);
    }
    let world = place.world().env("TERM", "vt100").env("MY_TOKEN", "the-secret");
    world.start("the-job", WAITING);
    world.wait_for("the-job", "\nup");
    let size = resize(33, 77);
    // Ctrl-C ends the program in the shell, not the shell.
    let steps = [
        ("", "PS1='rea''dy '\n"),
        ("ready ", "tty && echo \"term=$TERM\"\n"),
        ("term=vt100", &size),
        ("ready ", "until [ \"$(stty size)\" = '33 77' ]; do :; done; echo si''zed\n"),
        ("sized", "sh -c 'echo sle\"\"eps; exec sleep 600'\n"),
        ("sleeps", "\u{3}"),
        ("ready ", "exit 5\n"),
    ];
    let (code, seen) = at_a_terminal(&world.sandbox, &["shell", "the-job"], &steps);
    assert_eq!(code, 5, "{seen}");
    assert!(!seen.contains("not a tty"), "{seen}");
    world.sandbox.sendoff(&["cancel", "the-job"]).expect(0);
}

pub(crate) fn after_the_end_a_shell_is_in_a_fresh_copy_that_goes_with_it(place: &Place) {
    if place.service {
        return service::has_no_shell(place, service::While::Ended);
    }
    let world = place.world();
    world.sandbox.file("data.txt", "as submitted");
    world.run("command: 'echo changed >data.txt; echo out >${{outputs.model}}/one'\noutputs: {model: {type: uri_folder}}\n").expect(0);
    let run = told(&world, &[], b"cat data.txt; ls $SENDOFF_OUTPUT_MODEL; echo two >$SENDOFF_OUTPUT_MODEL/two; exit 4\n").expect(4);
    assert_eq!(run.stdout, "as submitted");
    let expected =
        "job `the-job` succeeded with exit code 0: this is a fresh copy of its snapshot and environment, which goes when you leave\n";
    assert_eq!(run.stderr, expected);
    world.nothing_runs();
    assert_eq!(std::fs::read_dir(world.sandbox.temporary()).expect("a folder").count(), 0);
    // What the job has left is what it was.
    world.sandbox.sendoff(&["download", "the-job"]).expect(0);
    let names = |folder: std::path::PathBuf| {
        let entries = std::fs::read_dir(folder).expect("a folder").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(world.sandbox.project().join("the-job/model")), ["one"]);
}

pub(crate) fn what_goes_in_comes_out_whole_whoever_reads_first(place: &Place) {
    if place.service {
        return service::has_no_shell(place, service::While::Ended);
    }
    let world = place.world();
    world.run("command: 'true'\n").expect(0);
    let bytes = "0123456789abcdef".repeat(200_000);
    let run = told(&world, &["--quiet", "--", "cat"], bytes.as_bytes()).expect(0);
    assert!(run.stdout == bytes && run.stderr.is_empty(), "{} bytes of {}; {}", run.stdout.len(), bytes.len(), run.stderr);
}
