//! The files that a build may copy, as a tar archive.

use std::path::Path;

use bytes::Bytes;

use crate::support::platform;

/// Collects files into an archive whose bytes depend on their names and contents alone.
pub struct Context(tar::Builder<Vec<u8>>);

impl Default for Context {
    fn default() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Context")
    }
}

/// Whether a file is a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is not.
    Plain,
    /// It is.
    Program,
}

impl Mode {
    /// Returns what a file of this machine is; what cannot be read is no program.
    pub fn of(path: &Path) -> Self {
        let is_program = path.metadata().is_ok_and(|metadata| platform::is_executable(&metadata));
        if is_program { Self::Program } else { Self::Plain }
    }
}

impl Context {
    /// Adds a file.
    pub fn file(&mut self, path: impl AsRef<Path>, mode: Mode, bytes: &[u8]) {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(if mode == Mode::Program { 0o755 } else { 0o644 });
        self.0.append_data(&mut header, path, bytes).expect("writing to memory does not fail, and paths are relative");
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: impl AsRef<Path>, to: impl AsRef<Path>) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        self.0.append_link(&mut header, path, to).expect("writing to memory does not fail, and paths are relative");
    }

    /// Returns the archive.
    pub fn finish(self) -> Bytes {
        Bytes::from(self.0.into_inner().expect("writing to memory does not fail"))
    }
}
