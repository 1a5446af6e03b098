//! Storage: blobs that are written and read with a proof in their address, and without any token.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest, Md5};
use reqwest::RequestBuilder;
use reqwest::header::{CONTENT_TYPE, IF_NONE_MATCH, RANGE};
use url::Url;

use super::client::{Answer, answer};
use super::{Error, retry};

/// The version of storage's interface.
const VERSION: &str = "2023-01-03";

/// A container, or a folder of it, with the proof in its address.
#[derive(Debug, Clone)]
pub(super) struct Container {
    http: reqwest::Client,
    sas: Url,
}

/// What came of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// It is there.
    Yes,
    /// The proof is not good any more.
    Expired(u16),
}

/// What came of reading on.
#[derive(Debug)]
pub(super) enum Tail {
    /// There is more.
    More(Vec<u8>),
    /// There is nothing new, or nothing at all yet.
    Nothing,
    /// The proof is not good any more.
    Expired,
}

impl Container {
    pub(super) fn new(http: &reqwest::Client, sas: Url) -> Self {
        Self { http: http.clone(), sas }
    }

    /// Returns the address of a blob: each part of its path is encoded by itself.
    fn address(&self, path: &str) -> Url {
        let mut url = self.sas.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(path.split('/'));
        }
        url
    }

    /// Writes a blob; storage compares what it got with the hash that goes along. One that is there already is left as it is.
    pub(super) async fn put(&self, path: &str, bytes: Bytes) -> Result<Written, Error> {
        let url = self.address(path);
        let request = || {
            self.http
                .put(url.clone())
                .header("x-ms-blob-type", "BlockBlob")
                .header(IF_NONE_MATCH, "*")
                .header(CONTENT_TYPE, "application/octet-stream")
                .header("Content-MD5", digest(&bytes))
                .body(bytes.clone())
        };
        written("write a file", &send(request).await?, &[409, 412])
    }

    /// Writes a part of a blob.
    pub(super) async fn put_block(&self, path: &str, number: u32, bytes: Bytes) -> Result<Written, Error> {
        let mut url = self.address(path);
        url.query_pairs_mut().append_pair("comp", "block").append_pair("blockid", &block_id(number));
        let request = || self.http.put(url.clone()).header("Content-MD5", digest(&bytes)).body(bytes.clone());
        written("write a part of a file", &send(request).await?, &[])
    }

    /// Makes a blob of its parts.
    pub(super) async fn put_block_list(&self, path: &str, blocks: u32) -> Result<Written, Error> {
        let mut url = self.address(path);
        url.query_pairs_mut().append_pair("comp", "blocklist");
        let parts: String = (0..blocks).map(|number| format!("<Latest>{}</Latest>", block_id(number))).collect();
        let body = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{parts}</BlockList>");
        let request = || self.http.put(url.clone()).header(CONTENT_TYPE, "application/xml").body(body.clone());
        written("put a file together", &send(request).await?, &[])
    }

    /// Returns the paths of the blobs that begin with a prefix.
    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        let mut marker = String::new();
        loop {
            let mut url = self.sas.clone();
            url.query_pairs_mut().append_pair("restype", "container").append_pair("comp", "list").append_pair("prefix", prefix);
            if !marker.is_empty() {
                url.query_pairs_mut().append_pair("marker", &marker);
            }
            let answer = send(|| self.http.get(url.clone())).await?;
            if answer.status != 200 {
                return Err(refusal("list files", &answer));
            }
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            found.extend(elements(&text, "Name").map(unescaped));
            marker = elements(&text, "NextMarker").next().map(unescaped).unwrap_or_default();
            if marker.is_empty() {
                return Ok(found);
            }
        }
    }

    /// Opens a blob for reading.
    pub(super) async fn get(&self, path: &str) -> Result<reqwest::Response, Error> {
        open(&self.http, &self.address(path)).await
    }
}

/// Reads what a blob has from an offset on, by its whole address.
pub(super) async fn tail(http: &reqwest::Client, url: &Url, offset: u64) -> Result<Tail, Error> {
    let answer = send(|| http.get(url.clone()).header(RANGE, format!("bytes={offset}-"))).await?;
    match answer.status {
        206 => Ok(Tail::More(answer.body)),
        // A range that is not understood gives all.
        200 => {
            let body = answer.body.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default().to_vec();
            Ok(if body.is_empty() { Tail::Nothing } else { Tail::More(body) })
        }
        404 | 416 => Ok(Tail::Nothing),
        401 | 403 => Ok(Tail::Expired),
        _ => Err(refusal("read the log", &answer)),
    }
}

