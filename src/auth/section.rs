//! The `credentials:` section of the user's own settings: which host gets which credentials, and never a secret itself.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;
use url::Url;

use super::MANAGEMENT;
use super::keyring::{Entry, Keyring, Source};
use crate::document;
use crate::support::words;
use crate::support::yaml::{Context, Grammar, List, Map, Node, Parsed, Place, Read, Source as YamlSource, Text, Value, word};

document! {
    /// Where the token or the password for a host comes from.
    struct Keys {
        /// The variable of your environment that holds a token.
        token_env: Text,
        /// A file with a token, which somebody renews.
        token_file: Text,
        /// A user, with `password_env`.
        username: Text,
        /// The variable of your environment that holds the user's password.
        password_env: Text,
        /// A program that prints a token, with its arguments; no shell.
        command: List<Text>,
        /// How long what the command prints is good for; default: what the token itself says, else 5m.
        lifetime: Parsed<Duration>,
        /// An identity of Microsoft Entra ID (Azure AD).
        azure: Parsed<Azure>,
        /// A service principal of Databricks.
        databricks: Parsed<Databricks>,
        /// The identity's tenant.
        tenant_id: Text,
        /// The identity's application.
        client_id: Text,
        /// The variable of your environment that holds the identity's secret.
        client_secret_env: Text,
        /// What Azure's token is for; default: `https://management.azure.com`.
        resource: Text,
    }
}

/// Which identity of Azure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Azure {
    /// A service principal with a secret.
    ClientCredentials,
    /// The identity of the machine.
    ManagedIdentity,
    /// Whoever is logged in to the az CLI.
    Cli,
}

/// How a service principal of Databricks gets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Databricks {
    /// By OAuth.
    OAuth,
}

impl Grammar for Azure {
    const EXAMPLE: &'static str = "cli";

    fn parse(text: &str) -> Result<Self, String> {
        word(text, &[("client_credentials", Self::ClientCredentials), ("managed_identity", Self::ManagedIdentity), ("cli", Self::Cli)])
    }

    fn schema() -> Schema {
        json_schema!({ "enum": ["client_credentials", "managed_identity", "cli"] })
    }
}

impl Grammar for Databricks {
    const EXAMPLE: &'static str = "oauth";

    fn parse(text: &str) -> Result<Self, String> {
        word(text, &[("oauth", Self::OAuth)])
    }

    fn schema() -> Schema {
        json_schema!({ "enum": ["oauth"] })
    }
}

/// The credentials of one host.
#[derive(Debug, Clone)]
pub struct Section {
    keys: Keys,
    place: Place,
}

/// `credentials:`.
pub type Sections = Map<Section>;

/// Keys that would hold a secret, and the key to write instead.
const SECRETS: [(&str, &str); 4] =
    [("token", "token_env"), ("password", "password_env"), ("client_secret", "client_secret_env"), ("secret", "client_secret_env")];

impl Read for Section {
    fn read(node: &Node, name: &str, context: &Context) -> Option<Self> {
        let mut node = node.clone();
        if let Value::Map(entries) = &mut node.value {
            entries.retain(|(key, value)| {
                let Some((_, instead)) = SECRETS.into_iter().find(|(word, _)| key.text() == Some(word)) else { return true };
                let key_text = key.text().unwrap_or_default();
                context.find(
                    &hidden(&key.place, &value.place),
                    format!("`{name}.{key_text}` would be a secret in a file"),
                    "no secret stands in settings",
                    Some(format!("put it into a variable of your environment, and write `{instead}: NAME_OF_THE_VARIABLE`")),
                );
                false
            });
        }
        Some(Self { keys: Keys::read(&node, name, context)?, place: node.place.clone() })
    }
}

/// Returns the place of a key in a text that does not show the key's value.
fn hidden(key: &Place, value: &Place) -> Place {
    let (text, start) = (&key.source.text, value.span.start.min(key.source.text.len()));
    let end = value.span.end.clamp(start, text.len());
    let stars: String = text[start..end].chars().map(|c| if c == '\n' { '\n' } else { '*' }).collect();
    let text = format!("{}{stars}{}", &text[..start], &text[end..]);
    Place { source: std::sync::Arc::new(YamlSource { name: key.source.name.clone(), text }), span: key.span.clone() }
}

impl JsonSchema for Section {
    fn schema_name() -> Cow<'static, str> {
        "Credentials".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Keys::json_schema(generator);
        let kinds: Vec<_> = KINDS.iter().map(|kind| json!({ "required": [kind.name] })).collect();
        schema.insert("oneOf".to_owned(), kinds.into());
        schema
    }
}

