//! When a request is sent again, and after how long: what Azure's own clients do.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::HeaderMap;

/// How often a request is sent at most.
pub(super) const ATTEMPTS: u32 = 8;
/// The longest pause that we choose ourselves.
const LONGEST: Duration = Duration::from_secs(30);
/// The longest pause that the service may choose.
const PATIENCE: Duration = Duration::from_mins(10);

/// Returns whether an answer says that the same request may succeed later.
pub(super) fn may_succeed_later(status: u16, headers: &HeaderMap) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504) || (status >= 400 && asked_pause(headers, Timestamp::now()).is_some())
}

/// Returns how long to wait after the attempt of this number, from 0: what the service asks, else longer each time.
pub(super) fn pause(attempt: u32, headers: Option<&HeaderMap>) -> Duration {
    let asked = headers.and_then(|headers| asked_pause(headers, Timestamp::now()));
    asked.unwrap_or_else(|| (Duration::from_millis(400) * 2_u32.saturating_pow(attempt)).min(LONGEST)).min(PATIENCE)
}

/// Reads `retry-after-ms`, `x-ms-retry-after-ms` (milliseconds) or `Retry-After` (seconds, or a date).
pub(super) fn asked_pause(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    for name in ["retry-after-ms", "x-ms-retry-after-ms"] {
        if let Some(milliseconds) = text(name).and_then(|text| text.parse().ok()) {
            return Some(Duration::from_millis(milliseconds));
        }
    }
    let text = text("retry-after")?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().expect("a name"), value.parse().expect("a value"))])
    }

    #[test]
    fn what_the_service_asks_is_waited() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
        for (name, value, expected) in [
            ("retry-after", "7", Some(Duration::from_secs(7))),
            ("retry-after", "Fri, 02 Jan 2026 03:04:15 GMT", Some(Duration::from_secs(10))),
            ("retry-after", "Fri, 02 Jan 2026 03:00:00 GMT", Some(Duration::ZERO)),
            ("x-ms-retry-after-ms", "250", Some(Duration::from_millis(250))),
            ("retry-after", "soon", None),
            ("date", "7", None),
        ] {
            assert_eq!(asked_pause(&headers(name, value), now), expected, "{name}: {value}");
        }
        assert_eq!(pause(0, Some(&headers("retry-after", "1"))), Duration::from_secs(1));
        assert_eq!(pause(0, Some(&headers("retry-after", "999999"))), PATIENCE);
    }

    #[test]
    fn pauses_grow_up_to_a_ceiling_and_only_passing_troubles_are_waited_for() {
        assert!(pause(1, None) > pause(0, None));
        assert_eq!(pause(30, None), LONGEST);
        let none = HeaderMap::new();
        for status in [408, 429, 500, 503] {
            assert!(may_succeed_later(status, &none), "{status}");
        }
        for status in [200, 400, 401, 403, 404, 409] {
            assert!(!may_succeed_later(status, &none), "{status}");
        }
        assert!(may_succeed_later(409, &headers("retry-after", "1")));
        assert!(!may_succeed_later(202, &headers("retry-after", "1")));
    }
}
