//! Values that must never be shown: tokens, passwords, URLs that carry them.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

/// A token or password. `Debug` and `Display` hide it; [`Secret::expose`] is the one way to the value.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes a value into custody.
    pub fn new(value: impl Into<String>) -> Self {
        Self(SecretString::from(value.into()))
    }

    /// Returns the value itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// Serialises the value itself: only for pipes and 0600 files, never for records.
impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Returns a text without the credentials of the URLs in it, for copies of what users wrote.
///
/// A password may hold characters that end a host, since people forget to escape them: rather too much is hidden than a part of it shown.
pub fn without_credentials(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        result.push_str(before);
        let word = &after[..after.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>')).unwrap_or(after.len())];
        let authority = word.split('/').next().unwrap_or(word);
        let in_authority = authority.rfind('@');
        // A slash in a password: what seems to be a port is none.
        let port = authority.rsplit_once(':').filter(|(host, _)| !host.starts_with('[')).map_or("", |(_, port)| port);
        let is_cut = in_authority.is_none() && !port.chars().all(|c| c.is_ascii_digit());
        let end = if is_cut { word.find("://").map_or(word, |next| &word[..next]).rfind('@') } else { in_authority };
        rest = end.map_or(after, |at| &after[at + 1..]);
    }
    result.push_str(rest);
    result
}

/// Returns the URL without user, password and query values, for messages and records.
pub fn redacted(url: &Url) -> Url {
    let mut shown = url.clone();
    if !shown.username().is_empty() || shown.password().is_some() {
        // Both fail only for URLs that cannot have credentials, which then have none to hide.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_their_credentials_and_the_rest_of_a_text_stays() {
        for (text, expected) in [
            ("uri: https://me:hunter2@host:5000/p # x", "uri: https://host:5000/p # x"),
            ("[http://t@a, \"https://b\"]", "[http://a, \"https://b\"]"),
            ("mail me@host, ratio a://b", "mail me@host, ratio a://b"),
            ("git+ssh://git@host/x@main", "git+ssh://host/x@main"),
            ("x @ git+https://token@host/x.git@v1", "x @ git+https://host/x.git@v1"),
            ("https://me:pa#s?s@host:5000/p", "https://host:5000/p"),
            ("https://me:pa/ss@host/p", "https://host/p"),
            ("https://host:5000/p@q http://[::1]:80/a@b", "https://host:5000/p@q http://[::1]:80/a@b"),
            ("http://a,http://b:c@d", "http://a,http://d"),
            ("http://a:b@h http://c@i/", "http://h http://i/"),
        ] {
            assert_eq!(without_credentials(text), expected);
        }
    }
}
