//! Lock files: advisory locks that the system drops when their holder dies, however it dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::fs::{self, Context};

/// A lock that is held until this value is dropped or the process ends.
///
/// The file stays behind: removing a lock file that another process waits for would hand out the lock twice.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    path: PathBuf,
}

impl Lock {
    /// Waits for the exclusive lock.
    pub fn exclusive(path: &Path) -> Result<Self, fs::Error> {
        let file = open(path)?;
        file.lock().context("lock", path)?;
        Ok(Self { _file: file, path: path.to_owned() })
    }

    /// Waits for a shared lock, which any number of processes may hold while none holds the exclusive one.
    pub fn shared(path: &Path) -> Result<Self, fs::Error> {
        let file = open(path)?;
        file.lock_shared().context("lock", path)?;
        Ok(Self { _file: file, path: path.to_owned() })
    }

    /// Takes the exclusive lock, or returns `None` at once when somebody else holds it.
    pub fn try_exclusive(path: &Path) -> Result<Option<Self>, fs::Error> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file, path: path.to_owned() })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).context("lock", path),
        }
    }

    /// Returns the lock file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Returns whether a process holds the exclusive lock of this file; a missing file is not locked.
pub fn is_held(path: &Path) -> Result<bool, fs::Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).context("open", path),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error).context("lock", path),
    }
}

fn open(path: &Path) -> Result<File, fs::Error> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).context("open", path)
}
