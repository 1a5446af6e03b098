//! `config.json` of an Azure Machine Learning workspace, as the studio offers it for download, found by walking up from the run config.

use std::path::Path;

use serde::Deserialize;

use super::document::TargetChoice;
use super::{RunConfig, trust};
use crate::support::words::all_of;
use crate::support::yaml::{Context, Place};
use crate::target::config::{TargetConfig, Workspace};

/// The places below each folder, in Azure's order.
const FILES: [&str; 3] = ["config.json", ".azureml/config.json", "aml_config/config.json"];

#[derive(Deserialize)]
struct File {
    subscription_id: Option<String>,
    resource_group: Option<String>,
    workspace_name: Option<String>,
}

/// Names the parts of an Azure ML target's workspace that nothing else names, and finds what is still missing. An emulation needs none.
pub(super) fn complete(run: &mut RunConfig, written: Option<&TargetChoice>, folder: &Path, home: Option<&Path>, context: &Context) {
    let target = &mut run.target.value;
    let TargetConfig::AzureMl(azure) = &mut target.config else { return };
    if azure.workspace.scope().is_none()
        && let Some((file, found)) = find(folder, home, context)
    {
        azure.workspace = azure.workspace.clone().or(found);
        context.note(format!("the workspace is the one of `{}`", file.display()));
    }
    if target.emulated {
        return;
    }
    let elsewhere = Place::whole(run.target.origin.to_string(), &target.name);
    let place = match written {
        Some(TargetChoice::Named(name)) if name.text == target.name => &name.place,
        Some(TargetChoice::Inline(_, place)) => place,
        _ => &elsewhere,
    };
    let missing = azure.workspace.missing();
    if !missing.is_empty() {
        let fix = "write them beside `type: azureml`, or put the workspace's `config.json` beside the run config; `--emulate` needs none";
        context.find(place, "the target names no workspace", format!("{} missing", all_of(missing)), Some(fix.to_owned()));
    }
    if azure.compute.is_none() && azure.instance_type.is_none() {
        let fix = "write `compute: NAME_OF_A_CLUSTER`, or `instance_type: Standard_DS3_v2` for serverless compute".to_owned();
        context.find(place, "the target names no machine", "neither `compute` nor `instance_type`", Some(fix));
    }
}

/// Returns the nearest file with what it says. The walk is that of the project's settings: it stops at the repository's root, and files of
/// other users are skipped.
fn find(start: &Path, home: Option<&Path>, context: &Context) -> Option<(std::path::PathBuf, Workspace)> {
    FILES.iter().find_map(|name| {
        trust::project_files_named(name, start, home, context).into_iter().find_map(|file| {
            let text = std::fs::read_to_string(&file).ok()?;
            // Many programs have a `config.json`: one without these keys is another's.
            let found: File = serde_json::from_str(&text).ok()?;
            let workspace = Workspace {
                subscription_id: found.subscription_id,
                resource_group: found.resource_group,
                workspace_name: found.workspace_name,
            };
            workspace.scope().map(|_| (file, workspace))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspaces_own_file_is_found_upward_and_another_programs_is_passed_over() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let inner = folder.path().join("a/b");
        std::fs::create_dir_all(&inner).expect("writable");
        std::fs::create_dir_all(folder.path().join(".azureml")).expect("writable");
        std::fs::write(inner.join("config.json"), r#"{"layers": 3}"#).expect("writable");
        let text = r#"{"subscription_id": "s", "resource_group": "rg", "workspace_name": "ws"}"#;
        std::fs::write(folder.path().join(".azureml/config.json"), text).expect("writable");
        let (file, workspace) = find(&inner, None, &Context::default()).expect("it is there");
        assert_eq!(file, folder.path().join(".azureml/config.json"));
        assert_eq!(workspace.scope().expect("whole").workspace_name, "ws");
    }
}
