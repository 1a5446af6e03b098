//! Where snapshots are kept: `cache/snapshots/<id>.zip` and `<id>.manifest`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::cache::{self, StatCache};
use super::error::{Error, Problem};
use super::listing::{File, Listing, list};
use super::manifest::{Manifest, Mode};
use super::{SnapshotId, Spec, archive};
use crate::support::fs::{self, Context};
use crate::support::lock::Lock;

/// An archive in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The snapshot.
    pub id: SnapshotId,
    /// The zip.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
}

/// The store of snapshots below a cache folder.
#[derive(Debug, Clone)]
pub struct Store {
    cache: PathBuf,
    renews: bool,
}

impl Store {
    /// Names the store; creates nothing.
    pub fn new(cache: &Path) -> Self {
        Self { cache: cache.to_owned(), renews: true }
    }

    /// Names the store for somebody who only looks: a scan then reads the stat cache and leaves it as it is.
    pub fn looking(cache: &Path) -> Self {
        Self { cache: cache.to_owned(), renews: false }
    }

    fn file(&self, id: &SnapshotId, extension: &str) -> PathBuf {
        self.cache.join("snapshots").join(format!("{id}.{extension}"))
    }

    /// Hashes the files of a listing, through the stat cache, which it renews unless it only looks.
    pub fn scan(&self, spec: &Spec, listing: &Listing) -> Result<Manifest, Error> {
        let root = spec.root.canonicalize().context("open", &spec.root)?;
        let path = cache::path_for(&self.cache, &root);
        let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let known = StatCache::read(&path).digests(&listing.files);
        let manifest: Manifest = listing
            .files
            .par_iter()
            .zip(&known)
            .map_init(Vec::new, |buffer, (file, known)| {
                let digest = known.map_or_else(|| digest(&root, file, buffer), Ok);
                let unreadable = |error: std::io::Error| Problem { path: file.path.clone(), reason: error.to_string() };
                Ok((file.path.clone(), file.mode, digest.map_err(unreadable)?))
            })
            .collect::<Result<Vec<_>, Problem>>()
            .map_err(|problem| Error::Unpackable(vec![problem]))?
            .into_iter()
            .collect();
        if self.renews && known.contains(&None) {
            let digests = manifest.files().map(|(_, _, digest)| digest);
            // A cache that cannot be written costs time, nothing else.
            let _ = StatCache::write(&path, i64::try_from(started).unwrap_or(0), listing.files.iter().zip(digests));
        }
        Ok(manifest)
    }

    /// Packs a manifest's files, once even when many processes pack the same; a file that changed meanwhile starts it over once.
    pub fn pack(&self, spec: &Spec, manifest: Manifest) -> Result<(Manifest, Packed), Error> {
        let root = spec.root.canonicalize().context("open", &spec.root)?;
        let mut manifest = manifest;
        let mut restless = None;
        for _ in 0..2 {
            let id = manifest.id();
            let goal = self.file(&id, "zip");
            if let Some(packed) = self.get(&id) {
                return Ok((manifest, packed));
            }
            fs::create_private_dir_all(self.cache.join("snapshots"))?;
            let _lock = Lock::exclusive(&self.cache.join("snapshots").join(".lock"))?;
            if let Some(packed) = self.get(&id) {
                return Ok((manifest, packed));
            }
            let folder = self.cache.join("snapshots");
            let temporary = tempfile::Builder::new().prefix(".packing-").tempfile_in(&folder).context("write", &folder)?;
            let output = temporary.as_file().try_clone().context("write", &goal)?;
            match archive::write(&root, &manifest, output) {
                Ok(None) => {
                    fs::write_atomic(self.file(&id, "manifest"), manifest.text().as_bytes())?;
                    temporary.persist(&goal).map_err(|error| error.error).context("write", &goal)?;
                    let size = std::fs::metadata(&goal).context("read", &goal)?.len();
                    return Ok((manifest, Packed { id, path: goal, size }));
                }
                Ok(Some(path)) => restless = Some(root.join(path)),
                Err(Error::File(error)) if error.is_missing() => restless = Some(error.path),
                Err(error) => return Err(error),
            }
            manifest = self.scan(spec, &list(spec)?)?;
        }
        Err(Error::Restless(restless.unwrap_or(root)))
    }