/// A source, by the key that chooses it, with what it needs and may have beside it.
struct Kind {
    name: &'static str,
    needs: &'static [&'static str],
    may_have: &'static [&'static str],
}

const KINDS: [Kind; 6] = [
    Kind { name: "token_env", needs: &[], may_have: &[] },
    Kind { name: "token_file", needs: &[], may_have: &[] },
    Kind { name: "username", needs: &["password_env"], may_have: &[] },
    Kind { name: "command", needs: &[], may_have: &["lifetime"] },
    Kind { name: "azure", needs: &[], may_have: &["tenant_id", "client_id", "client_secret_env", "resource"] },
    Kind { name: "databricks", needs: &["client_id", "client_secret_env"], may_have: &[] },
];

impl Azure {
    fn kind(self) -> Kind {
        let (needs, may_have): (&'static [_], &'static [_]) = match self {
            Self::ClientCredentials => (&["tenant_id", "client_id", "client_secret_env"], &["resource"]),
            Self::ManagedIdentity => (&[], &["client_id", "resource"]),
            Self::Cli => (&[], &["tenant_id", "resource"]),
        };
        Kind { name: "azure", needs, may_have }
    }
}

impl Keys {
    /// Returns the keys that are written, with their places.
    fn written(&self) -> Vec<(&'static str, &Place)> {
        let texts = [
            ("token_env", &self.token_env),
            ("token_file", &self.token_file),
            ("username", &self.username),
            ("password_env", &self.password_env),
            ("tenant_id", &self.tenant_id),
            ("client_id", &self.client_id),
            ("client_secret_env", &self.client_secret_env),
            ("resource", &self.resource),
        ];
        let mut written: Vec<(&'static str, &Place)> =
            texts.into_iter().filter_map(|(name, text)| Some((name, &text.as_ref()?.place))).collect();
        written.extend(self.command.as_ref().map(|list| ("command", &list.place)));
        written.extend(self.lifetime.as_ref().map(|value| ("lifetime", &value.place)));
        written.extend(self.azure.as_ref().map(|value| ("azure", &value.place)));
        written.extend(self.databricks.as_ref().map(|value| ("databricks", &value.place)));
        written.sort_by_key(|(_, place)| place.span.start);
        written
    }
}

/// Returns which host gets which credentials; everything that does not fit is found.
///
/// Paths of token files and programs are relative to `folder`, and `~/` is the home folder.
pub fn check(sections: &Sections, folder: &Path, home: Option<&Path>, context: &Context) -> Keyring {
    let mut entries: Vec<Entry> = Vec::new();
    for (host, section) in &sections.entries {
        let (url, source) = (read_host(host, context), section.source(&host.text, folder, home, context));
        let (Some(url), Some(source)) = (url, source) else { continue };
        if entries.iter().any(|entry| entry.is_for(&url)) {
            context.find(&host.place, format!("`{}` has credentials already", host.text), "the second time", None);
            continue;
        }
        entries.push(Entry { host: url, source, file: host.place.source.name.clone(), line: host.place.line() });
    }
    Keyring::new(entries)
}

/// Reads `https://mlflow.example.org:8443`.
fn read_host(host: &Text, context: &Context) -> Option<Url> {
    let url = Url::parse(host.text.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let plain = |url: &Url| url.username().is_empty() && url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let url = url.filter(plain);
    if url.is_none() {
        let fix = "write `https://mlflow.example.org`, with a port if the address has one".to_owned();
        let shown = crate::support::secret::without_credentials(&host.text);
        context.find(&host.place, format!("`credentials.{shown}` names no host"), "expected scheme, host and port alone", Some(fix));
    }
    url
}

impl Section {
    fn source(&self, host: &str, folder: &Path, home: Option<&Path>, context: &Context) -> Option<Source> {
        let keys = &self.keys;
        let written = keys.written();
        let chosen: Vec<&(&str, &Place)> = written.iter().filter(|(name, _)| KINDS.iter().any(|kind| kind.name == *name)).collect();
        let Some((first, place)) = chosen.first() else {
            let all = words::any_of(KINDS.iter().map(|kind| kind.name));
            let fix = "write `token_env: NAME_OF_A_VARIABLE`, say".to_owned();
            context.find(&self.place, format!("`credentials.{host}` has no source"), format!("expected {all}"), Some(fix));
            return None;
        };
        if let Some((second, place)) = chosen.get(1) {
            context.find(place, format!("`{first}` and `{second}` are two sources"), "one of them is enough", None);
            return None;
        }
        let kind = match &keys.azure {
            Some(azure) => azure.value.kind(),
            None => KINDS.into_iter().find(|kind| kind.name == *first)?,
        };
        let mut fine = true;
        for (name, place) in written.iter().filter(|(name, _)| *name != kind.name) {
            if !kind.needs.contains(name) && !kind.may_have.contains(name) {
                context.find(place, format!("`{name}` means nothing beside `{first}`"), "no key of this source", None);
                fine = false;
            }
        }
        for need in kind.needs.iter().filter(|need| !written.iter().any(|(name, _)| name == *need)) {
            context.find(place, format!("`{first}` needs `{need}`"), "this is not enough", Some(format!("add `{need}: ...`")));
            fine = false;
        }
        let filled = |text: &Option<Text>| text.as_ref().map(|text| text.text.clone());
        let source = self.build(host, folder, home, &filled);
        if fine && source.is_none() {
            context.find(place, format!("`{first}` is empty"), "nothing is written here", None);
        }
        source.filter(|_| fine)
    }

    fn build(&self, host: &str, folder: &Path, home: Option<&Path>, filled: &impl Fn(&Option<Text>) -> Option<String>) -> Option<Source> {
        let keys = &self.keys;
        let text = |text: &Option<Text>| filled(text).filter(|text| !text.trim().is_empty());
        if let Some(azure) = &keys.azure {
            let resource = text(&keys.resource).unwrap_or_else(|| MANAGEMENT.to_owned());
            let (tenant_id, client_id) = (text(&keys.tenant_id), text(&keys.client_id));
            return Some(match azure.value {
                Azure::ClientCredentials => Source::AzureClient {
                    tenant_id: tenant_id?,
                    client_id: client_id?,
                    client_secret_env: text(&keys.client_secret_env)?,
                    resource,
                },
                Azure::ManagedIdentity => Source::AzureManagedIdentity { client_id, resource },
                Azure::Cli => Source::AzureCli { tenant_id, resource },
            });
        }
        if keys.databricks.is_some() {
            let (client_id, client_secret_env) = (text(&keys.client_id)?, text(&keys.client_secret_env)?);
            return Some(Source::DatabricksOAuth { host: host.to_owned(), client_id, client_secret_env });
        }
        if let Some(command) = &keys.command {
            let mut command: Vec<String> = command.items.iter().map(|word| word.text.clone()).collect();
            // A path is never one in the folder of whatever project this is run in.
            if let Some(program) = command.first_mut().filter(|program| program.contains('/')) {
                *program = absolute(program, folder, home).display().to_string();
            }
            let lifetime = keys.lifetime.as_ref().map(|lifetime| lifetime.value);
            return command.first().is_some_and(|program| !program.is_empty()).then_some(Source::Command { command, lifetime });
        }
        if keys.username.is_some() {
            return Some(Source::Basic { username: text(&keys.username)?, password_env: text(&keys.password_env)? });
        }
        if let Some(file) = text(&keys.token_file) {
            return Some(Source::TokenFile(absolute(&file, folder, home)));
        }
        Some(Source::TokenEnv(text(&keys.token_env)?))
    }
}

fn absolute(file: &str, folder: &Path, home: Option<&Path>) -> PathBuf {
    match (file.strip_prefix("~/"), home) {
        (Some(below), Some(home)) => home.join(below),
        _ => folder.join(file),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::auth::Credentials;
    use crate::support::yaml::{self, Finding};

    fn read(text: &str) -> (Keyring, Vec<Finding>) {
        let context = Context::default();
        let (root, findings) = yaml::parse(Path::new("sendoff.yaml"), text);
        context.extend(findings);
        let sections = root.and_then(|root| Sections::read(&root, "credentials", &context));
        let keyring = sections.map(|sections| check(&sections, Path::new("/settings"), Some(Path::new("/home/me")), &context));
        (keyring.unwrap_or_default(), context.finish().0)
    }

    fn source(section: &str) -> Source {
        let (keyring, findings) = read(&format!("https://host: {section}\n"));
        assert!(findings.is_empty(), "{section}: {findings:?}");
        keyring.find(&Url::parse("https://host/path").expect("a URL")).expect("it is there").source.clone()
    }

    fn found(section: &str) -> Vec<String> {
        read(&format!("https://host: {section}\n")).1.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn each_source_is_read() {
        let command = Source::Command { command: vec!["get".into(), "-x".into()], lifetime: Some(Duration::from_mins(50)) };
        for (section, expected) in [
            ("{token_env: T}", Source::TokenEnv("T".into())),
            ("{token_file: ~/t}", Source::TokenFile("/home/me/t".into())),
            ("{token_file: t}", Source::TokenFile("/settings/t".into())),
            ("{username: u, password_env: P}", Source::Basic { username: "u".into(), password_env: "P".into() }),
            ("{command: [get, -x], lifetime: 50m}", command),
            ("{command: ./get}", Source::Command { command: vec!["/settings/./get".into()], lifetime: None }),
            ("{command: get}", Source::Command { command: vec!["get".into()], lifetime: None }),
            ("{azure: cli}", Source::AzureCli { tenant_id: None, resource: MANAGEMENT.into() }),
            (
                "{azure: managed_identity, client_id: c, resource: api://r}",
                Source::AzureManagedIdentity { client_id: Some("c".into()), resource: "api://r".into() },
            ),
            (
                "{azure: client_credentials, tenant_id: t, client_id: c, client_secret_env: S}",
                Source::AzureClient {
                    tenant_id: "t".into(),
                    client_id: "c".into(),
                    client_secret_env: "S".into(),
                    resource: MANAGEMENT.into(),
                },
            ),
            (
                "{databricks: oauth, client_id: c, client_secret_env: S}",
                Source::DatabricksOAuth { host: "https://host".into(), client_id: "c".into(), client_secret_env: "S".into() },
            ),
        ] {
            assert_eq!(source(section), expected, "{section}");
        }
    }

    #[test]
    fn what_does_not_fit_together_is_found() {
        for (section, expected) in [
            ("{}", "`credentials.https://host` has no source"),
            ("{token_env: T, command: get}", "`token_env` and `command` are two sources"),
            ("{token_env: T, lifetime: 5m}", "`lifetime` means nothing beside `token_env`"),
            ("{username: u}", "`username` needs `password_env`"),
            ("{azure: cli, client_secret_env: S}", "`client_secret_env` means nothing beside `azure`"),
            ("{token_env: ''}", "`token_env` is empty"),
            ("{command: []}", "`command` is empty"),
            ("{databricks: oauth, client_id: c}", "`databricks` needs `client_secret_env`"),
        ] {
            assert_eq!(found(section), [expected], "{section}");
        }
    }

    #[test]
    fn a_secret_in_the_file_is_refused_and_not_shown() {
        let (keyring, findings) = read("https://host:\n  token_env: T\n  token: hunter2\n");
        assert_eq!(findings.len(), 1);
        let shown = findings[0].render(false);
        assert!(shown.contains("sendoff.yaml:3") && shown.contains("`token_env: NAME_OF_THE_VARIABLE`"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(keyring.find(&Url::parse("https://host").expect("a URL")).is_some());
        assert_eq!(
            found("{username: u, password_env: P, password: x}"),
            ["`credentials.https://host.password` would be a secret in a file"]
        );
    }

    #[test]
    fn a_host_is_scheme_name_and_port_and_each_has_its_own_credentials() {
        let (keyring, findings) = read("https://a: {token_env: A}\nhttp://a: {token_env: B}\nhttps://a:8443: {token_env: C}\n");
        assert!(findings.is_empty(), "{findings:?}");
        let of = |url: &str| keyring.find(&Url::parse(url).expect("a URL")).and_then(|entry| entry.source.variable().map(str::to_owned));
        assert_eq!(of("https://a:443/x").as_deref(), Some("A"));
        assert_eq!(of("http://a").as_deref(), Some("B"));
        assert_eq!(of("https://a:8443").as_deref(), Some("C"));
        assert_eq!((of("https://a.b"), of("http://a:443")), (None, None));
        for host in ["mlflow.example.org", "https://a/path", "https://u:p@a", "ftp://a"] {
            assert_eq!(read(&format!("'{host}': {{token_env: T}}\n")).1.len(), 1, "{host}");
        }
        assert_eq!(read("https://a: {token_env: A}\nhttps://a:443: {token_env: A}\n").1.len(), 1);
    }

    #[test]
    fn a_secret_is_taken_from_its_variable_when_it_is_needed() {
        let environment = BTreeMap::from([("T".to_owned(), "value".to_owned())]);
        let credentials = source("{token_env: T}").credentials(&environment).expect("it is set");
        assert!(matches!(credentials, Credentials::Token { token } if token.expose() == "value"));
        let error = source("{token_env: T}").credentials(&BTreeMap::new()).expect_err("it is not set");
        assert!(error.to_string().starts_with("`T` is not set"), "{error}");
    }
}
