//! Takes artifacts into files beside the spool.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use hyper::{Request, Response, StatusCode};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::answer::{self, Body};
use super::record::{Entry, Upload};
use super::serve::{Service, target};
use super::upstream::{Cause, Trouble};
use crate::support::platform;

impl Service {
    /// Takes an artifact into a file beside the spool, and acknowledges it.
    pub(super) async fn upload(&self, connection: u64, request: Request<Incoming>) -> Response<Body> {
        let (parts, mut body) = request.into_parts();
        let deadline = self.shared.deadline();
        let announced = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok()).unwrap_or(0);
        // Artifacts leave a fifth of the spool to metrics.
        let limit = self.shared.limits.spool / 5 * 4;
        let mut tries = 0;
        loop {
            let pending = self.shared.books(|books| books.spool.pending().bytes);
            if pending == 0 || pending + announced <= limit {
                break;
            }
            if Instant::now() > deadline {
                let detail = "the spool is full".to_owned();
                return answer::trouble(&Trouble::new(Cause::Busy(503), detail));
            }
            tokio::time::sleep(super::shared::backoff(tries).min(Duration::from_secs(1))).await;
            tries += 1;
        }
        let free = self.shared.books(|books| platform::free_bytes(books.spool.folder())).unwrap_or(u64::MAX);
        if announced > limit || announced > free / 2 || parts.headers.contains_key(TRANSFER_ENCODING) {
            // Too large for the spool or the disk, or nobody knows: it goes straight through, after everything before it.
            return self.pass(Request::from_parts(parts, body)).await;
        }
        let blob = format!("blob-{}-{}", self.shared.books(|books| books.spool.next()), self.uploads.fetch_add(1, Ordering::Relaxed));
        let opened = self.shared.books(|books| books.spool.blob(&blob));
        let Ok((mut file, path)) = opened else {
            return self.pass(Request::from_parts(parts, body)).await;
        };
        let mut hasher = Sha256::new();
        let mut size = 0;
        while let Some(frame) = body.frame().await {
            let Some(piece) = frame.ok().and_then(|frame| frame.into_data().ok()) else {
                let _ = std::fs::remove_file(&path);
                return answer::error(StatusCode::BAD_REQUEST, "BAD_REQUEST", "the upload broke off");
            };
            hasher.update(&piece);
            if let Err(error) = file.write_all(&piece) {
                // Without room it cannot be kept. The client tries again, and then it goes straight through.
                let _ = std::fs::remove_file(&path);
                return answer::trouble(&Trouble::new(Cause::Busy(503), error.to_string()));
            }
            size += piece.len() as u64;
        }
        let digest = hasher.finalize().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let upload = Upload { target: target(&parts.uri).to_owned(), blob, size, content_type, digest };
        let mut tries = 0;
        while let Err(error) = self.shared.books(|books| books.append(connection, Entry::Upload(upload.clone()))) {
            if Instant::now() > deadline {
                let _ = std::fs::remove_file(&path);
                let detail = error.to_string();
                return answer::trouble(&Trouble::new(Cause::Busy(503), detail));
            }
            tokio::time::sleep(super::shared::backoff(tries).min(Duration::from_secs(1))).await;
            tries += 1;
        }
        self.shared.work.notify_one();
        answer::json(StatusCode::OK, &json!({}))
    }
}
