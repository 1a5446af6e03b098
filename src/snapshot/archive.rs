//! Writes the zip: same tree, same bytes.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, System, ZipWriter};

use super::error::Error;
use super::manifest::{Manifest, Mode};
use crate::support::fs::Context;

/// Bytes of a file that decide whether it is worth deflating.
const SAMPLE: usize = 32 * 1024;

/// Returns whether deflating a sample saves anything worth the time; decided by content alone, so that archives repeat.
fn shrinks(sample: &[u8]) -> bool {
    if sample.len() < 1024 {
        return true;
    }
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::with_capacity(sample.len()), flate2::Compression::fast());
    let packed = encoder.write_all(sample).and_then(|()| encoder.finish());
    packed.is_ok_and(|packed| packed.len() < sample.len() / 20 * 19)
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

/// Writes the files of a manifest, hashing what is written; returns the first path whose content is no longer what the manifest says.
pub(super) fn write(root: &Path, manifest: &Manifest, output: File) -> Result<Option<String>, Error> {
    let mut zip = ZipWriter::new(BufWriter::with_capacity(1 << 20, output));
    let mut buffer = vec![0; 1 << 18];
    for (path, mode, digest) in manifest.files() {
        let options = SimpleFileOptions::DEFAULT
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(1))
            .unix_permissions(if mode == Mode::Executable { 0o755 } else { 0o644 })
            .system(System::Unix);
        let full = root.join(path);
        let mut hasher = Sha256::new();
        if mode == Mode::Link {
            let target = std::fs::read_link(&full).context("read", &full)?;
            let target = target.to_string_lossy();
            hasher.update(target.as_bytes());
            zip.add_symlink(path, target.as_ref(), options).map_err(Error::Zip)?;
        } else {
            let mut file = File::open(&full).context("read", &full)?;
            let size = file.metadata().context("read", &full)?.len();
            let head = read_full(&mut file, &mut buffer).context("read", &full)?;
            let method = if shrinks(&buffer[..head.min(SAMPLE)]) { CompressionMethod::Deflated } else { CompressionMethod::Stored };
            let level = (method == CompressionMethod::Deflated).then_some(1);
            let options = options.compression_method(method).compression_level(level);
            zip.start_file(path, options.large_file(size >= u64::from(u32::MAX) / 2)).map_err(Error::Zip)?;
            hasher.update(&buffer[..head]);
            zip.write_all(&buffer[..head]).map_err(|error| Error::Zip(error.into()))?;
            loop {
                let count = match file.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error).context("read", &full).map_err(Error::File),
                };
                hasher.update(&buffer[..count]);
                zip.write_all(&buffer[..count]).map_err(|error| Error::Zip(error.into()))?;
            }
        }
        if <[u8; 32]>::from(hasher.finalize()) != *digest {
            return Ok(Some(path.to_owned()));
        }
    }
    let mut output = zip.finish().map_err(Error::Zip)?;
    output.flush().map_err(|error| Error::Zip(error.into()))?;
    Ok(None)
}
