//! Storage: block blobs, as far as uploads, logs and artifacts need them.

use std::io::{Seek, SeekFrom};
use std::sync::Arc;

use futures_util::StreamExt;
use http_body_util::BodyExt;
use hyper::{Method, StatusCode};
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::blobs::{Blob, Place, Properties};
use super::super::call::Call;
use super::super::reply::{self, Refusal, Reply, escaped, set};
use super::super::route::{Access, Plane, Route, at_once};
use super::super::sas::{self, Fault, Resource};
use super::super::service::Service;
use super::super::shared_key;
use crate::support::fs::Context;

/// The version of the storage interface that answers name.
const VERSION: &str = "2023-01-03";
/// The beginning of headers with metadata.
const METADATA: &str = "x-ms-meta-";

pub(super) fn routes() -> Vec<Route> {
    let one = "{account}/{container}/{*blob}";
    let whole = "{account}/{container}";
    let signed = |method, pattern, handler| Route::new(Plane::Blob, method, pattern, handler).access(Access::Signed);
    vec![
        signed(Method::PUT, one, |service, call| Box::pin(put(service, call)))
            .approximated("block blobs; of conditions only `If-None-Match: *`"),
        signed(Method::PUT, one, |service, call| Box::pin(put_block(service, call))).query("comp=block"),
        signed(Method::PUT, one, |service, call| Box::pin(put_list(service, call)))
            .query("comp=blocklist")
            .approximated("of the blocks sent last; committed blocks are not taken again"),
        signed(Method::PUT, one, |service, call| at_once(put_metadata(&service, &call))).query("comp=metadata"),
        signed(Method::GET, one, |service, call| at_once(get(&service, &call))),
        signed(Method::HEAD, one, |service, call| at_once(head(&service, &call))),
        signed(Method::DELETE, one, |service, call| at_once(delete(&service, &call))),
        signed(Method::GET, whole, |service, call| at_once(list(&service, &call)))
            .query("restype=container&comp=list")
            .approximated("all names at once; `delimiter` is honoured, snapshots and versions do not exist"),
        signed(Method::GET, whole, |service, call| at_once(properties(&service, &call))).query("restype=container"),
        signed(Method::HEAD, whole, |service, call| at_once(properties(&service, &call))).query("restype=container"),
    ]
}

/// Checks the address's signature for one of the rights, and returns the place that it leads to.
fn allowed(service: &Service, call: &Call, rights: &[char]) -> Result<Place, Refusal> {
    let refuse = |code: &str, text: &str| Err(Refusal::new(StatusCode::FORBIDDEN, code, text));
    let (account, container, blob) = (call.part("account"), call.part("container"), call.part("blob"));
    if shared_key::is_used(call) && call.asked("sig").is_none() {
        return if shared_key::check(&service.identity.account_key, account, call) {
            Ok(Place::new(account, container, blob))
        } else {
            refuse("AuthenticationFailed", "Server failed to authenticate the request: it is not signed with the account's key.")
        };
    }
    if call.headers.contains_key(hyper::header::AUTHORIZATION) {
        return refuse("AuthenticationFailed", "An address with a signature and an Authorization header exclude each other.");
    }
    let resource = Resource { account, container, blob: Some(blob).filter(|blob| !blob.is_empty()) };
    match sas::check(&service.identity.account_key, resource, &call.query, rights) {
        Ok(()) => Ok(Place::new(account, container, blob)),
        Err(Fault::Signature) => refuse("AuthenticationFailed", "Signature did not match."),
        Err(Fault::Expired) => refuse("AuthenticationFailed", "Signature not valid in the specified time frame."),
        Err(Fault::Right) => {
            refuse("AuthorizationPermissionMismatch", "This request is not authorized to perform this operation using this permission.")
        }
    }
}

fn missing() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "BlobNotFound", "The specified blob does not exist.")
}

fn time(blob: &Blob) -> String {
    blob.modified_at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn answered(status: StatusCode) -> Reply {
    let mut reply = reply::empty(status);
    set(&mut reply, "x-ms-version", VERSION);
    reply
}

/// Answers a write.
fn written(service: &Service, place: &Place, status: StatusCode) -> Result<Reply, Refusal> {
    let mut reply = answered(status);
    if let Some(blob) = service.blobs.get(place)? {
        set(&mut reply, "etag", &blob.etag());
        set(&mut reply, "last-modified", &time(&blob));
        set(&mut reply, "content-md5", blob.md5.as_deref().unwrap_or_default());
    }
    set(&mut reply, "x-ms-request-server-encrypted", "true");
    Ok(reply)
}

fn metadata(call: &Call) -> Value {
    let pairs = call.headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix(METADATA)?;
        Some((name.to_owned(), Value::from(value.to_str().ok()?)))
    });
    pairs.collect::<Map<_, _>>().into()
}

