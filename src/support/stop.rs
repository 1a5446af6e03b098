//! Whether this process was asked to stop what it is busy with: for blocking work on other threads, which no future can cancel.
//!
//! It is asked once, by the one place that hears of the interruption, and never taken back: the process ends soon after.

use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Asks all blocking work of this process to clean up and end.
pub fn ask() {
    ASKED.store(true, Ordering::Relaxed);
}

/// Returns whether that was asked.
pub fn is_asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
