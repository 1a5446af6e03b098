//! Files on their way into a container and out of it, as tar archives. No path of this machine means anything to the engine.

use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::engine::{self, Tar};
use crate::job::User;
use crate::support::platform;

/// Bytes that are passed on at once.
const PIECE: usize = 256 << 10;

/// Pieces that wait for the engine.
const WAITING: usize = 4;

/// Writes an archive, all of whose entries belong to one user.
pub(super) struct Packer<W: Write> {
    builder: tar::Builder<W>,
    owner: User,
    time: u64,
}

impl<W: Write> Packer<W> {
    fn new(writer: W, owner: User) -> Self {
        let mut builder = tar::Builder::new(writer);
        builder.follow_symlinks(false);
        Self { builder, owner, time: u64::try_from(crate::support::clock::now().as_second()).unwrap_or(0) }
    }

    fn header(&self, kind: tar::EntryType, size: u64, mode: u32) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(mode);
        header.set_uid(self.owner.uid.into());
        header.set_gid(self.owner.gid.into());
        header.set_mtime(self.time);
        header
    }

    /// Adds a folder.
    pub(super) fn folder(&mut self, name: &str, mode: u32) -> io::Result<()> {
        let mut header = self.header(tar::EntryType::Directory, 0, mode);
        self.builder.append_data(&mut header, format!("{name}/"), io::empty())
    }

    /// Adds a file by its content.
    pub(super) fn bytes(&mut self, name: &str, content: &[u8], mode: u32) -> io::Result<()> {
        let mut header = self.header(tar::EntryType::Regular, content.len() as u64, mode);
        self.builder.append_data(&mut header, name, content)
    }

    /// Adds a file of this machine, or a folder with all that is in it. Links are kept as they are; sockets and pipes are passed over.
    pub(super) fn tree(&mut self, name: &str, source: &Path) -> io::Result<()> {
        self.all(name, source, 0o755)
    }

    /// Adds what a job may only read, as it is where it is bound and not copied: see [`Packer::tree`].
    pub(super) fn input(&mut self, name: &str, source: &Path) -> io::Result<()> {
        self.all(name, source, 0o555)
    }

    fn all(&mut self, name: &str, source: &Path, most: u32) -> io::Result<()> {
        for found in walkdir::WalkDir::new(source).sort_by_file_name() {
            let found = found?;
            let rest = found.path().strip_prefix(source).unwrap_or(Path::new(""));
            let goal = Path::new(name).join(rest);
            // What the user names is followed, what is found below is not.
            let metadata = if found.depth() == 0 { std::fs::metadata(found.path())? } else { std::fs::symlink_metadata(found.path())? };
            let kind = metadata.file_type();
            let mode = most & if platform::is_executable(&metadata) || kind.is_dir() { 0o755 } else { 0o644 };
            if kind.is_dir() {
                let mut header = self.header(tar::EntryType::Directory, 0, mode);
                self.builder.append_data(&mut header, goal.join(""), io::empty())?;
            } else if kind.is_file() {
                let file = std::fs::File::open(found.path())?;
                let size = file.metadata()?.len();
                let mut header = self.header(tar::EntryType::Regular, size, mode);
                // One that grows meanwhile is cut, one that shrinks is an error.
                self.builder.append_data(&mut header, goal, file.take(size))?;
            } else if kind.is_symlink() {
                let mut header = self.header(tar::EntryType::Symlink, 0, 0o777);
                self.builder.append_link(&mut header, goal, std::fs::read_link(found.path())?)?;
            }
        }
        Ok(())
    }
}

/// Packs on a thread of its own, while the engine takes what is ready.
pub(super) fn pack(owner: User, fill: impl FnOnce(&mut Packer<BufWriter<Pieces>>) -> io::Result<()> + Send + 'static) -> Tar {
    let (sender, receiver) = mpsc::channel(WAITING);
    std::thread::spawn(move || {
        let mut packer = Packer::new(BufWriter::with_capacity(PIECE, Pieces(sender.clone())), owner);
        let packed = fill(&mut packer).and_then(|()| packer.builder.into_inner()?.flush());
        if let Err(error) = packed {
            // The engine hears of it as a body that breaks off, and unpacks nothing more.
            let _ = sender.blocking_send(Err(error));
        }
    });
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|piece| (piece, receiver)) });
    Tar::Stream(pieces.boxed())
}

/// Where the packed bytes go.
pub(super) struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads what an engine gives, on a thread that may block.
pub(super) struct Pull<'a> {
    runtime: &'a Runtime,
    stream: Pin<Box<dyn Stream<Item = Result<Bytes, engine::Error>> + Send>>,
    rest: Bytes,
}

impl<'a> Pull<'a> {
    pub(super) fn new(runtime: &'a Runtime, stream: impl Stream<Item = Result<Bytes, engine::Error>> + Send + 'static) -> Self {
        Self { runtime, stream: stream.boxed(), rest: Bytes::new() }
    }
}

impl Read for Pull<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.runtime.block_on(self.stream.next()) {
                Some(Ok(piece)) => self.rest = piece,
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Ok(0),
            }
        }
        let count = self.rest.len().min(into.len());
        into[..count].copy_from_slice(&self.rest.split_to(count));
        Ok(count)
    }
}
