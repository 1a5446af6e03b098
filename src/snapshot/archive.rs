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
            zip.start_file(path, options.large_file(size >= u64::from(u32::MAX) / 2)).map_err(Error::Zip)?;
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
