//! What a run config says of a container.

use schemars::{Schema, json_schema};

use super::kinds;
use crate::job::{ContainerOptions, Mount, Platform, User};
use crate::support::yaml::Grammar;

/// The keys of a Docker target, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DockerSpec {
    /// The engine's address; `None` is the one that `docker` uses.
    pub host: Option<String>,
    /// The image that environments are built on; `None` is `python:<version>-slim`.
    pub image: Option<String>,
    /// `uid[:gid]`; `None` is who submits.
    pub user: Option<User>,
    /// What every container is given.
    pub options: ContainerOptions,
}

impl From<&kinds::Docker> for DockerSpec {
    fn from(keys: &kinds::Docker) -> Self {
        let text = |text: &Option<crate::support::yaml::Text>| text.as_ref().map(|text| text.text.clone());
        Self {
            host: text(&keys.host),
            image: text(&keys.image),
            user: keys.user.as_ref().map(|user| user.value),
            options: ContainerOptions {
                network: text(&keys.network),
                mounts: keys.mounts.iter().flat_map(|list| &list.items).map(|mount| mount.value.clone()).collect(),
                platform: keys.platform.as_ref().map(|platform| platform.value.clone()),
                pids: keys.pids_limit.as_ref().map(|limit| limit.value.get()),
            },
        }
    }
}

/// `SOURCE:TARGET[:ro]`.
impl Grammar for Mount {
    const EXAMPLE: &'static str = "/data:/data:ro";

    fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, mode) = match parts.as_slice() {
            [source, target] => (*source, *target, "rw"),
            [source, target, mode] => (*source, *target, *mode),
            _ => return Err("expected `SOURCE:TARGET`, or `SOURCE:TARGET:ro`".to_owned()),
        };
        let read_only = match mode {
            "ro" => true,
            "rw" => false,
            other => return Err(format!("`{other}` is neither `ro` nor `rw`")),
        };
        let is_volume = source.starts_with(|c: char| c.is_ascii_alphanumeric())
            && source.len() > 1
            && source.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
        if !source.starts_with('/') && !is_volume {
            return Err("the source must be an absolute path of the engine's machine, or the name of a volume".to_owned());
        }
        if !target.starts_with('/') || target.trim_end_matches('/').is_empty() {
            return Err("the target must be an absolute path in the container".to_owned());
        }
        if target == "/sendoff" || target.starts_with("/sendoff/") {
            return Err("`/sendoff` in the container is sendoff's own".to_owned());
        }
        Ok(Self { source: source.to_owned(), target: target.to_owned(), read_only })
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^\\s*[^:]+:/[^:]+(:r[ow])?\\s*$", "examples": ["/data:/data:ro"] })
    }
}

/// `UID[:GID]`.
impl Grammar for User {
    const EXAMPLE: &'static str = "1000:1000";

    fn parse(text: &str) -> Result<Self, String> {
        let (uid, gid) = text.split_once(':').unwrap_or((text, text));
        let number = |text: &str| {
            text.parse::<u32>().map_err(|_| "expected numbers, `uid` or `uid:gid`: names are known only inside the image".to_owned())
        };
        Ok(Self { uid: number(uid)?, gid: number(gid)? })
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "integer"], "minimum": 0, "pattern": "^\\s*[0-9]+(:[0-9]+)?\\s*$", "examples": ["1000:1000"] })
    }
}

/// `OS/ARCHITECTURE[/VARIANT]`.
impl Grammar for Platform {
    const EXAMPLE: &'static str = "linux/amd64";

    fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let is_word = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if (2..=3).contains(&parts.len()) && parts.iter().all(is_word) {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected `os/architecture`, as in `linux/amd64` or `linux/arm64`".to_owned())
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^\\s*[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?\\s*$", "examples": ["linux/amd64"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_that_are_read_and_refused() {
        let mount = |source: &str, target: &str, read_only| Ok(Mount { source: source.to_owned(), target: target.to_owned(), read_only });
        assert_eq!(Mount::parse("/data:/data"), mount("/data", "/data", false));
        assert_eq!(Mount::parse("cache:/root/.cache:rw"), mount("cache", "/root/.cache", false));
        assert_eq!(Mount::parse("/my data:/data:ro"), mount("/my data", "/data", true));
        for text in
            ["", "/data", "data", "./data:/data", "/data:data", "/data:/", "/data:/data:x", "/a:/b:ro:z", "/data:/sendoff/work", "-x:/a"]
        {
            assert!(Mount::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn users_and_platforms_that_are_read_and_refused() {
        assert_eq!(User::parse("1000"), Ok(User { uid: 1000, gid: 1000 }));
        assert_eq!(User::parse("0:100"), Ok(User { uid: 0, gid: 100 }));
        for text in ["", "root", "1000:", "-1", "1:2:3"] {
            assert!(User::parse(text).is_err(), "{text}");
        }
        for text in ["linux/amd64", "linux/arm/v7"] {
            assert_eq!(Platform::parse(text), Ok(Platform(text.to_owned())));
        }
        for text in ["", "amd64", "linux/", "linux/arm/v7/x", "Linux/AMD64"] {
            assert!(Platform::parse(text).is_err(), "{text}");
        }
    }
}
