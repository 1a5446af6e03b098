//! The time of day, in one place.

use jiff::Timestamp;

/// Returns the time now, to the millisecond (what MLflow and our records keep).
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
