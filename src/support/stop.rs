//! Whether this process was asked to stop what it is busy with: for blocking work on other threads, which no future can cancel.
//!
//! It is asked once, by the one place that hears of the interruption, and never taken back: the process ends soon after.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

static ASKED: AtomicBool = AtomicBool::new(false);
static AT_WORK: AtomicUsize = AtomicUsize::new(0);

/// Somebody who has to clean up before the process may end; while such a value lives, [`is_quiet`] is false.
#[derive(Debug)]
pub struct AtWork(());

impl AtWork {
    /// Says that work begins.
    pub fn begin() -> Self {
        AT_WORK.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Returns whether nobody has anything to clean up.
pub fn is_quiet() -> bool {
    AT_WORK.load(Ordering::SeqCst) == 0
}

/// Asks all blocking work of this process to clean up and end.
pub fn ask() {
    ASKED.store(true, Ordering::Relaxed);
}

/// Returns whether that was asked.
pub fn is_asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// Waits on a thread that may block, and no longer than until it is asked to stop.
pub fn pause(length: Duration) {
    let end = Instant::now() + length;
    while !is_asked() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
}
