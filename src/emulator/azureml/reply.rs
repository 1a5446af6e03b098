//! Answers: JSON, bytes, and errors in the forms of the two sides of the service.

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::Error;
use crate::support::azure::ErrorBody;
use crate::support::causes;
use crate::support::clock;

/// What every answer's body is.
pub(super) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// An answer.
pub(super) type Reply = Response<Body>;

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// A word for programs.
    pub(super) code: String,
    /// A sentence for people.
    pub(super) message: String,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into(), headers: Vec::new() }
    }

    /// The request is wrong.
    pub(super) fn user(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "UserError", message)
    }

    /// There is no such thing.
    pub(super) fn missing(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "UserError", message)
    }

    /// Adds a header.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn finish(self, mut reply: Reply) -> Reply {
        *reply.status_mut() = self.status;
        for (name, value) in self.headers {
            set(&mut reply, name, &value);
        }
        reply
    }

    /// Says it as the control plane and the data plane do.
    pub(super) fn into_json(self) -> Reply {
        let mut body = ErrorBody::new(&self.code, &self.message);
        let info = |kind: &str, value: Value| json!({ "type": kind, "info": { "value": value } });
        body.error.additional_info = vec![
            info("ComponentName", "managementfrontend".into()),
            info("Environment", super::service::LOCATION.into()),
            info("Location", super::service::LOCATION.into()),
            info("Time", clock::now().to_string().into()),
        ];
        let value = serde_json::to_value(body).expect("plain data of ours always serialises");
        self.finish(json(StatusCode::OK, &value))
    }

    /// Says it as the storage service does.
    pub(super) fn into_xml(self) -> Reply {
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{}</Code><Message>{}</Message></Error>",
            escaped(&self.code),
            escaped(&self.message)
        );
        let mut reply = typed("application/xml", text);
        set(&mut reply, "x-ms-error-code", &self.code);
        self.finish(reply)
    }

    /// Says it as the token service does.
    pub(super) fn into_oauth(self) -> Reply {
        let number: Option<u32> = self.message.split(':').next().and_then(|word| word.strip_prefix("AADSTS")?.parse().ok());
        let value = json!({
            "error": self.code, "error_description": self.message, "error_codes": number.into_iter().collect::<Vec<_>>(),
            "timestamp": clock::now().to_string(), "trace_id": super::identity::guid(), "correlation_id": super::identity::guid(),
        });
        self.finish(json(StatusCode::OK, &value))
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", causes::in_one_line(&error))
    }
}

impl From<crate::support::fs::Error> for Refusal {
    fn from(error: crate::support::fs::Error) -> Self {
        Error::from(error).into()
    }
}

/// Sets a header whose value may be anything.
pub(super) fn set(reply: &mut Reply, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
        reply.headers_mut().insert(name, value);
    }
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Answers with a status alone.
pub(super) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(full(Bytes::new()));
    *reply.status_mut() = status;
    reply
}

/// Answers with JSON.
pub(super) fn json(status: StatusCode, value: &Value) -> Reply {
    let mut reply = typed("application/json; charset=utf-8", value.to_string());
    *reply.status_mut() = status;
    reply
}

/// Answers with a text of a type.
pub(super) fn typed(kind: &'static str, text: String) -> Reply {
    let mut reply = Response::new(full(text));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}

/// Answers with bytes as they come.
pub(super) fn stream(pieces: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static) -> Reply {
    Response::new(StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync())
}

/// Returns a text as it may stand in XML.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Returns the body of an answer that has none.
pub(super) fn nothing() -> Body {
    full(Bytes::new())
}
