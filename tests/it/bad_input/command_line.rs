//! Words of the command line that mean nothing.

use insta::assert_snapshot;

use super::with_config;
use crate::support::Sandbox;

#[test]
fn names_that_cannot_be_job_ids_are_refused() {
    let sandbox = with_config("script: train.py\n");
    let mut said = String::new();
    for id in ["two words", "-x", "$(id)", "it's", "é", "\u{1f600}", "a\nb", "", "Upper", "ends-", &"a".repeat(50)] {
        let run = sandbox.sendoff(&["submit", "--no-tracking", &format!("--job-id={id}")]).expect(244);
        said.push_str(run.stderr.split("\n\n").next().unwrap_or_default());
        said.push('\n');
    }
    assert_snapshot!(said, @r"
    error: invalid value 'two words' for '--job-id <ID>': `two words` is not a job id: expected 2 to 36 lower-case letters, digits and hyphens, a letter first and no hyphen last
    error: invalid value '-x' for '--job-id <ID>': `-x` is not a job id: expected 2 to 36 lower-case letters, digits and hyphens, a letter first and no hyphen last
    error: invalid value '$(id)' for '--job-id <ID>': `$(id)` is not a job id: expected 2 to 36 lower-case letters, digits and hyphens, a letter first and no hyphen last
    error: invalid value 'it's' for '--job-id <ID>': `it's` is not a job id: expected 2 to 36 lower-case letters, digits and hyphens, a letter first and no hyphen last
    error: invalid value 'é' for '--job-id <ID>': `é` is not a job id: expected 2 to 36 lower-case letters, digits and hyphens, a letter first and no hyphen last
    error: invalid value '😀' for '--job-id <ID>': `😀` is not a job id: expected 2 to 36 lower-case letters, digits and hyphens, a letter first and no hyphen last
    error: invalid value 'a
    b' for '--job-id <ID>': `a
    b` is not a job id: expected 2 to 36 lower-case letters, digits and hyphens, a letter first and no hyphen last
    error: invalid value '' for '--job-id <ID>': `` is not a job id: expected 2 to 36 lower-case letters, digits and hyphens, a letter first and no hyphen last
    error: invalid value 'Upper' for '--job-id <ID>': `Upper` is not a job id: expected 2 to 36 lower-case letters, digits and hyphens, a letter first and no hyphen last
    error: invalid value 'ends-' for '--job-id <ID>': `ends-` is not a job id: expected 2 to 36 lower-case letters, digits and hyphens, a letter first and no hyphen last
    error: invalid value 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' for '--job-id <ID>': `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa` is not a job id: expected 2 to 36 lower-case letters, digits and hyphens, a letter first and no hyphen last
    ");
    assert!(!sandbox.home().join("data/jobs").exists());
}

#[test]
fn a_bad_command_line_ends_with_244() {
    let sandbox = Sandbox::new();
    for arguments in [&["submit", "--nonsense"][..], &["no-such-command"], &["submit", "--job-id", "Not An Id"], &["status", "nobody"]] {
        sandbox.sendoff(arguments).expect(244);
    }
    sandbox.sendoff(&["--version"]).expect(0);
}

#[test]
fn an_empty_key_and_a_list_of_nothing_are_refused() {
    let sandbox = with_config("script: train.py\n");
    let mut said = String::new();
    for arguments in [&["submit", "--no-tracking", "--key", ""][..], &["plan", "--key", " "], &["list", "--limit", "0"]] {
        let run = sandbox.sendoff(arguments).expect(244);
        said.push_str(run.stderr.split("\n\n").next().unwrap_or_default());
        said.push('\n');
    }
    assert_snapshot!(said, @r"
    error: invalid value '' for '--key <TEXT>': a key is a text that tells this submission from others, and this one is empty
    error: invalid value ' ' for '--key <TEXT>': a key is a text that tells this submission from others, and this one is empty
    error: invalid value '0' for '--limit <LIMIT>': expected a number from 1 on
    ");
    assert!(!sandbox.home().join("data/jobs").exists());
}
