//! The log: every byte, in order, for whoever asks whenever.

use super::Place;
use crate::support::wait_until;

const COUNT: usize = 200_000;

#[track_caller]
fn is_whole(log: &str) {
    let mut numbers =
        log.lines().filter_map(|line| line.strip_prefix("line ")).map(|number| number.parse::<usize>().expect("a whole line"));
    for expected in 0..COUNT {
        assert_eq!(numbers.next(), Some(expected));
    }
    assert_eq!(numbers.next(), None);
}

pub(super) fn every_byte_is_there_for_who_watches_and_who_comes_later(place: &Place) {
    let world = place.world();
    let half = COUNT / 2;
    world.sandbox.file(
        "train.py",
        &format!(
            "import sys, time\nfor i in range({COUNT}):\n    sys.stdout.write('line %d\\n' % i)\n    if i == {half}:\n        sys.stdout.flush()\n        time.sleep(1)\nsys.stdout.write('no end of line')\n"
        ),
    );
    world.config("script: train.py\nenvironment_variables: {PYTHONUNBUFFERED: ''}\n");
    let submit = world.submission(&["--job-id", "the-job"]);
    let watching = std::thread::spawn(move || sendoff::support::command::capture(&mut { submit }, std::time::Duration::from_mins(2)));
    // Another terminal joins in the middle.
    wait_until(|| {
        let log = world.sandbox.sendoff(&["logs", "the-job"]).stdout;
        if log.contains("line 7\n") { Ok(()) } else { Err(log) }
    });
    let following = world.sandbox.sendoff(&["logs", "the-job", "--follow"]).expect(0).stdout;
    let watched = watching.join().expect("no panic").expect("the job succeeds");
    let later = world.sandbox.sendoff(&["logs", "the-job"]).expect(0).stdout;
    for log in [&following, &String::from_utf8_lossy(&watched.stdout).into_owned(), &later] {
        is_whole(log);
        assert!(log.ends_with("no end of line"));
    }
    assert_eq!(following, later);
}

pub(super) fn both_streams_are_in_order_of_arrival(place: &Place) {
    let world = place.world();
    let run = world.run("command: 'for i in 1 2 3; do echo out $i; echo err $i >&2; done'\n").expect(0);
    assert!(run.stdout.ends_with("out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n"), "{}", run.stdout);
}
