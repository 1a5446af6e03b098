//! Builds images, by BuildKit or by the classic builder, through one HTTP call.
//!
//! ```text
//! context (tar) + options -> POST /build -> steps and output, as they come -> image id
//!                                ^
//!                  BuildKit only: POST /session, on which it asks for secrets and logins
//! ```
//!
//! The client crate's own support for BuildKit is not used: with it a build has either progress or secrets, and the secrets have to be files
//! or variables of this process.

mod context;
mod error;
mod messages;
mod progress;
mod session;
mod wire;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, BodyStream, Full};
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};

use super::{Credentials, Engine, ImageId, classify, login};
use crate::support::secret::Secret;
use progress::Reader;
use session::{Answers, Session};

pub use context::{Context, Mode};
pub use error::Error;

/// How an engine builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builder {
    /// BuildKit: mounts in a build, secrets that stay out of the image.
    BuildKit,
    /// The classic builder, which has neither.
    Classic,
}

/// What is built.
#[derive(Debug, Clone, Default)]
pub struct Order {
    /// The files that the Dockerfile may copy, and the Dockerfile itself, as a tar archive.
    pub context: Bytes,
    /// The Dockerfile's path in it.
    pub dockerfile: String,
    /// The name that the image gets; one that has it already loses it.
    pub tag: String,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Build arguments. They stand in the image's history.
    pub arguments: BTreeMap<String, String>,
    /// The platform (`linux/arm64`); `None` for the engine's own.
    pub platform: Option<String>,
    /// Secrets by the ids that the Dockerfile mounts them by; only BuildKit can hand them out.
    pub secrets: BTreeMap<String, Secret>,
    /// The network of its steps, `host` or `none`; the engine's default when not given.
    pub network: Option<String>,
    /// Images that the Dockerfile begins with or copies from: the classic builder is told who we are to their registries, BuildKit asks.
    pub images: Vec<String>,
    /// Whether steps whose results are there are done all the same.
    pub anew: bool,
}

/// Listens to a build.
pub trait Watch: Send + Sync {
    /// A step began, or its result was there already.
    fn step(&self, name: &str, cached: bool);
    /// A step printed a line.
    fn line(&self, text: &str);
}

impl Engine {
    /// Returns how the engine builds; BuildKit is asked for a session, which costs one round trip.
    pub async fn builder(&self) -> Result<Builder, Error> {
        let session = Session::open(self, Answers { secrets: BTreeMap::new(), login: |_| None }).await?;
        Ok(if session.is_some() { Builder::BuildKit } else { Builder::Classic })
    }

    /// Builds, and returns the image's id. A failure leaves no image; so does dropping the future, which ends the build.
    pub async fn build(&self, builder: Builder, order: Order, watch: &dyn Watch) -> Result<ImageId, Error> {
        let session = match builder {
            Builder::BuildKit => {
                let answers = Answers { secrets: order.secrets.clone(), login: login::for_registry };
                Some(Session::open(self, answers).await?.ok_or(Error::NoBuildKit)?)
            }
            Builder::Classic if order.secrets.is_empty() => None,
            Builder::Classic => return Err(Error::NoBuildKit),
        };
        let request = Request::post(target(&order, session.as_ref())).header(HOST, "engine").header(CONTENT_TYPE, "application/x-tar");
        let mut request = request.body(Full::new(order.context)).expect("the query is encoded");
        if session.is_none()
            && let Some(logins) = logins(order.images).await
        {
            request.headers_mut().insert("x-registry-config", logins);
        }
        let mut sender = wire::handshake(self).await?;
        let response = sender.send_request(request).await.map_err(|error| wire::lost(&error))?;
        let status = response.status();
        if !status.is_success() {
            let body = response.into_body().collect().await.map_err(|error| wire::lost(&error))?.to_bytes();
            return Err(refused(status.as_u16(), &body));
        }
        let mut reader = Reader::default();
        let mut frames = BodyStream::new(response.into_body());
        while let Some(frame) = frames.next().await {
            let frame = frame.map_err(|error| wire::lost(&error))?;
            reader.read(frame.data_ref().map_or(&[][..], |bytes| &bytes[..]), watch);
        }
        reader.finish().map(ImageId)
    }
}

/// Returns who we are to the registries of images, as a header; nothing when we are nobody to all of them.
async fn logins(images: Vec<String>) -> Option<HeaderValue> {
    // A helper that knows a login is a program that is waited for.
    let known = tokio::task::spawn_blocking(move || {
        let hosts: BTreeSet<&str> = images.iter().map(|image| login::registry(image)).collect();
        hosts.into_iter().filter_map(|host| Some((host.to_owned(), login::for_registry(host)?))).collect::<BTreeMap<_, _>>()
    });
    let known = known.await.ok().filter(|known| !known.is_empty())?;
    let mut value: HeaderValue = Credentials::of_registries(&known).parse().ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Reads the engine's refusal to begin.
fn refused(status: u16, body: &[u8]) -> Error {
    let message = serde_json::from_slice::<serde_json::Value>(body).ok();
    let message = message.as_ref().and_then(|value| value.get("message")?.as_str());
    let words = message.map_or_else(|| String::from_utf8_lossy(body).trim().to_owned(), str::to_owned);
    classify::refused("build an image".to_owned(), status, &words).into()
}

/// Returns the path and query of the call.
fn target(order: &Order, session: Option<&Session>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::from("/build?"));
    query.append_pair("dockerfile", &order.dockerfile).append_pair("t", &order.tag).append_pair("rm", "1").append_pair("forcerm", "1");
    query.append_pair("labels", &json(&order.labels)).append_pair("buildargs", &json(&order.arguments));
    if let Some(platform) = &order.platform {
        query.append_pair("platform", platform);
    }
    if let Some(network) = &order.network {
        query.append_pair("networkmode", network);
    }
    if order.anew {
        query.append_pair("nocache", "1");
    }
    match session {
        Some(session) => query.append_pair("version", "2").append_pair("session", session.id()),
        None => query.append_pair("version", "1"),
    };
    query.finish()
}

fn json(map: &BTreeMap<String, String>) -> String {
    serde_json::to_string(map).expect("a map of texts always serialises")
}

/// Returns a name that nobody else gives.
fn random_id() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
