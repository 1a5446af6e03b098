//! Trouble on demand: what the service does now and then, done when a test asks for it.
//!
//! ```text
//! faults/<time>-<number>.json   one order each, taken by the first request that it fits
//! ```

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::Error;
use super::reply::Refusal;
use super::route::{Access, Plane, Route};
use crate::support::{clock, fs, platform};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// 429 with `Retry-After`; 503 `ServerBusy` of the storage.
    Throttled,
    /// 500.
    ServerError,
    /// 401: the token has ended.
    ExpiredToken,
    /// The request is carried out, and the connection breaks before the answer.
    LostReply,
    /// 403 of the storage: the address is not valid any more.
    StaleSignature,
    /// The job is shown as `NotResponding`, once.
    NotResponding,
    /// A job on nodes of low priority loses them, and waits for others.
    Preempted,
}

impl Fault {
    /// Returns the refusal that it is, if it is one.
    pub(super) fn refusal(self, storage: bool) -> Option<Refusal> {
        let refuse = |status, code: &str, text: &str| Some(Refusal::new(status, code, text));
        match self {
            Self::Throttled if storage => refuse(StatusCode::SERVICE_UNAVAILABLE, "ServerBusy", "The server is busy."),
            Self::Throttled => {
                let text = "The request rate is too large: try again after 1 second.";
                Some(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", text).with("retry-after", "1"))
            }
            Self::ServerError => refuse(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "An internal server error occurred."),
            Self::ExpiredToken => {
                let text = "The access token expiry UTC time is earlier than current UTC time.";
                refuse(StatusCode::UNAUTHORIZED, "ExpiredAuthenticationToken", text)
            }
            Self::StaleSignature => {
                refuse(StatusCode::FORBIDDEN, "AuthenticationFailed", "Signature not valid in the specified time frame.")
            }
            Self::LostReply | Self::NotResponding | Self::Preempted => None,
        }
    }
}

/// A fault for one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// What goes wrong.
    pub fault: Fault,
    /// The method that the request has to have.
    pub method: Option<String>,
    /// What its path has to contain.
    pub path: Option<String>,
}

impl Ordered {
    fn fits(&self, method: &Method, path: &str, route: &Route) -> bool {
        let can = match self.fault {
            Fault::Throttled | Fault::ServerError | Fault::LostReply => true,
            Fault::ExpiredToken => route.access == Access::Token,
            Fault::StaleSignature => route.plane == Plane::Blob,
            // It meets no request: a job takes it.
            Fault::Preempted => false,
            Fault::NotResponding => route.method == Method::GET && route.pattern == "{scope}/jobs/{name}",
        };
        can && self.method.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method.as_str()))
            && self.path.as_deref().is_none_or(|wanted| path.contains(wanted))
    }
}

fn below(folder: &Path) -> PathBuf {
    folder.join("faults")
}

/// Orders a fault so many times, for the emulator of a data folder.
pub fn order(data: &Path, ordered: &Ordered, times: u32) -> Result<(), Error> {
    // No two orders share a file, those of one millisecond neither.
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let folder = below(&super::folder(data));
    fs::create_private_dir_all(&folder)?;
    let text = serde_json::to_vec(ordered).expect("plain data of ours always serialises");
    let (now, own) = (clock::now().as_millisecond(), platform::own_pid());
    for _ in 0..times {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        fs::write_private(folder.join(format!("{now}-{number:010}-{own}.json")), &text)?;
    }
    Ok(())
}

/// Returns the fault that was ordered for such a request, first come first served; it is then no longer ordered.
pub(super) fn take(folder: &Path, method: &Method, path: &str, route: &Route) -> Option<Fault> {
    take_first(folder, |ordered| ordered.fits(method, path, route))
}

/// Returns whether a job on nodes of low priority is to lose them; it is then no longer ordered.
pub(super) fn take_preemption(folder: &Path, job: &str) -> bool {
    let fits = |ordered: &Ordered| {
        ordered.fault == Fault::Preempted && ordered.path.as_deref().is_none_or(|wanted| format!("/jobs/{job}").contains(wanted))
    };
    take_first(folder, fits).is_some()
}

fn take_first(folder: &Path, fits: impl Fn(&Ordered) -> bool) -> Option<Fault> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(below(folder)).ok()?.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "json"));
    files.sort();
    files.into_iter().find_map(|file| {
        let ordered: Ordered = serde_json::from_slice(&std::fs::read(&file).ok()?).ok()?;
        // Whoever removes the file has it.
        (fits(&ordered) && std::fs::remove_file(&file).is_ok()).then_some(ordered.fault)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::azureml::routes;

    #[test]
    fn a_fault_meets_the_first_request_that_it_fits_and_no_other() {
        let data = tempfile::tempdir().expect("a temporary folder");
        let folder = crate::emulator::azureml::folder(data.path());
        let table = routes::table();
        let route = |plane| table.iter().find(|route| route.plane == plane).expect("there is one");
        let ordered = |fault, path: &str| Ordered { fault, method: Some("put".into()), path: Some(path.into()) };
        order(data.path(), &ordered(Fault::Throttled, "/jobs/"), 2).expect("writable");
        order(data.path(), &Ordered { fault: Fault::StaleSignature, method: None, path: None }, 1).expect("writable");
        order(data.path(), &Ordered { fault: Fault::Preempted, method: None, path: Some("/jobs/j".into()) }, 1).expect("writable");
        assert!(!take_preemption(&folder, "k") && take_preemption(&folder, "j") && !take_preemption(&folder, "j"));
        let ask = |method, path, plane| take(&folder, &method, path, route(plane));
        assert_eq!(ask(Method::GET, "/x/jobs/j", Plane::Arm), None);
        assert_eq!(ask(Method::PUT, "/x/jobs/j", Plane::Arm), Some(Fault::Throttled));
        assert_eq!(ask(Method::GET, "/a/c/b", Plane::Blob), Some(Fault::StaleSignature));
        assert_eq!(ask(Method::PUT, "/x/jobs/j", Plane::Arm), Some(Fault::Throttled));
        assert_eq!(ask(Method::PUT, "/x/jobs/j", Plane::Arm), None);
    }
}
