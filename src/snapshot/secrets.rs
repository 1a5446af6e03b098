//! Which files look like secrets.

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

/// Returns why a file looks like a secret; reads the head of small files with telling names only.
pub(super) fn suspicion(root: &Path, path: &str, size: u64) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    // Asked of every file of a tree, most of which have lower-case names.
    let name = if name.bytes().any(|byte| byte.is_ascii_uppercase()) { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) };
    let reason = by_name(&name).or_else(|| by_content(root, path, &name, size))?;
    let is_harmless = [".example", ".sample", ".template", ".dist"].iter().any(|end| name.ends_with(end));
    (!is_harmless).then_some(reason)
}

fn by_name(name: &str) -> Option<&'static str> {
    match name {
        ".env" | ".envrc" => Some("environment files hold passwords"),
        ".netrc" | ".pypirc" | ".git-credentials" | ".npmrc" => Some("a file of passwords"),
        "id_rsa" | "id_dsa" | "id_ecdsa" | "id_ed25519" => Some("a private key"),
        "credentials.json" | "service_account.json" | ".databrickscfg" => Some("a file of credentials"),
        "token" => Some("a token"),
        _ if name.starts_with(".env.") => Some("environment files hold passwords"),
        _ if name.ends_with("_token.txt") => Some("a token"),
        _ => match extension(name) {
            "p12" | "pfx" | "kdbx" | "jks" => Some("a store of keys"),
            "token" => Some("a token"),
            _ => None,
        },
    }
}

fn by_content(root: &Path, path: &str, name: &str, size: u64) -> Option<&'static str> {
    if !matches!(extension(name), "pem" | "key" | "ppk") || size >= 64 * 1024 {
        return None;
    }
    let mut head = Vec::new();
    let _ = std::fs::File::open(root.join(path)).and_then(|file| file.take(4096).read_to_end(&mut head));
    let text = String::from_utf8_lossy(&head);
    (text.contains("PRIVATE KEY-----") || text.contains("PuTTY-User-Key-File")).then_some("a private key")
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell() {
        let here = Path::new("/nonexistent");
        for path in
            [".env", "a/.ENV", ".env.local", "x/id_rsa", "credentials.json", "store.P12", "token", "hf.token", "my_token.txt", ".npmrc"]
        {
            assert!(suspicion(here, path, 1).is_some(), "{path}");
        }
        for path in
            [".env.example", "env", "id_rsa.pub", "token.py", "tokens", "a.pem", "key", ".gitignore", "credentials.json.dist", "é.txt"]
        {
            assert_eq!(suspicion(here, path, 1), None, "{path}");
        }
    }
}
