//! Lock files: advisory locks that the system drops when their holder dies, however it dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::fs::{self, Context};

/// A lock that is held until this value is dropped or the process ends.
///
/// The file stays behind: removing a lock file that another process waits for would hand out the lock twice.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Waits for the exclusive lock.
    pub fn exclusive(path: &Path) -> Result<Self, fs::Error> {
        let file = open(path)?;
        file.lock().context("lock", path)?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Waits for a shared lock, which any number of processes may hold while none holds the exclusive one.
    pub fn shared(path: &Path) -> Result<Self, fs::Error> {
        let file = open(path)?;
        file.lock_shared().context("lock", path)?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Takes the exclusive lock, or returns `None` at once when somebody else holds it.
    pub fn try_exclusive(path: &Path) -> Result<Option<Self>, fs::Error> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { file, path: path.to_owned() })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).context("lock", path),
        }
    }

    /// Returns the locked file, for the stdin of a program that must not be overtaken: while that runs the lock is held, even when this
    /// process is killed.
    pub fn share(&self) -> Result<File, fs::Error> {
        self.file.try_clone().context("share", &self.path)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_was_shared_with_a_program_is_held_until_that_ends() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("lock");
        let lock = Lock::exclusive(&path).expect("writable");
        let stdin = lock.share().expect("it is open");
        let mut child = std::process::Command::new("sleep").arg("600").stdin(stdin).spawn().expect("`sleep` exists");
        drop(lock);
        assert!(is_held(&path).expect("readable"));
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        assert!(!is_held(&path).expect("readable"));
    }
}