fn described(call: &Call) -> Properties {
    let header = |name: &str| call.header(name).map(str::to_owned);
    Properties {
        md5: header("x-ms-blob-content-md5").or_else(|| header("content-md5")),
        kind: header("x-ms-blob-content-type").or_else(|| header("content-type")),
        metadata: metadata(call),
    }
}

/// Writes the body to a file as it comes.
async fn receive(call: &mut Call, path: &std::path::Path) -> Result<(), Refusal> {
    let mut file = tokio::fs::File::create(path).await.context("write", path)?;
    let broken = || Refusal::new(StatusCode::BAD_REQUEST, "IncompleteBody", "the request broke off");
    let mut body = call.body.take().ok_or_else(broken)?;
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame.map_err(|_| broken())?.into_data() {
            file.write_all(&piece).await.context("write", path)?;
        }
    }
    Ok(file.flush().await.context("write", path)?)
}

async fn put(service: Arc<Service>, mut call: Call) -> Result<Reply, Refusal> {
    let place = allowed(&service, &call, &['w', 'c'])?;
    let kind = call.header("x-ms-blob-type").unwrap_or_default();
    if kind != "BlockBlob" {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "InvalidHeaderValue", format!("this emulator has block blobs, not '{kind}'")));
    }
    refuse_existing(&service, &call, &place)?;
    let properties = described(&call);
    let scratch = service.blobs.scratch(&place)?;
    receive(&mut call, scratch.path()).await?;
    service.blobs.put(&place, scratch, &properties)?;
    written(&service, &place, StatusCode::CREATED)
}

fn refuse_existing(service: &Service, call: &Call, place: &Place) -> Result<(), Refusal> {
    if call.header("if-none-match") == Some("*") && service.blobs.get(place)?.is_some() {
        return Err(Refusal::new(StatusCode::CONFLICT, "BlobAlreadyExists", "The specified blob already exists."));
    }
    Ok(())
}

async fn put_block(service: Arc<Service>, mut call: Call) -> Result<Reply, Refusal> {
    let place = allowed(&service, &call, &['w', 'c'])?;
    let id = call.asked("blockid").unwrap_or_default().to_owned();
    if id.is_empty() {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "InvalidQueryParameterValue", "`blockid` is missing"));
    }
    let path = service.blobs.block(&place, &id)?;
    receive(&mut call, &path).await?;
    Ok(answered(StatusCode::CREATED))
}

async fn put_list(service: Arc<Service>, mut call: Call) -> Result<Reply, Refusal> {
    let place = allowed(&service, &call, &['w', 'c'])?;
    refuse_existing(&service, &call, &place)?;
    let body = call.bytes().await?;
    let properties = Properties { md5: call.header("x-ms-blob-content-md5").map(str::to_owned), ..described(&call) };
    let scratch = service.blobs.scratch(&place)?;
    {
        let mut whole = std::fs::File::create(scratch.path()).context("write", scratch.path())?;
        for id in block_ids(&String::from_utf8_lossy(&body)) {
            let path = service.blobs.block(&place, &id)?;
            let Ok(mut block) = std::fs::File::open(&path) else {
                return Err(Refusal::new(StatusCode::BAD_REQUEST, "InvalidBlockList", "The specified block list is invalid."));
            };
            std::io::copy(&mut block, &mut whole).context("write", scratch.path())?;
        }
    }
    service.blobs.put(&place, scratch, &properties)?;
    crate::support::fs::remove_dir_all(service.blobs.blocks(&place)?)?;
    written(&service, &place, StatusCode::CREATED)
}

/// Returns the ids of a block list: `<BlockList><Latest>aQ==</Latest>...</BlockList>`.
fn block_ids(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((at, name)) =
        ["Latest", "Uncommitted", "Committed"].iter().filter_map(|name| Some((rest.find(&format!("<{name}>"))?, *name))).min()
    {
        let after = &rest[at + name.len() + 2..];
        let end = after.find('<').unwrap_or(after.len());
        found.push(after[..end].trim().to_owned());
        rest = &after[end..];
    }
    found
}

fn put_metadata(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let place = allowed(service, call, &['w', 'c'])?;
    service.blobs.get(&place)?.ok_or_else(missing)?;
    service.blobs.describe(&place, metadata(call))?;
    written(service, &place, StatusCode::OK)
}

fn with_properties(mut reply: Reply, blob: &Blob) -> Reply {
    set(&mut reply, "etag", &blob.etag());
    set(&mut reply, "last-modified", &time(blob));
    set(&mut reply, "accept-ranges", "bytes");
    set(&mut reply, "x-ms-version", VERSION);
    set(&mut reply, "x-ms-blob-type", "BlockBlob");
    set(&mut reply, "content-type", blob.kind.as_deref().unwrap_or("application/octet-stream"));
    if let Some(md5) = &blob.md5 {
        set(&mut reply, "content-md5", md5);
    }
    for (name, value) in blob.metadata.as_object().into_iter().flatten() {
        set(&mut reply, &format!("{METADATA}{name}"), value.as_str().unwrap_or_default());
    }
    reply
}

