//! What `plan` says of an environment, and how long a lock stays.

use super::{sandbox, says, wheel, wheels};

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
