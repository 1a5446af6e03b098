//! When a relay was last asked for something, as the time of a file; only a relay that ends by itself has one.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use crate::support::{clock, fs};

/// The file's name.
const USED: &str = "used";

/// How many milliseconds may pass before the file is touched again.
const PRECISION: i64 = 10_000;

/// Notes that a relay is used.
#[derive(Debug)]
pub(super) struct Used {
    path: PathBuf,
    noted: AtomicI64,
}

impl Used {
    pub(super) fn new(folder: &Path) -> Self {
        Self { path: folder.join(USED), noted: AtomicI64::new(0) }
    }

    /// Touches the file, where there is one, if that was not done just now.
    pub(super) fn note(&self) {
        let now = clock::now().as_millisecond();
        if now - self.noted.load(Ordering::Relaxed) < PRECISION {
            return;
        }
        self.noted.store(now, Ordering::Relaxed);
        if let Ok(file) = File::options().write(true).open(&self.path) {
            let _ = file.set_modified(SystemTime::now());
        }
    }
}

/// Begins to keep the time.
pub(super) fn begin(folder: &Path) -> Result<(), fs::Error> {
    fs::write_private(folder.join(USED), b"")
}

/// Returns for how long nobody has asked.
pub(super) fn idle(folder: &Path) -> Duration {
    let last = std::fs::metadata(folder.join(USED)).and_then(|metadata| metadata.modified()).ok();
    last.and_then(|last| SystemTime::now().duration_since(last).ok()).unwrap_or_default()
}