fn head(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let place = allowed(service, call, &['r'])?;
    let blob = service.blobs.get(&place)?.ok_or_else(missing)?;
    let mut reply = with_properties(reply::empty(StatusCode::OK), &blob);
    set(&mut reply, "content-length", &blob.size.to_string());
    Ok(reply)
}

fn get(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let place = allowed(service, call, &['r'])?;
    let blob = service.blobs.get(&place)?.ok_or_else(missing)?;
    let range = call.header("x-ms-range").or(call.header("range"));
    let (status, start, end) = match range.map(|text| span(text, blob.size)) {
        None => (StatusCode::OK, 0, blob.size),
        Some(Some((start, end))) => (StatusCode::PARTIAL_CONTENT, start, end),
        Some(None) => {
            let text = "The range specified is invalid for the current size of the resource.";
            let refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", text);
            return Err(refusal.with("content-range", format!("bytes */{}", blob.size)));
        }
    };
    let mut file = std::fs::File::open(&blob.file).context("read", &blob.file)?;
    file.seek(SeekFrom::Start(start)).context("read", &blob.file)?;
    // A file that grows meanwhile is cut: the length is said before.
    let pieces = tokio_util::io::ReaderStream::new(tokio::fs::File::from_std(file).take(end - start)).boxed();
    let mut reply = with_properties(reply::stream(pieces), &blob);
    *reply.status_mut() = status;
    set(&mut reply, "content-length", &(end - start).to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        reply.headers_mut().remove("content-md5");
        set(&mut reply, "content-range", &format!("bytes {start}-{}/{}", end - 1, blob.size));
    }
    Ok(reply)
}

/// Reads a range, `bytes=5-` or `bytes=5-9`, as the first byte and the one after the last; nothing for one that has no byte of the blob.
fn span(text: &str, size: u64) -> Option<(u64, u64)> {
    let (start, end) = text.strip_prefix("bytes=")?.split_once('-')?;
    let start: u64 = start.parse().ok()?;
    let end = if end.is_empty() { size } else { end.parse::<u64>().ok()?.saturating_add(1).min(size) };
    (start < end).then_some((start, end))
}

fn delete(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let place = allowed(service, call, &['d'])?;
    if service.blobs.delete(&place)? { Ok(answered(StatusCode::ACCEPTED)) } else { Err(missing()) }
}

fn properties(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    allowed(service, call, &['r', 'l'])?;
    Ok(answered(StatusCode::OK))
}

fn list(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let place = allowed(service, call, &['l'])?;
    let prefix = call.asked("prefix").unwrap_or_default();
    let found = service.blobs.list(&place.account, &place.container, prefix)?;
    let mut body = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>");
    body.push_str(&format!(
        "<EnumerationResults ServiceEndpoint=\"{}/{}/\" ContainerName=\"{}\">",
        call.origin, place.account, place.container
    ));
    body.push_str(&format!("<Prefix>{}</Prefix><Blobs>", escaped(prefix)));
    let mut folders = std::collections::BTreeSet::new();
    for blob in &found {
        let below = &blob.name[prefix.len()..];
        if let Some(end) =
            call.asked("delimiter").filter(|text| !text.is_empty()).and_then(|delimiter| Some(below.find(delimiter)? + delimiter.len()))
        {
            folders.insert(format!("{prefix}{}", &below[..end]));
            continue;
        }
        body.push_str(&format!(
            "<Blob><Name>{}</Name><Properties><Last-Modified>{}</Last-Modified><Etag>{}</Etag><Content-Length>{}</Content-Length><Content-Type>{}</Content-Type><BlobType>BlockBlob</BlobType></Properties></Blob>",
            escaped(&blob.name),
            time(blob),
            escaped(&blob.etag()),
            blob.size,
            escaped(blob.kind.as_deref().unwrap_or("application/octet-stream")),
        ));
    }
    for folder in folders {
        body.push_str(&format!("<BlobPrefix><Name>{}</Name></BlobPrefix>", escaped(&folder)));
    }
    body.push_str("</Blobs><NextMarker /></EnumerationResults>");
    let mut reply = reply::typed("application/xml", body);
    set(&mut reply, "x-ms-version", VERSION);
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_far_as_the_blob_goes() {
        for (text, expected) in [
            ("bytes=0-", Some((0, 10))),
            ("bytes=4-6", Some((4, 7))),
            ("bytes=4-400", Some((4, 10))),
            ("bytes=10-", None),
            ("bytes=6-4", None),
            ("bytes=-4", None),
            ("lines=1-2", None),
        ] {
            assert_eq!(span(text, 10), expected, "{text}");
        }
    }

    #[test]
    fn a_block_list_is_read_in_its_order() {
        let text =
            "<?xml version='1.0'?><BlockList><Latest>YQ==</Latest><Uncommitted>Yg==</Uncommitted><Latest> Yw== </Latest></BlockList>";
        assert_eq!(block_ids(text), ["YQ==", "Yg==", "Yw=="]);
    }
}
