//! What leads to a package index from inside a build: index addresses with their credentials, proxies, the bundle of certificates.
//!
//! All of it goes to the build as secrets: a file of `export` lines, and the bundle. Nothing of it decides what the image is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use url::{Host, Url};

use super::super::Spec;
use crate::engine::Endpoint;
use crate::support::secret::Secret;
use crate::support::{shell, uv};

/// How a build reaches what it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// Variables of the steps, for `uv`, `pip` and `apt-get`.
    variables: BTreeMap<String, String>,
    /// The bundle of certificates.
    ca: Option<String>,
    /// The user's own configuration of `uv`.
    uv: Option<String>,
    /// Folders of this machine that hold packages.
    pub(super) folders: Vec<PathBuf>,
}

/// Variables that mean the same inside a build.
const PASSED: [&str; 13] = [
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "UV_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_INDEX_STRATEGY",
    "UV_NO_INDEX",
    "UV_OFFLINE",
    "UV_INSECURE_HOST",
    "UV_HTTP_TIMEOUT",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "PIP_DEFAULT_TIMEOUT",
];
const PROXIES: [&str; 4] = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"];

impl Settings {
    /// Reads them from the spec and the submitter's environment; the spec comes first.
    pub(super) fn of(spec: &Spec, variables: &BTreeMap<String, String>) -> Self {
        let given = |name: &str| variables.get(name).filter(|value| !value.is_empty());
        let mut settings = Self::default();
        for name in PASSED {
            if let Some(value) = given(name) {
                settings.variables.insert(name.to_owned(), value.clone());
            }
        }
        // Logins of named indexes.
        for (name, value) in variables.iter().filter(|(name, _)| name.starts_with("UV_INDEX_")) {
            settings.variables.insert(name.clone(), value.clone());
        }
        for lower in PROXIES {
            if let Some(value) = given(lower).or_else(|| given(&lower.to_uppercase())) {
                settings.variables.insert(lower.to_owned(), value.clone());
                settings.variables.insert(lower.to_uppercase(), value.clone());
            }
        }
        if let Some(url) = &spec.index_url {
            settings.variables.insert("UV_DEFAULT_INDEX".to_owned(), url.clone());
            settings.variables.remove("UV_INDEX_URL");
        }
        if !spec.extra_index_urls.is_empty() {
            settings.variables.insert("UV_INDEX".to_owned(), spec.extra_index_urls.join(" "));
        }
        settings.translate();
        settings.links(spec, given("UV_FIND_LINKS").or_else(|| given("PIP_FIND_LINKS")).map_or("", String::as_str));
        let bundle = ["SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"].into_iter().find_map(given);
        settings.ca = bundle.and_then(|path| std::fs::read_to_string(path).ok());
        settings.uv = uv::own_configuration().and_then(|path| std::fs::read_to_string(path).ok());
        let home = given("HOME").map(PathBuf::from).unwrap_or_default();
        let netrc = given("NETRC").map_or_else(|| home.join(".netrc"), PathBuf::from);
        if let Ok(text) = std::fs::read_to_string(netrc) {
            settings.log_in(&text);
        }
        settings
    }

