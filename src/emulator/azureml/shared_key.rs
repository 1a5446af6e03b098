//! Requests to storage that are signed with the account's key itself, as a client does that was given the key of a datastore.
//!
//! The scheme is the storage service's `SharedKey`, for versions from 2015-02-21 on, at the account's own host name.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::AUTHORIZATION;
use ring::hmac;

use super::call::Call;
use crate::support::secret::Secret;

/// The headers that are signed by their place alone, in this order.
const HEADERS: [&str; 11] = [
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
];

/// Returns whether a request says that it is signed so.
pub(super) fn is_used(call: &Call) -> bool {
    call.header(AUTHORIZATION.as_str()).is_some_and(|text| text.starts_with("SharedKey "))
}

/// Checks the signature of a request to an account.
pub(super) fn check(key: &Secret, account: &str, call: &Call) -> bool {
    let given = call.header(AUTHORIZATION.as_str()).and_then(|text| text.strip_prefix("SharedKey ")?.split_once(':'));
    let Some((name, signature)) = given else { return false };
    let (Ok(signature), Ok(key)) = (STANDARD.decode(signature), STANDARD.decode(key.expose())) else { return false };
    name == account && hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &key), text(call).as_bytes(), &signature).is_ok()
}

/// Returns what is signed. The path of a call begins with the account, whichever host name it came by.
fn text(call: &Call) -> String {
    let mut text = format!("{}\n", call.method);
    for name in HEADERS {
        let value = call.header(name).unwrap_or_default();
        // No content is written as no length.
        text.push_str(if name == "content-length" && value == "0" { "" } else { value });
        text.push('\n');
    }
    let own: BTreeMap<&str, &str> = call
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?.trim())))
        .filter(|(name, _)| name.starts_with("x-ms-"))
        .collect();
    for (name, value) in own {
        text.push_str(&format!("{name}:{value}\n"));
    }
    text.push_str(&call.path);
    let mut query: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, value) in &call.query {
        query.entry(name.to_lowercase()).or_default().push(value);
    }
    for (name, mut values) in query {
        values.sort_unstable();
        text.push_str(&format!("\n{name}:{}", values.join(",")));
    }
    text
}

#[cfg(test)]
mod tests {
    use hyper::{HeaderMap, Method};
    use serde_json::Value;

    use super::*;

    fn call(headers: &[(&'static str, &str)], query: &[(&str, &str)]) -> Call {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.insert(*name, value.parse().expect("a value"));
        }
        Call {
            method: Method::GET,
            path: "/st1/azureml".to_owned(),
            query: query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            headers: all,
            origin: "https://st1.blob.core.windows.net".to_owned(),
            parts: BTreeMap::new(),
            claims: Value::Null,
            body: None,
        }
    }

    #[test]
    fn a_request_is_signed_as_azures_client_signs_it() {
        // What `azure-storage-blob` 12.27 computes for this request with the key `a2V5`.
        let headers = [("x-ms-version", "2025-11-05"), ("x-ms-date", "Tue, 24 Nov 2026 15:00:00 GMT"), ("x-ms-client-request-id", "1")];
        let query = [("restype", "container"), ("comp", "list"), ("prefix", "ExperimentRun/dcid.a b/")];
        let signed = |signature: &str| {
            let authorization = format!("SharedKey st1:{signature}");
            call(&[&headers[..], &[("authorization", authorization.as_str())]].concat(), &query)
        };
        let good = signed("rRsYjy7R6tetp69wuNfB83fys8Dozu1tZek5xBna+w4=");
        assert!(is_used(&good));
        assert!(check(&Secret::new("a2V5"), "st1", &good), "{}", text(&good));
        assert!(!check(&Secret::new("b3RoZXI="), "st1", &good));
        assert!(!check(&Secret::new("a2V5"), "st2", &good));
        assert!(!check(&Secret::new("a2V5"), "st1", &signed("AAAA")));
        assert!(!is_used(&call(&headers, &query)));
    }
}
