//! What workspaces were seen to have, so that it need not be asked for again.
//!
//! It is a memory and no truth: somebody may have deleted what it names. Whoever trusts it has to hear the service's refusal out.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::support::azure::Scope;
use crate::support::fs;

/// The environments that a workspace was seen to have.
#[derive(Debug)]
pub(super) struct Environments {
    folder: PathBuf,
}

impl Environments {
    /// Opens the memory of a workspace, which its control plane and its scope name.
    pub(super) fn of(cache: &Path, resource_manager: &str, scope: &Scope) -> Self {
        let digest = Sha256::digest(format!("{resource_manager}\n{scope}").to_lowercase().as_bytes());
        let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { folder: cache.join("azureml").join("environments").join(name) }
    }

    /// Returns whether the workspace was seen to have a version.
    pub(super) fn has(&self, version: &str) -> bool {
        self.folder.join(version).exists()
    }

    /// Remembers a version. What cannot be written costs a request, nothing else.
    pub(super) fn add(&self, version: &str) {
        let _ = fs::create_private_dir_all(&self.folder).and_then(|()| fs::write_atomic(self.folder.join(version), b""));
    }

    /// Forgets a version.
    pub(super) fn remove(&self, version: &str) {
        let _ = fs::remove_file(self.folder.join(version));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_workspace_has_a_memory_of_its_own() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let scope = |name: &str| Scope { subscription_id: "s".into(), resource_group: "g".into(), workspace_name: name.into() };
        let of = |manager: &str, name: &str| Environments::of(folder.path(), manager, &scope(name));
        let one = of("https://a.test", "w");
        assert!(!one.has("1"));
        one.add("1");
        assert!(one.has("1") && of("https://A.test", "W").has("1"));
        assert!(!of("https://b.test", "w").has("1") && !of("https://a.test", "x").has("1") && !one.has("2"));
        one.remove("1");
        assert!(!one.has("1"));
    }
}
