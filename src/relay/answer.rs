//! Answers to the client.

use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Response, StatusCode};
use serde_json::{Value, json};

use super::upstream::{Answer, Trouble};

/// What every answer's body is.
pub(super) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// The header that names the cause of trouble between relay and tracker.
pub(super) const CAUSE: &str = "x-sendoff-cause";

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Answers with JSON.
pub(super) fn json(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(full(serde_json::to_vec(value).expect("plain data of ours always serialises")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Answers with text.
pub(super) fn text(body: &str) -> Response<Body> {
    Response::new(full(body.to_owned()))
}

/// Answers with an error in MLflow's form.
pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    json(status, &json!({ "error_code": code, "message": message }))
}

/// Says that the tracker gave no answer that counts.
pub(super) fn trouble(trouble: &Trouble) -> Response<Body> {
    let message = format!("the tracking server cannot be used now: {}", trouble.detail);
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, "TEMPORARILY_UNAVAILABLE", &message);
    response.headers_mut().insert(HeaderName::from_static(CAUSE), HeaderValue::from_static(trouble.cause.word()));
    response
}

/// Passes a whole answer on.
pub(super) fn pass(answer: Answer) -> Response<Body> {
    let mut response = Response::new(full(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = end_to_end(&answer.headers);
    response.headers_mut().remove(hyper::header::CONTENT_LENGTH);
    response
}

/// Passes an answer on while it arrives.
pub(super) fn stream(answer: reqwest::Response) -> Response<Body> {
    let (status, headers) = (answer.status(), end_to_end(answer.headers()));
    let frames = answer.bytes_stream().map_ok(Frame::data).map_err(|error| std::io::Error::other(error.without_url()));
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Returns the headers that are not about a single connection (RFC 9110, 7.6.1).
pub(super) fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut kept = headers.clone();
    let named: Vec<String> = headers
        .get_all(hyper::header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|name| name.trim().to_lowercase()))
        .collect();
    for name in ["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"] {
        kept.remove(name);
    }
    for name in named {
        kept.remove(name.as_str());
    }
    kept
}
