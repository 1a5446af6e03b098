//! File operations whose errors name the act and the path.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::platform;

/// A file operation failed.
#[derive(Debug, thiserror::Error)]
#[error("could not {act} `{}`", path.display())]
pub struct Error {
    /// What was tried: `read`, `write`, `create`, ...
    pub act: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// Why it failed.
    #[source]
    pub source: io::Error,
}

impl Error {
    /// Returns whether the file system has no room or the quota is used up.
    pub fn is_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
    }

    /// Returns whether this user may not write there, or nobody can.
    pub fn is_refused(&self) -> bool {
        use io::ErrorKind::{NotADirectory, PermissionDenied, ReadOnlyFilesystem};
        self.act != "read" && matches!(self.source.kind(), NotADirectory | PermissionDenied | ReadOnlyFilesystem)
    }

    /// Returns whether the path does not exist.
    pub fn is_missing(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

impl super::hints::Hints for Error {
    fn hints(&self) -> Vec<String> {
        let path = self.path.display();
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                vec![format!(
                    "free some space on the file system of `{path}` (`sendoff delete` and `sendoff env prune` remove what is no longer needed), or set `SENDOFF_HOME` to a folder elsewhere"
                )]
            }
            _ if self.is_refused() => vec![super::dirs::ELSEWHERE.to_owned()],
            _ => Vec::new(),
        }
    }
}

/// Attaches the act and the path to an I/O result.
pub trait Context<T> {
    /// Names what was tried, and on what.
    fn context(self, act: &'static str, path: impl AsRef<Path>) -> Result<T, Error>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, act: &'static str, path: impl AsRef<Path>) -> Result<T, Error> {
        self.map_err(|source| Error { act, path: path.as_ref().to_owned(), source })
    }
}

/// Reads a whole file.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>, Error> {
    std::fs::read(&path).context("read", path)
}

/// Reads a whole file as UTF-8.
pub fn read_to_string(path: impl AsRef<Path>) -> Result<String, Error> {
    std::fs::read_to_string(&path).context("read", path)
}

/// Tries whether a folder can be written to, and returns its nearest folder that exists; makes nothing that stays.
pub fn try_writing(folder: &Path) -> Result<PathBuf, Error> {
    let nearest = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
    tempfile::tempfile_in(nearest).context("write to", nearest)?;
    Ok(nearest.to_owned())
}

/// Creates a folder and its parents; an existing folder is fine.
pub fn create_dir_all(path: impl AsRef<Path>) -> Result<(), Error> {
    std::fs::create_dir_all(&path).context("create", path)
}

/// Creates a folder of ours and its parents, readable by its user only.
pub fn create_private_dir_all(path: impl AsRef<Path>) -> Result<(), Error> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    platform::for_us_alone(&mut builder).create(&path).context("create", path)
}

/// Removes a file; a missing one is fine.
pub fn remove_file(path: impl AsRef<Path>) -> Result<(), Error> {
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.context("remove", path),
    }
}

/// Removes a folder with its content; a missing one is fine. Read-only folders inside do not stop it.
pub fn remove_dir_all(path: impl AsRef<Path>) -> Result<(), Error> {
    match std::fs::remove_dir_all(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            for entry in walkdir::WalkDir::new(&path).into_iter().flatten().filter(|entry| entry.file_type().is_dir()) {
                if let Some(permissions) = platform::permissions(0o700) {
                    let _ = std::fs::set_permissions(entry.path(), permissions);
                }
            }
            std::fs::remove_dir_all(&path).context("remove", path)
        }
        result => result.context("remove", path),
    }
}

/// Replaces a file in one step: readers see the old content or the new, also after a crash.
///
/// Writes beside it, syncs, renames, syncs the folder.
pub fn write_atomic(path: impl AsRef<Path>, content: &[u8]) -> Result<(), Error> {
    write_atomic_with_mode(path.as_ref(), content, None)
}

/// Like [`write_atomic`], for content that only its user may read (mode 0600).
pub fn write_private(path: impl AsRef<Path>, content: &[u8]) -> Result<(), Error> {
    write_atomic_with_mode(path.as_ref(), content, Some(0o600))
}

fn write_atomic_with_mode(path: &Path, content: &[u8], mode: Option<u32>) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".tmp-");
    if let Some(permissions) = platform::permissions(mode.unwrap_or(0o644)) {
        builder.permissions(permissions);
    }
    let mut file = builder.tempfile_in(folder).context("write", path)?;
    file.write_all(content).context("write", path)?;
    file.as_file().sync_data().context("write", path)?;
    file.persist(path).map_err(|error| error.error).context("write", path)?;
    sync_dir(folder)
}

/// Writes a file where it is, for content that nobody reads yet.
pub fn write_in_place(path: impl AsRef<Path>, content: &[u8]) -> Result<(), Error> {
    let mut file = OpenOptions::new().write(true).truncate(true).open(&path).context("write", &path)?;
    file.write_all(content).and_then(|()| file.sync_data()).context("write", path)
}

/// Makes renames and creations inside a folder durable.
pub fn sync_dir(folder: &Path) -> Result<(), Error> {
    #[cfg(unix)]
    File::open(folder).and_then(|folder| folder.sync_all()).context("sync", folder)?;
    Ok(())
}

/// Creates a file that must not exist yet.
pub fn create_new(path: impl AsRef<Path>) -> Result<File, Error> {
    OpenOptions::new().write(true).read(true).create_new(true).open(&path).context("create", path)
}

/// Opens a file for appending, creating it when missing.
pub fn append(path: impl AsRef<Path>) -> Result<File, Error> {
    OpenOptions::new().append(true).create(true).open(&path).context("open", path)
}
