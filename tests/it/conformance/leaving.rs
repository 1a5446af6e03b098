//! What a job leaves, and how it is fetched.

use super::Place;

const OUTPUTS: &str = "mkdir -p outputs/deep logs; echo o > outputs/deep/o.txt; echo l > logs/l.txt; echo m > $SENDOFF_OUTPUT_MODEL/m.txt";
const LEFT: [&str; 4] = ["outputs/deep/o.txt", "logs/l.txt", "model/m.txt", "log.txt"];

pub(super) fn what_a_job_leaves_is_collected_however_it_ended(place: &Place) {
    let world = place.world();
    for (job, end, code) in [
        ("a-success", "exit 0", 0),
        ("a-failure", "exit 9", 9),
        ("a-crash", "kill -KILL $$", 137),
        ("a-timeout", "sleep 600", 242),
        ("a-cancel", "echo ready; sleep 600", 241),
    ] {
        let limit = if job == "a-timeout" { "resources: {max_duration: 2s}\n" } else { "" };
        world.start(job, &format!("command: '{OUTPUTS}; {end}'\noutputs: {{model: {{}}}}\ngrace: 1s\n{limit}"));
        if job == "a-cancel" {
            world.wait_for(job, "ready\n");
            world.sandbox.sendoff(&["cancel", job]).expect(0);
        }
        world.sandbox.sendoff(&["wait", job]).expect(code);
        let said = world.sandbox.sendoff(&["download", job]).expect(0);
        assert!(said.stdout.starts_with("4 files in"), "{}", said.stdout);
        for name in LEFT {
            assert!(world.sandbox.project().join(job).join(name).is_file(), "{job} left no {name}");
        }
        let removed = world.sandbox.project().join(job);
        std::fs::remove_dir_all(removed).expect("it is ours");
    }
}

pub(super) fn a_download_overwrites_nothing(place: &Place) {
    let world = place.world();
    world.run(&format!("command: '{OUTPUTS}'\noutputs: {{model: {{}}}}\n")).expect(0);
    let own = world.sandbox.project().join("the-job/model/m.txt");
    std::fs::create_dir_all(own.parent().expect("it has one")).expect("writable");
    std::fs::write(&own, "mine").expect("writable");
    let refused = world.sandbox.sendoff(&["download", "the-job"]);
    assert!(refused.code != Some(0) && refused.stderr.contains("exists already"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&own).expect("it is there"), "mine");
    assert!(!world.sandbox.project().join("the-job/log.txt").exists(), "a refused download left something");
    world.sandbox.sendoff(&["download", "the-job", "--to", "elsewhere"]).expect(0);
    assert!(world.sandbox.project().join("elsewhere/model/m.txt").is_file());
}

pub(super) fn odd_files_do_not_stop_a_download(place: &Place) {
    let world = place.world();
    world.sandbox.file(
        "train.py",
        "import os\nos.makedirs('outputs/two words')\nopen('outputs/two words/\u{1f600}', 'w').write('x')\n\
         open('outputs/best.ckpt', 'w').write('weights')\nos.symlink(os.path.abspath('outputs/best.ckpt'), 'outputs/latest.ckpt')\n\
         os.symlink('nowhere', 'outputs/dangling')\nos.mkfifo('outputs/pipe')\nos.makedirs('outputs/empty')\n",
    );
    world.run("script: train.py\n").expect(0);
    world.sandbox.sendoff(&["download", "the-job"]).expect(0);
    let file = |name: &str| world.sandbox.project().join("the-job/outputs").join(name);
    assert!(file("two words/\u{1f600}").is_file());
    assert_eq!(std::fs::read_to_string(file("best.ckpt")).expect("a file"), "weights");
    if place.service {
        // Storage has files, and nothing else.
        assert!(!file("empty").exists() && file("dangling").symlink_metadata().is_err() && !file("pipe").exists());
        return;
    }
    assert!(file("empty").is_dir());
    assert_eq!(std::fs::read_to_string(file("latest.ckpt")).expect("it leads to the file, or is it"), "weights");
    assert!(file("dangling").symlink_metadata().is_ok(), "a link was dropped");
    assert!(file("pipe").symlink_metadata().is_err(), "a pipe is no output");
}
