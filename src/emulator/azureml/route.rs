//! The table of routes: what is answered, by which function, to whom, and how faithfully.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use hyper::Method;
use percent_encoding::percent_decode_str;

use super::call::Call;
use super::parity::Faith;
use super::reply::{Refusal, Reply};
use super::service::Service;

/// Which part of the service a route belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Plane {
    /// Microsoft Entra ID: tokens.
    Aad,
    /// The control plane.
    Arm,
    /// Run history.
    History,
    /// MLflow's REST.
    Mlflow,
    /// Storage.
    Blob,
}

impl Plane {
    /// Returns its name for people.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Aad => "tokens",
            Self::Arm => "control plane",
            Self::History => "run history",
            Self::Mlflow => "MLflow",
            Self::Blob => "storage",
        }
    }
}

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Anybody.
    Open,
    /// Whoever has a token of this emulator.
    Token,
    /// Whoever has an address with a signature, which the route itself checks.
    Signed,
}

/// What comes of a request.
pub(super) type Answer = BoxFuture<'static, Result<Reply, Refusal>>;

/// Answers a request.
pub(super) type Handler = fn(Arc<Service>, Call) -> Answer;

/// Wraps an answer that needs no waiting.
pub(super) fn at_once(answer: Result<Reply, Refusal>) -> Answer {
    Box::pin(std::future::ready(answer))
}

/// One line of the table.
pub(super) struct Route {
    pub(super) plane: Plane,
    pub(super) method: Method,
    /// Words between slashes, which are read in any case; `{name}` is any word, `{*name}` the rest, `{scope}` a workspace.
    pub(super) pattern: &'static str,
    /// What the query has to say in `comp` or `restype`: `comp=list`.
    pub(super) query: Option<&'static str>,
    pub(super) access: Access,
    pub(super) faith: Faith,
    pub(super) handler: Handler,
}

/// The words of a workspace in a pattern.
const SCOPE: &str =
    "subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices/workspaces/{workspace}";

impl Route {
    /// Makes a line for whoever has a token, which is faithful.
    pub(super) fn new(plane: Plane, method: Method, pattern: &'static str, handler: Handler) -> Self {
        Self { plane, method, pattern, query: None, access: Access::Token, faith: Faith::Faithful, handler }
    }

    /// Says who may call it.
    pub(super) fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Says in what it differs from the service.
    pub(super) fn approximated(mut self, how: &'static str) -> Self {
        self.faith = Faith::Approximated(how);
        self
    }

    /// Says that it is not there, and what happens instead.
    pub(super) fn absent(mut self, instead: &'static str) -> Self {
        self.faith = Faith::Absent(instead);
        self
    }

    /// Says what the query has to say.
    pub(super) fn query(mut self, query: &'static str) -> Self {
        self.query = Some(query);
        self
    }

    /// Returns what the names in the pattern stand for when the route is meant by these words.
    fn parts(&self, words: &[&str]) -> Option<BTreeMap<&'static str, String>> {
        let decoded = |word: &str| percent_decode_str(word).decode_utf8_lossy().into_owned();
        let mut found = BTreeMap::new();
        let mut words = words.iter();
        let pattern = self.pattern.split('/').flat_map(|word| if word == "{scope}" { SCOPE.split('/') } else { word.split('/') });
        for expected in pattern {
            if let Some(name) = expected.strip_prefix("{*").and_then(|name| name.strip_suffix('}')) {
                let rest: Vec<String> = words.map(|word| decoded(word)).collect();
                return (!rest.is_empty()).then(|| {
                    found.insert(name, rest.join("/"));
                    found
                });
            }
            let word = words.next()?;
            match expected.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) if !word.is_empty() => drop(found.insert(name, decoded(word))),
                Some(_) => return None,
                None if word.eq_ignore_ascii_case(expected) => {}
                None => return None,
            }
        }
        words.next().is_none().then_some(found)
    }
}

/// What a table says of a request.
pub(super) enum Found<'a> {
    /// It has a route.
    Route(&'a Route, BTreeMap<&'static str, String>),
    /// Only other methods have one.
    OtherMethod,
    /// Nothing is there.
    Nothing,
}

/// Looks a request up. Routes that want something of the query go before those that do not.
pub(super) fn find<'a>(table: &'a [Route], storage: bool, method: &Method, path: &str, query: &[(String, String)]) -> Found<'a> {
    let words: Vec<&str> = path.trim_matches('/').split('/').collect();
    let says = |wanted: &str| wanted.split('&').all(|pair| query.iter().any(|(name, value)| format!("{name}={value}") == *pair));
    let mut other = false;
    let mut plain = None;
    for route in table.iter().filter(|route| (route.plane == Plane::Blob) == storage) {
        let Some(parts) = route.parts(&words) else { continue };
        if route.method != *method {
            other = true;
        } else if route.query.is_some_and(says) {
            return Found::Route(route, parts);
        } else if route.query.is_none() && plain.is_none() {
            plain = Some((route, parts));
        }
    }
    match plain {
        Some((route, parts)) => Found::Route(route, parts),
        None if other => Found::OtherMethod,
        None => Found::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: Method, pattern: &'static str, query: Option<&'static str>) -> Route {
        let handler: Handler = |_, _| Box::pin(async { Ok(super::super::reply::empty(hyper::StatusCode::OK)) });
        Route { query, ..Route::new(Plane::Blob, method, pattern, handler) }
    }

    fn found(table: &[Route], method: &Method, path: &str, query: &str) -> String {
        let query: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        match find(table, true, method, path, &query) {
            Found::Route(route, parts) => format!("{} {:?} {parts:?}", route.pattern, route.query),
            Found::OtherMethod => "other method".to_owned(),
            Found::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn a_request_finds_its_route_by_method_words_and_query() {
        let table = [
            route(Method::GET, "{scope}/jobs/{name}", None),
            route(Method::PUT, "{account}/{container}/{*blob}", None),
            route(Method::PUT, "{account}/{container}/{*blob}", Some("comp=block")),
        ];
        let scope = "/subscriptions/s/resourcegroups/g/providers/microsoft.machinelearningservices/workspaces/w%20x";
        let expected = r#"{scope}/jobs/{name} None {"group": "g", "name": "J", "subscription": "s", "workspace": "w x"}"#;
        assert_eq!(found(&table, &Method::GET, &format!("{scope}/Jobs/J"), ""), expected);
        assert_eq!(found(&table, &Method::POST, &format!("{scope}/jobs/J"), ""), "other method");
        assert_eq!(found(&table, &Method::GET, "/a", ""), "nothing");
        let blob = r#"{account}/{container}/{*blob} None {"account": "a", "blob": "d/e f", "container": "c"}"#;
        assert_eq!(found(&table, &Method::PUT, "/a/c/d/e%20f", "sv=1"), blob);
        assert!(found(&table, &Method::PUT, "/a/c/d", "comp=block&blockid=1").contains("comp=block"));
        assert_eq!(found(&table, &Method::PUT, "/a/c", ""), "nothing");
    }
}
