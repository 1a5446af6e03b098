//! Reads every file below a folder and hashes it with SHA-256 on all cores; prints how many files and bytes there were.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use sha2::{Digest, Sha256};

fn files(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() { files(&entry.path(), found)? } else { found.push(entry.path()) }
    }
    Ok(())
}

fn hash(path: &Path, buffer: &mut [u8]) -> std::io::Result<(u64, [u8; 32])> {
    let (mut file, mut hasher, mut bytes) = (File::open(path)?, Sha256::new(), 0);
    loop {
        let count = file.read(buffer)?;
        if count == 0 {
            return Ok((bytes, hasher.finalize().into()));
        }
        hasher.update(&buffer[..count]);
        bytes += count as u64;
    }
}

fn main() -> std::io::Result<()> {
    let root = std::env::args_os().nth(1).ok_or_else(|| std::io::Error::other("usage: hasher FOLDER"))?;
    let mut found = Vec::new();
    files(Path::new(&root), &mut found)?;
    let (next, bytes, mixed) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let work = || {
            let mut buffer = vec![0; 1 << 18];
            while let Some(path) = found.get(next.fetch_add(1, Ordering::Relaxed)) {
                let (count, digest) = hash(path, &mut buffer)?;
                bytes.fetch_add(count, Ordering::Relaxed);
                // Printed below, so that no hash can be left out.
                mixed.fetch_xor(u64::from_le_bytes(digest[..8].try_into().expect("eight bytes")), Ordering::Relaxed);
            }
            Ok::<(), std::io::Error>(())
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })?;
    println!("{} {} {:016x}", found.len(), bytes.into_inner(), mixed.into_inner());
    Ok(())
}