    /// Lets `uv` know what only `pip` was told, and the other way round.
    fn translate(&mut self) {
        let same = [("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), ("PIP_EXTRA_INDEX_URL", "UV_INDEX")];
        for (pip, uv) in same {
            if let (Some(value), None) = (self.variables.get(pip).cloned(), self.variables.get(uv)) {
                self.variables.insert(uv.to_owned(), value);
            }
        }
        for (uv, pip) in [("UV_INDEX_URL", "PIP_INDEX_URL"), ("UV_DEFAULT_INDEX", "PIP_INDEX_URL"), ("UV_INDEX", "PIP_EXTRA_INDEX_URL")] {
            if let Some(value) = self.variables.get(uv).cloned() {
                // `name=url` is uv's alone.
                let urls: Vec<&str> = value.split_whitespace().map(unnamed).collect();
                self.variables.insert(pip.to_owned(), urls.join(" "));
            }
        }
    }

    /// Puts the logins that a netrc file has for the hosts of indexes into their addresses; those of other hosts stay where they are.
    fn log_in(&mut self, netrc: &str) {
        for value in self.variables.values_mut() {
            let addresses: Vec<String> = value.split(' ').map(|address| with_login(address, netrc)).collect();
            *value = addresses.join(" ");
        }
    }

    /// Sorts where packages lie besides indexes: pages are passed on, folders are sent along.
    fn links(&mut self, spec: &Spec, ambient: &str) {
        let ambient = ambient.split([' ', ',']).filter(|link| !link.is_empty()).map(str::to_owned);
        let (pages, folders): (Vec<String>, Vec<String>) =
            spec.find_links.iter().cloned().chain(ambient).partition(|link| link.contains("://"));
        if !pages.is_empty() {
            self.variables.insert("UV_FIND_LINKS".to_owned(), pages.join(","));
            self.variables.insert("PIP_FIND_LINKS".to_owned(), pages.join(" "));
        }
        self.folders = folders.into_iter().map(PathBuf::from).collect();
    }

    /// Returns the lines that set the variables.
    pub(super) fn exports(&self) -> String {
        self.variables.iter().map(|(name, value)| format!("export {name}={}\n", shell::quote(value))).collect()
    }

    /// Returns the bundle of certificates; empty when the image's own will do.
    pub(super) fn ca(&self) -> &str {
        self.ca.as_deref().unwrap_or_default()
    }

    /// Returns the secrets of the build, by their ids. All are always there: a build that asks for one in vain fails.
    pub(super) fn secrets(&self) -> BTreeMap<String, Secret> {
        let all = [("settings", self.exports()), ("ca", self.ca().to_owned()), ("uv", self.uv.clone().unwrap_or_default())];
        all.map(|(id, text)| (id.to_owned(), Secret::new(text))).into()
    }

    /// Returns the network of the build: this machine's own where an index or proxy is on it, which only a local engine can have.
    pub(super) fn network(&self, endpoint: &Endpoint) -> Option<String> {
        let is_here = |url: &str| {
            Url::parse(unnamed(url)).is_ok_and(|url| match url.host() {
                Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
                Some(Host::Ipv4(ip)) => ip.is_loopback(),
                Some(Host::Ipv6(ip)) => ip.is_loopback(),
                None => false,
            })
        };
        let needed = self.variables.values().flat_map(|value| value.split([' ', ','])).any(is_here);
        (needed && endpoint.is_local()).then(|| "host".to_owned())
    }

    /// Returns whether something of it is nobody else's business: a password in an address, or a login.
    pub(super) fn has_credentials(&self) -> bool {
        let has_user = |url: Url| !url.username().is_empty() || url.password().is_some();
        let in_url = |text: &str| text.split([' ', ',']).any(|url| Url::parse(unnamed(url)).is_ok_and(has_user));
        self.variables.iter().any(|(name, value)| name.ends_with("_PASSWORD") || in_url(value))
    }
}

/// Returns an address with the login that a netrc file has for its host, unless it has one.
fn with_login(address: &str, netrc: &str) -> String {
    let bare = unnamed(address);
    let known = Url::parse(bare).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.username().is_empty());
    let Some((mut url, (user, password))) =
        known.and_then(|url| url.host_str().and_then(|host| login(netrc, host)).map(|login| (url, login)))
    else {
        return address.to_owned();
    };
    // Neither fails for an address with a host.
    let _ = url.set_username(&user);
    let _ = url.set_password(Some(&password));
    format!("{}{url}", &address[..address.len() - bare.len()])
}

/// Returns the login of a host in a netrc file.
fn login(netrc: &str, host: &str) -> Option<(String, String)> {
    let words: Vec<&str> = netrc.split_whitespace().collect();
    let start = words.windows(2).position(|pair| pair == ["machine", host])? + 2;
    let entry: Vec<&str> = words[start..].iter().copied().take_while(|word| !matches!(*word, "machine" | "default")).collect();
    let value = |key: &str| entry.windows(2).find(|pair| pair[0] == key).map(|pair| pair[1].to_owned());
    Some((value("login")?, value("password")?))
}

/// Returns the address of `name=address`.
fn unnamed(text: &str) -> &str {
    match text.split_once('=') {
        Some((name, address)) if !name.contains(':') => address,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_of_a_netrc_file_go_to_the_hosts_of_indexes_alone() {
        let netrc = "machine a.test login me password p@ss\nmachine b.test\n  login you\n  password other\n";
        for (address, expected) in [
            ("https://a.test/simple", "https://me:p%40ss@a.test/simple"),
            ("corp=https://b.test/simple", "corp=https://you:other@b.test/simple"),
            ("https://own:key@a.test/simple", "https://own:key@a.test/simple"),
            ("https://c.test/simple", "https://c.test/simple"),
            ("1", "1"),
        ] {
            assert_eq!(with_login(address, netrc), expected);
        }
    }

    #[test]
    fn an_index_is_told_to_both_programs_and_a_password_is_noticed() {
        let told = |pairs: &[(&str, &str)]| {
            let variables = pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
            let mut settings = Settings { variables, ..Settings::default() };
            settings.translate();
            settings
        };
        let settings = told(&[("PIP_INDEX_URL", "https://a.test/simple"), ("UV_INDEX", "corp=https://b.test/simple")]);
        let expected = [
            "export PIP_EXTRA_INDEX_URL=https://b.test/simple",
            "export PIP_INDEX_URL=https://a.test/simple",
            "export UV_DEFAULT_INDEX=https://a.test/simple",
            "export UV_INDEX=corp=https://b.test/simple",
        ];
        assert_eq!(settings.exports().replace('\'', "").lines().collect::<Vec<_>>(), expected);
        assert!(!settings.has_credentials());
        for (name, value) in [
            ("UV_INDEX", "https://a.test/ corp=https://me:x@b.test/"),
            ("UV_INDEX_CORP_PASSWORD", "x"),
            ("https_proxy", "http://me:x@proxy.test"),
        ] {
            assert!(told(&[(name, value)]).has_credentials(), "{name}");
        }
    }
}
