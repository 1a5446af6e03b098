//! `sendoff.yaml`: named compute targets, tracking, defaults.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::values;
use crate::support::yaml::{Context, Fields, Node};
use crate::target::config::{Kind, TargetConfig, TargetSpec};

/// The document of one settings file.
#[derive(Debug)]
pub(super) struct Settings {
    /// The file.
    pub(super) file: PathBuf,
    /// Whether it is the user's own: only there may programs and credentials be named.
    pub(super) own: bool,
    root: Node,
}

impl Settings {
    /// Takes a parsed file and checks its keys.
    pub(super) fn new(file: PathBuf, own: bool, root: Node, context: &Context) -> Self {
        let mut fields = Fields::of(&root, "", context);
        for (name, _, node) in fields.entries("compute_targets") {
            target(&name, node, &format!("compute_targets.{name}"), context);
        }
        if let Some(mut tracking) = fields.section("tracking") {
            tracking.get("uri");
            tracking.finish();
        }
        fields.get("compute_target");
        fields.get("experiment_name");
        fields.finish();
        Self { file, own, root }
    }

    /// Returns the node of a key, two levels at most.
    pub(super) fn get(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(&self.root, |node, key| node.get(key)).filter(|node| !node.is_null())
    }

    /// Returns the target of a name.
    pub(super) fn target(&self, name: &str) -> Option<TargetSpec> {
        // What is wrong with it was found when the file was checked.
        self.get(&["compute_targets", name]).and_then(|node| target(name, node, "", &Context::default()))
    }

    /// Returns the names of the targets.
    pub(super) fn target_names(&self) -> Vec<String> {
        let quiet = Context::default();
        Fields::of(&self.root, "", &quiet).entries("compute_targets").into_iter().map(|(name, _, _)| name).collect()
    }
}

/// Returns the project's settings files from a folder upward: the walk stops at the repository root, at the home folder and at `/`, and
/// files of other users are skipped with a note.
pub(super) fn project_files(start: &Path, home: Option<&Path>, context: &Context) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in start.ancestors() {
        if Some(folder) == home {
            break;
        }
        let file = folder.join("sendoff.yaml");
        if file.is_file() {
            if is_ours(&file) {
                found.push(file);
            } else {
                context.note(format!("skipped `{}`: it belongs to another user", file.display()));
            }
        }
        if folder.join(".git").exists() {
            break;
        }
    }
    found
}

fn is_ours(file: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let own = rustix::process::getuid().as_raw();
        std::fs::metadata(file).is_ok_and(|metadata| metadata.uid() == own || metadata.uid() == 0)
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        true
    }
}

/// Keys that a kind of target may have beside `type`, `max_jobs` and `resources`.
fn keys(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Local => &[],
        Kind::Docker => &["host", "image", "network", "mounts", "user", "platform"],
        Kind::Ssh => &["host", "user", "port", "identity_file", "directory"],
        Kind::Slurm => &["host", "user", "partition", "account", "qos", "directory", "modules"],
        Kind::AzureMl => &["subscription_id", "resource_group", "workspace_name", "compute", "instance_type", "auth"],
        Kind::Databricks => &["profile", "host", "cluster_id", "node_type_id", "spark_version"],
        Kind::Ray => &["address", "working_directory"],
        Kind::Kubernetes => &["context", "namespace", "image"],
    }
}

/// Reads an inline or named target; what is wrong goes to the context.
pub(super) fn target(name: &str, node: &Node, path: &str, context: &Context) -> Option<TargetSpec> {
    let mut fields = Fields::of(node, path, context);
    let parse = |text: &str| {
        Kind::ALL
            .into_iter()
            .find(|kind| kind.word() == text)
            .ok_or_else(|| format!("the kinds are {}", crate::support::words::all_of(Kind::ALL.map(Kind::word))))
    };
    if fields.get("type").is_none() && node.get("type").is_none() {
        context.find(node, format!("`{path}` has no `type`"), "a compute target needs one", Some("write `type: local`".to_owned()));
    }
    let kind = fields.parsed("type", parse, "type: local");
    let max_jobs = fields.parsed("max_jobs", values::count, "max_jobs: 2").filter(|count| *count > 0);
    let resources = fields.pairs("resources").into_iter().map(|(key, value, _)| (key, value)).collect();
    let kind = kind?;
    let mut own = BTreeMap::new();
    for key in keys(kind) {
        if let Some(node) = fields.get(key) {
            own.insert((*key).to_owned(), node.text().unwrap_or("...").to_owned());
        }
    }
    fields.finish();
    let config = match kind {
        Kind::Local => TargetConfig::Local,
        kind => TargetConfig::NotBuilt { kind, keys: own },
    };
    Some(TargetSpec { name: name.to_owned(), config, max_jobs, resources })
}
