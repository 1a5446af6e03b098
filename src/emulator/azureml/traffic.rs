//! What clients send, counted at one place for all of them: connections, bytes of HTTP as TLS gave them out, requests by route.
//!
//! `GET /traffic` shows it. That is no route of the service, so it is in no table of them; it is not counted among the requests.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::reply::{self, Reply};

/// The path at which it is shown.
pub(super) const PATH: &str = "/traffic";

/// The counts since the start.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    connections: AtomicU64,
    bytes: AtomicU64,
    requests: Mutex<BTreeMap<String, u64>>,
}

impl Traffic {
    /// Counts a connection, and all that comes over it.
    pub(super) fn meter<S>(self: &Arc<Self>, stream: S) -> Metered<S> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Metered { stream, traffic: self.clone() }
    }

    /// Counts a request for a route.
    pub(super) fn count(&self, method: &Method, pattern: &str, query: Option<&str>) {
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry(format!("{method} /{pattern}{query}")).or_default() += 1;
    }

    /// Shows the counts.
    pub(super) fn show(&self) -> Reply {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (connections, bytes) = (self.connections.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        reply::json(StatusCode::OK, &json!({ "connections": connections, "bytes": bytes, "requests": requests }))
    }
}

/// A connection whose incoming bytes are counted.
pub(super) struct Metered<S> {
    stream: S,
    traffic: Arc<Traffic>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.traffic.bytes.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn what_comes_is_counted_and_what_goes_is_not() {
        let traffic = Arc::new(Traffic::default());
        let (mut client, server) = tokio::io::duplex(64);
        let mut server = traffic.meter(server);
        client.write_all(b"hello").await.expect("it is read below");
        let mut heard = [0; 5];
        server.read_exact(&mut heard).await.expect("it was sent");
        server.write_all(b"a longer answer").await.expect("it fits");
        for _ in 0..2 {
            traffic.count(&Method::PUT, "a/{b}", Some("comp=block"));
        }
        let shown = traffic.show().into_body().collect().await.expect("in memory").to_bytes();
        let shown: serde_json::Value = serde_json::from_slice(&shown).expect("JSON");
        assert_eq!(shown, json!({ "connections": 1, "bytes": 5, "requests": { "PUT /a/{b}?comp=block": 2 } }));
    }
}
