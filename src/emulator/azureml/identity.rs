//! The keys of an emulator, which outlive its restarts.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Error;
use crate::support::fs;
use crate::support::secret::Secret;

/// Who the emulator's tenant and its only application are, and what tokens and addresses are signed with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) tenant_id: String,
    pub(super) client_id: String,
    pub(super) client_secret: Secret,
    /// The object id of the application's service principal.
    pub(super) object_id: String,
    /// Signs tokens.
    pub(super) token_key: Secret,
    /// The key of the storage accounts, in base 64.
    pub(super) account_key: Secret,
}

impl Identity {
    /// Reads the identity of a folder, or makes one.
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("identity.json");
        if path.exists() {
            let bytes = fs::read(&path)?;
            return serde_json::from_slice(&bytes).map_err(|source| Error::State { path, source });
        }
        let identity = Self {
            tenant_id: guid(),
            client_id: guid(),
            client_secret: Secret::new(random::<32>()),
            object_id: guid(),
            token_key: Secret::new(random::<32>()),
            account_key: Secret::new(random::<64>()),
        };
        let text = serde_json::to_vec_pretty(&identity).expect("plain data of ours always serialises");
        fs::write_private(&path, &text)?;
        Ok(identity)
    }
}

/// Returns random bytes in base 64.
fn random<const N: usize>() -> String {
    use base64::Engine as _;
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Returns a new GUID, of version 4.
pub(super) fn guid() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    from_bytes(bytes)
}

/// Returns the GUID that a text always gets.
pub(super) fn guid_of(text: &str) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(text.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    from_bytes(bytes)
}

fn from_bytes(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guids_look_like_guids_and_differ() {
        let (one, other) = (guid(), guid());
        assert_ne!(one, other);
        assert_eq!(one.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_eq!(guid_of("x"), guid_of("x"));
        assert_ne!(guid_of("x"), guid_of("y"));
    }

    #[test]
    fn an_identity_stays_what_it_is() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let first = Identity::open(folder.path()).expect("writable");
        let again = Identity::open(folder.path()).expect("readable");
        assert_eq!((first.tenant_id, first.client_secret.expose()), (again.tenant_id, again.client_secret.expose()));
    }
}
