//! The words of Azure's users.

use insta::assert_snapshot;

use super::{explained, refused};
use crate::support::Sandbox;

#[test]
fn words_of_azure_are_accepted_with_a_note() {
    let sandbox = Sandbox::new();
    sandbox.file("src/train.py", "print()\n");
    sandbox.file("run.yaml", "code: src\nscript: train.py\ncompute: local\nlimits: {timeout: 60}\nresources: {instance_count: 1}\n");
    let run = sandbox.sendoff(&["validate"]).expect(0);
    assert_snapshot!(sandbox.plain(&run.stderr), @r"
    note: `code` was read as `source_directory`
    note: `compute` was read as `compute_target`
    note: `resources.instance_count` was read as `resources.nodes`
    note: `limits.timeout` was read as `resources.max_duration`
    ");
    assert_eq!(explained(&sandbox, &[], "resources.max_duration").0, "1 m 0 s");
    for (text, part) in [
        ("command: x\ntarget: local\ncompute_target: local\n", "`target` and `compute_target` are the same key"),
        ("command: x\nresources: {node_count: 0}\n", "`resources.nodes` cannot be read"),
        ("command: x\nresources: {shm_size: 2 hands}\n", "`resources.shared_memory` cannot be read"),
        ("command: x\nresources: {max_duration: 1h}\nlimits: {timeout: 60}\n", "are the same key"),
    ] {
        sandbox.file("run.yaml", text);
        let said = refused(&sandbox, &[]);
        assert!(said.contains(part), "{said}");
    }
}