    /// Returns a stored snapshot and notes that it was used.
    pub fn get(&self, id: &SnapshotId) -> Option<Packed> {
        let path = self.file(id, "zip");
        let size = std::fs::metadata(&path).ok()?.len();
        let _ = std::fs::File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Some(Packed { id: id.clone(), path, size })
    }

    /// Returns the manifest of a stored snapshot.
    pub fn manifest(&self, id: &SnapshotId) -> Option<Manifest> {
        Manifest::parse(&std::fs::read_to_string(self.file(id, "manifest")).ok()?)
    }

    /// Returns the stored archives and when each was last used.
    pub fn stored(&self) -> Vec<(Packed, SystemTime)> {
        let Ok(entries) = std::fs::read_dir(self.cache.join("snapshots")) else { return Vec::new() };
        entries
            .flatten()
            .filter_map(|entry| {
                let path = entry.path();
                let id = path.file_name()?.to_str()?.strip_suffix(".zip")?.to_owned();
                let metadata = entry.metadata().ok()?;
                Some((Packed { id: SnapshotId::new(id), path, size: metadata.len() }, metadata.modified().ok()?))
            })
            .collect()
    }

    /// Returns the stat caches of source directories other than these.
    pub fn stale_caches(&self, roots: &[&Path]) -> Vec<PathBuf> {
        let real = |root: &Path| root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let needed: Vec<PathBuf> = roots.iter().map(|root| cache::path_for(&self.cache, &real(root))).collect();
        let Ok(entries) = std::fs::read_dir(self.cache.join("stat")) else { return Vec::new() };
        entries.flatten().map(|entry| entry.path()).filter(|path| !needed.contains(path)).collect()
    }

    /// Removes a stored snapshot.
    pub fn remove(&self, id: &SnapshotId) -> Result<(), Error> {
        fs::remove_file(self.file(id, "zip"))?;
        Ok(fs::remove_file(self.file(id, "manifest"))?)
    }
}