/// Writes a blob by its whole address, in place of what is there.
pub(super) async fn write(http: &reqwest::Client, url: &Url, bytes: Bytes) -> Result<(), Error> {
    let request = || {
        http.put(url.clone())
            .header("x-ms-blob-type", "BlockBlob")
            .header(CONTENT_TYPE, "application/octet-stream")
            .header("Content-MD5", digest(&bytes))
            .body(bytes.clone())
    };
    let answer = send(request).await?;
    if (200..300).contains(&answer.status) { Ok(()) } else { Err(refusal("write a file", &answer)) }
}

/// Opens a blob for reading, by its whole address.
pub(super) async fn open(http: &reqwest::Client, url: &Url) -> Result<reqwest::Response, Error> {
    let host = url.host_str().unwrap_or_default().to_owned();
    let mut attempt = 0;
    let response = loop {
        attempt += 1;
        let pause = match http.get(url.clone()).header("x-ms-version", VERSION).send().await {
            Ok(response) if attempt < retry::ATTEMPTS && retry::may_succeed_later(response.status().as_u16(), response.headers()) => {
                retry::pause(attempt - 1, Some(response.headers()))
            }
            Ok(response) => break response,
            Err(_) if attempt < retry::ATTEMPTS => retry::pause(attempt - 1, None),
            Err(source) => return Err(Error::Unreachable { host, source: source.without_url() }),
        };
        tokio::time::sleep(pause).await;
    };
    let status = response.status().as_u16();
    if status == 200 {
        return Ok(response);
    }
    let code = response.headers().get("x-ms-error-code").and_then(|code| code.to_str().ok()).unwrap_or("no reason given").to_owned();
    Err(Error::Storage { act: "read a file".to_owned(), status, code })
}

/// Sends a request until it is answered for good.
async fn send(build: impl Fn() -> RequestBuilder) -> Result<Answer, Error> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let pause = match answer(build().header("x-ms-version", VERSION)).await {
            Ok(answer) if attempt < retry::ATTEMPTS && retry::may_succeed_later(answer.status, &answer.headers) => {
                retry::pause(attempt - 1, Some(&answer.headers))
            }
            Ok(answer) => return Ok(answer),
            Err(error) if attempt < retry::ATTEMPTS && error.is_transient() => retry::pause(attempt - 1, None),
            Err(error) => return Err(error),
        };
        tokio::time::sleep(pause).await;
    }
}

fn written(act: &str, answer: &Answer, there: &[u16]) -> Result<Written, Error> {
    match answer.status {
        200..300 => Ok(Written::Yes),
        status if there.contains(&status) => Ok(Written::Yes),
        // Forbidden is what storage says of a proof whose time is over.
        status @ (401 | 403) => Ok(Written::Expired(status)),
        _ => Err(refusal(act, answer)),
    }
}

fn refusal(act: &str, answer: &Answer) -> Error {
    let header = answer.headers.get("x-ms-error-code").and_then(|code| code.to_str().ok()).map(str::to_owned);
    let body = || elements(&String::from_utf8_lossy(&answer.body), "Code").next().map(unescaped);
    let code = header.or_else(body).unwrap_or_else(|| "no reason given".to_owned());
    Error::Storage { act: act.to_owned(), status: answer.status, code }
}

fn digest(bytes: &[u8]) -> String {
    STANDARD.encode(Md5::digest(bytes))
}

/// Ids of one blob's blocks have one length.
fn block_id(number: u32) -> String {
    STANDARD.encode(format!("{number:08}"))
}

/// Returns the texts of the elements of a name in XML that storage writes: no attributes, none inside another of its name.
fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let start = rest.find(&begin)? + begin.len();
        let length = rest[start..].find(&end)?;
        let text = &rest[start..start + length];
        rest = &rest[start + length..];
        Some(text)
    })
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http() -> reqwest::Client {
        let wait = std::time::Duration::from_secs(5);
        crate::support::http::client(wait, wait).expect("a client")
    }

    #[test]
    fn each_part_of_a_path_is_encoded_by_itself() {
        let sas = Url::parse("https://store.test/container?sv=1&sig=a%2Bb").expect("a URL");
        let container = Container::new(&http(), sas);
        assert_eq!(
            container.address("my code/a#b%c/é.py").as_str(),
            "https://store.test/container/my%20code/a%23b%25c/%C3%A9.py?sv=1&sig=a%2Bb"
        );
    }

    #[test]
    fn names_are_read_from_what_storage_lists() {
        let xml = "<EnumerationResults><Blobs><Blob><Name>a/b &amp; c</Name></Blob><Blob><Name>d</Name></Blob></Blobs><NextMarker /></EnumerationResults>";
        assert_eq!(elements(xml, "Name").map(unescaped).collect::<Vec<_>>(), ["a/b & c", "d"]);
        assert_eq!(elements(xml, "NextMarker").count(), 0);
        assert_eq!(elements("<NextMarker>2!x</NextMarker>", "NextMarker").next(), Some("2!x"));
    }

    #[test]
    fn ids_of_blocks_have_one_length() {
        assert_eq!(block_id(0).len(), block_id(49_999).len());
    }
}
