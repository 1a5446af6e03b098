//! The name of a job, valid as a name everywhere a job may run.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A job id: `[a-z][a-z0-9-]*[a-z0-9]`, at most 36 characters, so that it stays within 40 with an attempt suffix.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(String);

/// A text that cannot be a job id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a job id: expected 2 to 36 lower-case letters, digits and hyphens, a letter first and no hyphen last")]
pub struct InvalidId(pub String);

impl JobId {
    /// Returns a readable id that is unlikely to exist: two words and six hexadecimal digits.
    pub fn generate() -> Self {
        let words = petname::petname(2, "-").filter(|words| words.len() <= 28 && is_valid(words)).unwrap_or_else(|| "job".to_owned());
        let mut hasher = Sha256::new();
        hasher.update(jiff::Timestamp::now().as_nanosecond().to_be_bytes());
        hasher.update(std::process::id().to_be_bytes());
        Self(format!("{words}-{}", hex(&hasher.finalize()[..3])))
    }

    /// Derives the id that belongs to any text: the same text gives the same id on every machine.
    pub fn from_key(key: &str) -> Self {
        Self(format!("key-{}", hex(&Sha256::digest(key.as_bytes())[..10])))
    }

    /// Returns the id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn is_valid(text: &str) -> bool {
    let bytes = text.as_bytes();
    (2..=36).contains(&bytes.len())
        && bytes[0].is_ascii_lowercase()
        && bytes[bytes.len() - 1] != b'-'
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

impl FromStr for JobId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_valid(text) { Ok(Self(text.to_owned())) } else { Err(InvalidId(text.to_owned())) }
    }
}

impl TryFrom<String> for JobId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a job is, for machines that have no record of it: `sendoff://local/<host>/<job id>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handle {
    /// The target's kind.
    pub kind: String,
    /// The place: a host name, a cluster, a workspace.
    pub place: String,
    /// The id there.
    pub id: String,
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sendoff://{}/{}/{}", self.kind, self.place, self.id)
    }
}

impl Handle {
    /// Reads a handle; `None` when the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        // A place may have parts of its own.
        let (kind, rest) = text.strip_prefix("sendoff://")?.split_once('/')?;
        let (place, id) = rest.rsplit_once('/')?;
        (!kind.is_empty() && !place.is_empty() && !id.is_empty()).then(|| Self {
            kind: kind.to_owned(),
            place: place.to_owned(),
            id: id.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_names_everywhere() {
        for good in ["ab", "a1", "brave-otter-0fa3c1"] {
            assert!(good.parse::<JobId>().is_ok(), "{good}");
        }
        for bad in ["", "a", "-a", "a-", "1a", "A1", "a b", "a_b", "é1", "a\n", &"a".repeat(37)] {
            assert!(bad.parse::<JobId>().is_err(), "{bad:?}");
        }
        assert!(is_valid(JobId::generate().as_str()));
    }

    #[test]
    fn a_key_always_gives_the_same_id() {
        assert_eq!(JobId::from_key("pipeline 4711 $()"), JobId::from_key("pipeline 4711 $()"));
        assert_ne!(JobId::from_key("a"), JobId::from_key("b"));
        assert!(is_valid(JobId::from_key("\u{1f600}").as_str()));
    }

    #[test]
    fn a_handle_is_read_back() {
        let handle = Handle { kind: "local".into(), place: "box".into(), id: "ab".into() };
        assert_eq!(Handle::parse(&handle.to_string()), Some(handle));
        let handle = Handle { kind: "azureml".into(), place: "s-1/rg/ws".into(), id: "ab".into() };
        assert_eq!(Handle::parse(&handle.to_string()), Some(handle));
        assert_eq!(Handle::parse("brave-otter"), None);
    }
}