/// Returns the SHA-256 of a file's content, or of a link's target.
fn digest(root: &Path, file: &File, buffer: &mut Vec<u8>) -> std::io::Result<[u8; 32]> {
    let path = root.join(&file.path);
    if file.mode == Mode::Link {
        return Ok(Sha256::digest(std::fs::read_link(path)?.as_os_str().as_encoded_bytes()).into());
    }
    buffer.resize(1 << 18, 0);
    let mut input = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    loop {
        match input.read(buffer) {
            Ok(0) => return Ok(hasher.finalize().into()),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    fn spec(root: &Path) -> Spec {
        Spec { root: root.to_owned(), include: Vec::new(), allow_files: Vec::new(), max_size: 1 << 30 }
    }

    fn pack(root: &Path, cache: &Path) -> Packed {
        let (spec, store) = (spec(root), Store::new(cache));
        let manifest = store.scan(&spec, &list(&spec).expect("packable")).expect("readable");
        store.pack(&spec, manifest).expect("writable").1
    }

    fn sample() -> tempfile::TempDir {
        let tree = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(tree.path().join("d")).expect("writable");
        std::fs::write(tree.path().join("d/é x.txt"), "hello").expect("writable");
        std::fs::write(tree.path().join("empty"), "").expect("writable");
        std::fs::write(tree.path().join("big"), "0123456789".repeat(60_000)).expect("writable");
        // Noise, which is stored and not deflated.
        let noise: Vec<u8> = (0..4000_u32).flat_map(|number| <[u8; 32]>::from(Sha256::digest(number.to_le_bytes()))).collect();
        std::fs::write(tree.path().join("noise.bin"), noise).expect("writable");
        std::fs::write(tree.path().join("run.sh"), "#!/bin/sh\n").expect("writable");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(tree.path().join("run.sh"), mode).expect("writable");
        std::os::unix::fs::symlink("d/é x.txt", tree.path().join("link")).expect("writable");
        tree
    }

    #[test]
    fn the_same_tree_gives_the_same_bytes() {
        let (tree, one, two) = (sample(), tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let (one, two) = (pack(tree.path(), one.path()), pack(tree.path(), two.path()));
        assert_eq!(one.id, two.id);
        assert!(std::fs::read(&one.path).expect("readable") == std::fs::read(&two.path).expect("readable"));
    }

    fn unpack(archive: &Path, id: &str, goal: &Path) -> std::process::Output {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/unpack.py");
        Command::new("python3").args(["-I", "-S"]).arg(program).arg(archive).arg(id).arg(goal).output().expect("python3 exists")
    }

    #[test]
    fn a_target_unpacks_exactly_what_was_packed() {
        let (tree, cache, goal) = (sample(), tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let packed = pack(tree.path(), cache.path());
        let output = unpack(&packed.path, packed.id.as_str(), &goal.path().join("w"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let again = pack(&goal.path().join("w"), cache.path());
        assert_eq!(again.id, packed.id);
    }

    #[test]
    fn a_damaged_archive_is_refused() {
        let (tree, cache, goal) = (sample(), tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let packed = pack(tree.path(), cache.path());
        let mut bytes = std::fs::read(&packed.path).expect("readable");
        bytes[45] ^= 0xff;
        std::fs::write(&packed.path, bytes).expect("writable");
        assert!(!unpack(&packed.path, packed.id.as_str(), &goal.path().join("w")).status.success());
        assert!(!unpack(&packed.path, &"0".repeat(64), &goal.path().join("v")).status.success());
    }

    /// A file of a random tree: some deflate, some do not, some are too large to be deflated as a whole.
    #[derive(Debug, Clone)]
    enum Content {
        Noise(usize),
        Pattern(usize),
        Zeros(usize),
        Link,
    }

    fn content() -> impl Strategy<Value = Content> {
        prop_oneof![
            4 => (0..70_000_usize).prop_map(Content::Noise),
            4 => (0..70_000_usize).prop_map(Content::Pattern),
            1 => (4_000_000..6_000_000_usize).prop_map(Content::Pattern),
            1 => (0..6_000_000_usize).prop_map(Content::Zeros),
            1 => Just(Content::Link),
        ]
    }

    fn write(path: &Path, content: &Content, executable: bool) {
        std::fs::create_dir_all(path.parent().expect("it is below the root")).expect("writable");
        let bytes = match content {
            Content::Link => return std::os::unix::fs::symlink("nowhere yet", path).expect("writable"),
            Content::Noise(size) => {
                (0_u32..).flat_map(|number| <[u8; 32]>::from(Sha256::digest(number.to_le_bytes()))).take(*size).collect::<Vec<u8>>()
            }
            Content::Zeros(size) => vec![0; *size],
            Content::Pattern(size) => (0_u32..).flat_map(u32::to_le_bytes).take(*size).collect(),
        };
        std::fs::write(path, bytes).expect("writable");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(if executable { 0o755 } else { 0o644 });
        std::fs::set_permissions(path, mode).expect("writable");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn any_tree_is_packed_and_unpacked_as_it_was(
            files in proptest::collection::btree_map(r"[pq]/[a-c\\ \né#-]{1,5}[.]d|[a-c \n-]{1,4}[.]e", (content(), any::<bool>()), 1..9),
        ) {
            let (tree, cache, goal) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
            for (path, (content, executable)) in &files {
                write(&tree.path().join(path), content, *executable);
            }
            let packed = pack(tree.path(), cache.path());
            let manifest = Store::new(cache.path()).manifest(&packed.id).expect("it was stored");
            prop_assert_eq!(manifest.files().map(|(path, ..)| path).collect::<Vec<_>>(), files.keys().collect::<Vec<_>>());
            let output = unpack(&packed.path, packed.id.as_str(), &goal.path().join("w"));
            prop_assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let (spec, store) = (spec(&goal.path().join("w")), Store::new(cache.path()));
            let again = store.scan(&spec, &list(&spec).expect("packable")).expect("readable");
            prop_assert_eq!(again, manifest);
        }
    }
}
