//! Which files look like secrets.

use std::io::Read;
use std::path::Path;

/// Returns why a file looks like a secret; reads the head of small files with telling names only.
pub(super) fn suspicion(root: &Path, path: &str, size: u64) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let harmless = [".example", ".sample", ".template", ".dist"].iter().any(|end| name.ends_with(end));
    if harmless {
        return None;
    }
    match name.as_str() {
        ".env" | ".envrc" => return Some("environment files hold passwords"),
        ".netrc" | ".pypirc" | ".git-credentials" | ".npmrc" => return Some("a file of passwords"),
        "id_rsa" | "id_dsa" | "id_ecdsa" | "id_ed25519" => return Some("a private key"),
        "credentials.json" | "service_account.json" | ".databrickscfg" => return Some("a file of credentials"),
        _ => {}
    }
    if name.starts_with(".env.") {
        return Some("environment files hold passwords");
    }
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    if matches!(extension, "p12" | "pfx" | "kdbx" | "jks") {
        return Some("a store of keys");
    }
    if matches!(extension, "pem" | "key" | "ppk") && size < 64 * 1024 {
        let mut head = Vec::new();
        let _ = std::fs::File::open(root.join(path)).and_then(|file| file.take(4096).read_to_end(&mut head));
        let text = String::from_utf8_lossy(&head);
        if text.contains("PRIVATE KEY-----") || text.contains("PuTTY-User-Key-File") {
            return Some("a private key");
        }
    }
    (name == "token" || name.ends_with(".token") || name.ends_with("_token.txt")).then_some("a token")
}
