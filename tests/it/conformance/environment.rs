//! What a job finds where it starts.

use super::{Place, service};

/// Prints the words after a mark, one JSON list, so that what the shell or YAML did to them shows.
const PRINT_ARGUMENTS: &str = "import json, sys\nprint('GOT ' + json.dumps(sys.argv[1:]))\n";

fn got(log: &str) -> serde_json::Value {
    let line = log.lines().find_map(|line| line.strip_prefix("GOT ")).unwrap_or_else(|| panic!("nothing was printed: {log}"));
    serde_json::from_str(line).expect("a list")
}

pub(super) fn the_environment_is_built_from_nothing(place: &Place) {
    let world = place.world().env("LEAK", "1").env("LD_PRELOAD_NOT", "1").env("WANTED", "a b").env("PYTHONPATH", "/nowhere");
    world.sandbox.file("train.py", "import json, os\nprint('GOT ' + json.dumps(sorted(os.environ)))\nprint(os.environ.get('WANTED'))\n");
    let run = world
        .run("script: train.py\ninherit: [WANTED]\nenvironment_variables: {OMP_NUM_THREADS: 2, state: s, attempt: a, python: p, code: c}\ninputs: {C: 1}\noutputs: {model: {}}\n")
        .expect(0);
    let mut expected = vec![
        "OMP_NUM_THREADS",
        "PWD",
        "PYTHONUNBUFFERED",
        "SENDOFF_ATTEMPT",
        "SENDOFF_INPUT_C",
        "SENDOFF_JOB_ID",
        "SENDOFF_OUTPUT_MODEL",
        "SENDOFF_TARGET",
        "WANTED",
        // Names that the bootstrap might have for itself.
        "attempt",
        "code",
        "python",
        "state",
    ];
    if place.service {
        service::has_its_own_variables_and_these(&got(&run.stdout), &expected);
    } else {
        expected.extend(place.own_variables);
        expected.sort_unstable();
        assert_eq!(got(&run.stdout), serde_json::json!(expected));
    }
    assert!(run.stdout.contains("\na b\n"), "{}", run.stdout);
}

pub(super) fn arguments_and_variables_arrive_as_written(place: &Place) {
    let odd = ["two words", "it's", "\"q\"", "a\nb", "$(id)", "`id`", "$HOME", "-x", "--", "", "*", "\\", "\u{1f600}", "%s", "!x", "#c"];
    let world = place.world();
    let list = serde_json::to_string(&odd).expect("a list of texts");
    world.sandbox.file("train.py", PRINT_ARGUMENTS);
    let run = world.run(&format!("script: train.py\narguments: {list}\n")).expect(0);
    assert_eq!(got(&run.stdout), serde_json::json!(odd));

    let world = place.world();
    world.sandbox.file("train.py", "import json, os\nprint('GOT ' + json.dumps([os.environ[f'V{i}'] for i in range(16)]))\n");
    let variables: serde_json::Map<_, _> = odd.iter().enumerate().map(|(index, text)| (format!("V{index}"), (*text).into())).collect();
    let run = world.run(&format!("script: train.py\nenvironment_variables: {}\n", serde_json::Value::from(variables))).expect(0);
    assert_eq!(got(&run.stdout), serde_json::json!(odd));
}

pub(super) fn secrets_arrive_and_are_not_left_behind(place: &Place) {
    let world = place.world().env("API_KEY", "it's $(hunter2)\n-x");
    world.sandbox.file("train.py", "import os\nassert os.environ['API_KEY'] == \"it's $(hunter2)\" + chr(10) + '-x'\n");
    let accepted = if place.service { service::accepts_secrets_only_in_clear(&world) } else { "" };
    world.run(&format!("script: train.py\nsecrets: [API_KEY]\n{accepted}")).expect(0);
    let home = world.sandbox.home();
    let files = walkdir::WalkDir::new(home).into_iter().flatten().filter(|entry| entry.file_type().is_file());
    for file in files {
        let bytes = std::fs::read(file.path()).expect("readable");
        assert!(!bytes.windows(8).any(|window| window == b"(hunter2"), "{}", file.path().display());
    }
}

pub(super) fn the_working_copy_is_private_and_writable(place: &Place) {
    let world = place.world();
    world.sandbox.file("data.txt", "original\n").file("other.txt", "kept\n").file("sub/tool.sh", "echo tool\n");
    std::os::unix::fs::symlink("data.txt", world.sandbox.project().join("link.txt")).expect("writable");
    let config = "command: cat link.txt && sh sub/tool.sh && echo changed > data.txt && rm other.txt && mkdir new && pwd\n";
    for job in ["job-one", "job-two"] {
        world.config(config);
        let run = world.submit(&["--job-id", job]).expect(0);
        assert!(run.stdout.contains("original\ntool\n"), "{}", run.stdout);
    }
    let source = |name: &str| std::fs::read_to_string(world.sandbox.project().join(name)).expect("it is there");
    assert_eq!((source("data.txt").as_str(), source("other.txt").as_str()), ("original\n", "kept\n"));
    assert!(!world.sandbox.project().join("new").exists());
}

pub(super) fn stdin_is_empty(place: &Place) {
    let run = place.world().run("command: cat && echo done\n").expect(0);
    assert!(run.stdout.ends_with("done\n"), "{}", run.stdout);
}
