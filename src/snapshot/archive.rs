//! Writes the zip: same tree, same bytes.
//!
//! Files are read, hashed and deflated on all cores, and written in the manifest's order by the calling thread. A bounded window of files
//! is under way at a time, so memory does not grow with the tree; a file that is larger than a part of the window is deflated by the writing
//! thread itself, piece by piece, while the cores go on with what follows it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::mem::ManuallyDrop;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};

use sha2::{Digest, Sha256};
use zip::write::{PreparedZipFile, SimpleFileOptions, ZipFileBuilder};
use zip::{CompressionMethod, System, ZipWriter};

use super::error::Error;
use super::manifest::{Manifest, Mode};
use crate::support::fs::Context;
use crate::support::stop;

/// Bytes of content that are under way at once.
const WINDOW: u64 = 24 << 20;
/// The size of a file up to which it is deflated as a whole.
const LARGE: u64 = 4 << 20;
/// What a file costs in the window beside its content, so that the number of empty files is bounded too.
const OVERHEAD: u64 = 64 << 10;
/// Bytes of a file that decide whether it is worth deflating.
const SAMPLE: usize = 32 << 10;

/// What a core made of a file.
enum Prepared {
    Whole(PreparedZipFile),
    Link(String),
    Large(File),
    /// Its content is not what the manifest says.
    Changed,
}

/// A file that a core is busy with, or has finished.
struct UnderWay<'a> {
    coming: Coming<'a>,
    /// Bytes of the window that it takes.
    cost: u64,
    prepared: Receiver<Result<Prepared, Error>>,
}

/// Writes the files of a manifest, hashing what is written; returns the first path whose content is no longer what the manifest says.
pub(super) fn write(root: &Path, manifest: &Manifest, output: File) -> Result<Option<String>, Error> {
    // Its drop would try to end a file that failed, and print that it cannot.
    let mut zip = ManuallyDrop::new(ZipWriter::new(BufWriter::with_capacity(1 << 20, output)));
    let changed: Result<Option<String>, Error> = rayon::in_place_scope(|scope| {
        let mut files = manifest.files();
        let (mut window, mut taken) = (VecDeque::new(), 0);
        loop {
            while taken < WINDOW
                && let Some((path, mode, digest)) = files.next()
            {
                let coming = Coming { path, mode, digest };
                let (cost, (sender, prepared)) = (coming.cost(root), mpsc::sync_channel(1));
                // Nobody receives once the writing has failed.
                scope.spawn(move |_| drop(sender.send(coming.prepare(root))));
                window.push_back(UnderWay { coming, cost, prepared });
                taken += cost;
            }
            let Some(UnderWay { coming, cost, prepared }) = window.pop_front() else { return Ok(None) };
            if stop::is_asked() {
                return Err(io::Error::from(io::ErrorKind::Interrupted)).context("pack", root).map_err(Error::File);
            }
            let prepared = prepared.recv().expect("a core that does not send has panicked, and the scope passes that on")?;
            taken -= cost;
            if !coming.write(prepared, &mut zip)? {
                return Ok(Some(coming.path.to_owned()));
            }
        }
    });
    if let Some(path) = changed? {
        return Ok(Some(path));
    }
    let mut output = ManuallyDrop::into_inner(zip).finish().map_err(Error::Zip)?;
    output.flush().map_err(|error| Error::Zip(error.into()))?;
    Ok(None)
}

/// A file on its way into the archive.
#[derive(Clone, Copy)]
struct Coming<'a> {
    path: &'a str,
    mode: Mode,
    digest: &'a [u8; 32],
}

impl Coming<'_> {
    /// Returns the bytes that it takes of the window, by its size now.
    fn cost(self, root: &Path) -> u64 {
        let size = root.join(self.path).symlink_metadata().map_or(0, |metadata| metadata.len());
        OVERHEAD + if size > LARGE { 0 } else { size }
    }

    /// Reads a file, and deflates it when it is not large.
    fn prepare(self, root: &Path) -> Result<Prepared, Error> {
        let full = root.join(self.path);
        if self.mode == Mode::Link {
            let target = std::fs::read_link(&full).context("read", &full)?;
            let target = target.to_str().filter(|target| self.is(Sha256::digest(target)));
            return Ok(target.map_or(Prepared::Changed, |target| Prepared::Link(target.to_owned())));
        }
        let mut file = File::open(&full).context("read", &full)?;
        let size = file.metadata().context("read", &full)?.len();
        if size > LARGE {
            return Ok(Prepared::Large(file));
        }
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
        // A file that grows meanwhile has changed, however much more there is.
        (&mut file).take(size + 1).read_to_end(&mut content).context("read", &full)?;
        if !self.is(Sha256::digest(&content)) {
            return Ok(Prepared::Changed);
        }
        let mut builder = ZipFileBuilder::new(self.path, self.options(method(&content), size)).map_err(Error::Zip)?;
        builder.write_all(&content).map_err(|error| Error::Zip(error.into()))?;
        drop(content);
        Ok(Prepared::Whole(builder.finish().map_err(Error::Zip)?))
    }

    /// Appends a file; returns whether it is what the manifest says.
    fn write(self, prepared: Prepared, zip: &mut ZipWriter<BufWriter<File>>) -> Result<bool, Error> {
        match prepared {
            Prepared::Whole(file) => zip.add_prepared_file(file).map_err(Error::Zip)?,
            Prepared::Link(target) => {
                zip.add_symlink(self.path, target, self.options(CompressionMethod::Stored, 0)).map_err(Error::Zip)?;
            }
            Prepared::Large(file) => return self.write_large(file, zip),
            Prepared::Changed => return Ok(false),
        }
        Ok(true)
    }

    fn write_large(self, mut file: File, zip: &mut ZipWriter<BufWriter<File>>) -> Result<bool, Error> {
        let size = file.metadata().context("read", self.path)?.len();
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 18];
        let mut count = read_full(&mut file, &mut buffer).context("read", self.path)?;
        zip.start_file(self.path, self.options(method(&buffer[..count]), size)).map_err(Error::Zip)?;
        while count > 0 {
            hasher.update(&buffer[..count]);
            zip.write_all(&buffer[..count]).map_err(|error| Error::Zip(error.into()))?;
            count = read_full(&mut file, &mut buffer).context("read", self.path)?;
        }
        Ok(self.is(hasher.finalize()))
    }

    fn is(self, digest: impl Into<[u8; 32]>) -> bool {
        digest.into() == *self.digest
    }

    /// Nothing of the file but its mode: no times, and no system but one.
    fn options(self, method: CompressionMethod, size: u64) -> SimpleFileOptions {
        SimpleFileOptions::DEFAULT
            .compression_method(method)
            .compression_level((method == CompressionMethod::Deflated).then_some(1))
            .unix_permissions(if self.mode == Mode::Executable { 0o755 } else { 0o644 })
            .large_file(size >= u64::from(u32::MAX) / 2)
            .system(System::Unix)
    }
}

/// Chooses whether deflating saves anything worth the time; decided by content alone, so that archives repeat.
fn method(content: &[u8]) -> CompressionMethod {
    let sample = &content[..content.len().min(SAMPLE)];
    if sample.len() < 1024 {
        return CompressionMethod::Deflated;
    }
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::with_capacity(sample.len()), flate2::Compression::fast());
    let packed = encoder.write_all(sample).and_then(|()| encoder.finish());
    let shrinks = packed.is_ok_and(|packed| packed.len() < sample.len() / 20 * 19);
    if shrinks { CompressionMethod::Deflated } else { CompressionMethod::Stored }
}

/// Reads until the buffer is full or the file ends.
fn read_full(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
