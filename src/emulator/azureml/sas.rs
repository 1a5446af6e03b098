//! Shared access signatures: addresses of blobs that carry the right to use them, for a time.
//!
//! Signed as the storage service signs them (service SAS, versions from 2020-12-06 on), so that a client that has the account's key can make
//! its own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use ring::hmac;

use crate::support::clock;
use crate::support::secret::Secret;

/// The version that addresses of ours name.
const VERSION: &str = "2023-01-03";

/// What an address leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resource<'a> {
    pub(super) account: &'a str,
    pub(super) container: &'a str,
    /// One blob of it; all when not given.
    pub(super) blob: Option<&'a str>,
}

/// What may be done, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grant<'a> {
    /// The letters of the rights, in Azure's order: `racwdl`.
    pub(super) rights: &'a str,
    pub(super) lasts: SignedDuration,
}

/// Why an address is not good for what is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// There is no signature, or it is of something else.
    Signature,
    /// It is not valid any more, or not yet.
    Expired,
    /// It does not give this right.
    Right,
}

/// Returns the query of an address.
pub(super) fn sign(key: &Secret, resource: Resource<'_>, grant: Grant<'_>) -> String {
    let second = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let kind = if resource.blob.is_some() { "b" } else { "c" };
    let expiry = second(clock::now() + grant.lasts);
    let fields = [("sp", grant.rights), ("se", expiry.as_str()), ("sv", VERSION), ("sr", kind)];
    let text = text(resource, |name| fields.iter().find(|field| field.0 == name).map_or("", |field| field.1));
    let signature = STANDARD.encode(hmac::sign(&of(key), text.as_bytes()));
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(fields).append_pair("sig", &signature).finish()
}

/// Checks that a query gives one of the rights for a resource.
pub(super) fn check(key: &Secret, resource: Resource<'_>, query: &[(String, String)], rights: &[char]) -> Result<(), Fault> {
    let field = |name: &str| query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    let signed = match field("sr") {
        "b" => resource,
        "c" => Resource { blob: None, ..resource },
        _ => return Err(Fault::Signature),
    };
    let given = STANDARD.decode(field("sig")).map_err(|_| Fault::Signature)?;
    if field("sv") < "2020-12-06" || hmac::verify(&of(key), text(signed, field).as_bytes(), &given).is_err() {
        return Err(Fault::Signature);
    }
    let time = |name: &str| field(name).parse::<Timestamp>().ok();
    let now = clock::now();
    if time("se").is_none_or(|end| end <= now) || time("st").is_some_and(|start| start > now) {
        return Err(Fault::Expired);
    }
    if rights.iter().any(|right| field("sp").contains(*right)) { Ok(()) } else { Err(Fault::Right) }
}

fn of(key: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(key.expose()).unwrap_or_default())
}

/// Returns what is signed.
fn text<'a>(resource: Resource<'_>, field: impl Fn(&str) -> &'a str) -> String {
    let Resource { account, container, blob } = resource;
    let place = blob.map_or_else(|| format!("/blob/{account}/{container}"), |blob| format!("/blob/{account}/{container}/{blob}"));
    let before = ["sp", "st", "se"].map(&field);
    let after = ["si", "sip", "spr", "sv", "sr", "snapshot", "ses", "rscc", "rscd", "rsce", "rscl", "rsct"].map(&field);
    [&before[..], &[place.as_str()], &after[..]].concat().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Vec<(String, String)> {
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    #[test]
    fn a_signature_is_good_for_what_it_names_until_it_ends() {
        let key = Secret::new("a2V5");
        let whole = Resource { account: "a", container: "c", blob: None };
        let blob = Resource { blob: Some("x/y z"), ..whole };
        let grant = |seconds| Grant { rights: "rcwl", lasts: SignedDuration::from_secs(seconds) };
        let of_container = read(&sign(&key, whole, grant(60)));
        let of_blob = read(&sign(&key, blob, grant(60)));
        assert_eq!(check(&key, blob, &of_container, &['r']), Ok(()));
        assert_eq!(check(&key, blob, &of_blob, &['w', 'c']), Ok(()));
        assert_eq!(check(&key, blob, &of_blob, &['d']), Err(Fault::Right));
        assert_eq!(check(&key, whole, &of_blob, &['r']), Err(Fault::Signature));
        assert_eq!(check(&key, Resource { container: "d", ..blob }, &of_container, &['r']), Err(Fault::Signature));
        assert_eq!(check(&Secret::new("b3RoZXI="), blob, &of_blob, &['r']), Err(Fault::Signature));
        assert_eq!(check(&key, blob, &read(&sign(&key, blob, grant(-1))), &['r']), Err(Fault::Expired));
        let longer: Vec<_> = of_blob
            .into_iter()
            .map(|(name, value)| (name.clone(), if name == "se" { "2099-01-01T00:00:00Z".into() } else { value }))
            .collect();
        assert_eq!(check(&key, blob, &longer, &['r']), Err(Fault::Signature));
    }
}
