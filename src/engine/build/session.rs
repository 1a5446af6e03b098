//! The session of a build: a connection on which BuildKit asks us, by gRPC, for secrets and for the credentials of registries.
//!
//! `POST /session` is answered by an upgrade, after which the roles change: the engine is the HTTP/2 client and this process the server.
//! A build names the session by its id. Secrets leave this process only as answers, and BuildKit keeps them in memory only.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, UPGRADE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioExecutor;
use prost::Message;

use super::messages::{CredentialsAnswer, Health, Named, SecretAnswer};
use super::wire;
use crate::engine::{Credentials, Engine, Error};
use crate::support::secret::Secret;

const HEALTH: &str = "/grpc.health.v1.Health/Check";
const SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";

/// What BuildKit may ask for.
pub(super) struct Answers {
    /// Secrets by their ids.
    pub(super) secrets: BTreeMap<String, Secret>,
    /// Looks up who we are to the registry of a host.
    pub(super) login: fn(&str) -> Option<Credentials>,
}

/// An open session, which ends with this value.
#[derive(Debug)]
pub(super) struct Session {
    id: String,
    serving: tokio::task::AbortHandle,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Session {
    /// Opens one; `None` when the engine knows no sessions, and so has no BuildKit.
    pub(super) async fn open(engine: &Engine, answers: Answers) -> Result<Option<Self>, Error> {
        let id = super::random_id();
        let mut request = Request::post("/session")
            .header(HOST, "engine")
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "h2c")
            .header("X-Docker-Expose-Session-Uuid", &id)
            .header("X-Docker-Expose-Session-Name", "sendoff");
        for method in [HEALTH, SECRET, CREDENTIALS] {
            request = request.header("X-Docker-Expose-Session-Grpc-Method", method);
        }
        let request = request.body(Empty::<Bytes>::new()).expect("the parts are constants and a plain id");
        let mut sender = wire::handshake(engine).await?;
        let response = sender.send_request(request).await.map_err(|error| wire::lost(&error))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(None);
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(|error| wire::lost(&error))?;
        let answers = Arc::new(answers);
        let service = service_fn(move |request| {
            let answers = answers.clone();
            async move { Ok::<_, Infallible>(answer(request, &answers).await) }
        });
        let serving = tokio::spawn(async move {
            // Ends with the build; how it ended is the build's to say.
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(upgraded, service).await;
        });
        Ok(Some(Self { id, serving: serving.abort_handle() }))
    }

    /// Returns the name that a build gives.
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

/// How a call went, in gRPC's numbers.
enum Outcome {
    /// With the message.
    Ok(Vec<u8>),
    /// There is no such secret.
    NotFound,
    /// The message could not be read.
    Invalid,
    /// There is no such method.
    Unimplemented,
}

async fn answer(
    request: Request<Incoming>,
    answers: &Arc<Answers>,
) -> Response<http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>> {
    let (head, body) = request.into_parts();
    let outcome = match body.collect().await.ok().and_then(|body| unframed(&body.to_bytes())) {
        Some(message) => {
            let (method, answers) = (head.uri.path().to_owned(), answers.clone());
            // A helper that knows a login is a program that is waited for.
            tokio::task::spawn_blocking(move || respond(&method, &message, &answers)).await.unwrap_or(Outcome::Invalid)
        }
        None => Outcome::Invalid,
    };
    let (status, body) = match outcome {
        Outcome::Ok(message) => ("0", framed(&message)),
        Outcome::Invalid => ("3", Bytes::new()),
        Outcome::NotFound => ("5", Bytes::new()),
        Outcome::Unimplemented => ("12", Bytes::new()),
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    let body = Full::new(body).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(body.boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn respond(method: &str, message: &[u8], answers: &Answers) -> Outcome {
    if method == HEALTH {
        return Outcome::Ok(Health { status: 1 }.encode_to_vec());
    }
    let Ok(Named { name }) = Named::decode(message) else { return Outcome::Invalid };
    match method {
        SECRET => match answers.secrets.get(&name) {
            Some(secret) => Outcome::Ok(SecretAnswer { data: secret.expose().as_bytes().to_vec() }.encode_to_vec()),
            None => Outcome::NotFound,
        },
        CREDENTIALS => {
            // A registry that nobody has logged in to is asked as nobody.
            let answer = match (answers.login)(&name) {
                Some(Credentials::User { name, password }) => CredentialsAnswer { user: name, secret: password.expose().to_owned() },
                Some(Credentials::IdentityToken(token)) => CredentialsAnswer { user: String::new(), secret: token.expose().to_owned() },
                None => CredentialsAnswer::default(),
            };
            Outcome::Ok(answer.encode_to_vec())
        }
        _ => Outcome::Unimplemented,
    }
}

/// Returns the one message of a call; compression was not agreed on.
fn unframed(bytes: &[u8]) -> Option<Vec<u8>> {
    let (prefix, message) = bytes.split_at_checked(5)?;
    let length = u32::from_be_bytes(prefix[1..].try_into().ok()?);
    (prefix[0] == 0 && usize::try_from(length).ok()? == message.len()).then(|| message.to_vec())
}

fn framed(message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(message.len() + 5);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.len()).expect("secrets are small"));
    bytes.put_slice(message);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers() -> Answers {
        let login = |host: &str| (host == "registry.test").then(|| Credentials::User { name: "me".to_owned(), password: Secret::new("p") });
        Answers { secrets: [("index".to_owned(), Secret::new("s3"))].into(), login }
    }

    fn ask(method: &str, name: &str) -> Option<Vec<u8>> {
        match respond(method, &Named { name: name.to_owned() }.encode_to_vec(), &answers()) {
            Outcome::Ok(message) => Some(message),
            _ => None,
        }
    }

    #[test]
    fn a_secret_is_given_by_its_id_and_no_other_is() {
        assert_eq!(ask(SECRET, "index").as_deref(), Some(&b"\n\x02s3"[..]));
        assert_eq!(ask(SECRET, "other"), None);
    }

    #[test]
    fn a_registry_without_a_login_is_asked_as_nobody() {
        assert_eq!(ask(CREDENTIALS, "registry.test").as_deref(), Some(&b"\n\x02me\x12\x01p"[..]));
        assert_eq!(ask(CREDENTIALS, "elsewhere").as_deref(), Some(&b""[..]));
    }

    #[test]
    fn messages_travel_with_their_length_in_front() {
        assert_eq!(&framed(b"ab")[..], b"\0\0\0\0\x02ab");
        assert_eq!(unframed(b"\0\0\0\0\x02ab").as_deref(), Some(&b"ab"[..]));
        for broken in [&b""[..], b"\0\0\0\0", b"\0\0\0\0\x03ab", b"\x01\0\0\0\x02ab"] {
            assert_eq!(unframed(broken), None, "{broken:?}");
        }
    }
}
