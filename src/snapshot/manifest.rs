//! The list of a snapshot's files with their hashes; its own hash is the snapshot's name.

use sha2::{Digest, Sha256};

use super::SnapshotId;

/// Bytes of the text that are hashed at once.
const PIECE: usize = 64 << 10;

/// What an entry of a snapshot is, by git's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// A file: 100644.
    File,
    /// A file that may be executed: 100755.
    Executable,
    /// A symbolic link, whose content is its target: 120000.
    Link,
}

impl Mode {
    /// Returns git's six digits.
    pub fn digits(self) -> &'static str {
        match self {
            Self::File => "100644",
            Self::Executable => "100755",
            Self::Link => "120000",
        }
    }
}

/// The files of a snapshot.
///
/// As text: a line `<mode> <SHA-256 of the content> <path>` per file, ended by a newline, sorted by the path's bytes. In a path, a backslash
/// is written `\\` and a newline `\n`. For one file `a.txt` that holds `hello`:
///
/// ```text
/// 100644 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 a.txt
/// ```
///
/// and its id is `9506c1d9a915f2fa6aba8cd30e5d137a...` (the unit test has it whole).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// Sorted by path, each path once: a tree of a hundred thousand files is built and read faster this way than as a map.
    files: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    path: String,
    mode: Mode,
    digest: [u8; 32],
}

impl Entry {
    fn write_line(&self, text: &mut String) {
        text.push_str(self.mode.digits());
        text.push(' ');
        push_hex(&self.digest, text);
        text.push(' ');
        if self.path.bytes().any(|byte| matches!(byte, b'\\' | b'\n')) {
            text.push_str(&self.path.replace('\\', "\\\\").replace('\n', "\\n"));
        } else {
            text.push_str(&self.path);
        }
        text.push('\n');
    }
}

/// How a path differs between two manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Only the second has it.
    Added,
    /// Only the first has it.
    Removed,
    /// Its content or mode differs.
    Changed,
}

impl FromIterator<(String, Mode, [u8; 32])> for Manifest {
    /// Takes the files in any order; of two with one path the first counts.
    fn from_iter<T: IntoIterator<Item = (String, Mode, [u8; 32])>>(files: T) -> Self {
        let mut files: Vec<Entry> = files.into_iter().map(|(path, mode, digest)| Entry { path, mode, digest }).collect();
        // What a listing gives is in order already.
        if !files.is_sorted_by(|a, b| a.path < b.path) {
            files.sort_by(|a, b| a.path.cmp(&b.path));
            files.dedup_by(|later, first| later.path == first.path);
        }
        Self { files }
    }
}

impl Manifest {
    /// Returns the files by path.
    pub fn files(&self) -> impl ExactSizeIterator<Item = (&str, Mode, &[u8; 32])> {
        self.files.iter().map(|entry| (entry.path.as_str(), entry.mode, &entry.digest))
    }

    /// Returns the text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for entry in &self.files {
            entry.write_line(&mut text);
        }
        text
    }

    /// Returns the snapshot's name.
    pub fn id(&self) -> SnapshotId {
        // By pieces: the text of a large tree is never whole in memory.
        let (mut hasher, mut piece) = (Sha256::new(), String::with_capacity(PIECE + 8192));
        for entry in &self.files {
            entry.write_line(&mut piece);
            if piece.len() > PIECE {
                hasher.update(piece.as_bytes());
                piece.clear();
            }
        }
        hasher.update(piece.as_bytes());
        let mut digits = String::with_capacity(64);
        push_hex(&hasher.finalize().into(), &mut digits);
        SnapshotId::new(digits)
    }

    /// Reads the text back; `None` when it is not a manifest.
    pub fn parse(text: &str) -> Option<Self> {
        text.split_terminator('\n').map(parse_line).collect()
    }

    /// Returns the paths in which another manifest differs from this one.
    pub fn changes(&self, other: &Self) -> Vec<(String, Change)> {
        let (mut ours, mut theirs) = (self.files.iter().peekable(), other.files.iter().peekable());
        let mut changes = Vec::new();
        loop {
            let change = match (ours.peek(), theirs.peek()) {
                (None, None) => return changes,
                (Some(our), their) if their.is_none_or(|their| our.path < their.path) => {
                    ours.next().map(|our| (our.path.clone(), Change::Removed))
                }
                (Some(our), Some(their)) if our.path == their.path => {
                    let change = (our != their).then(|| (our.path.clone(), Change::Changed));
                    ours.next();
                    theirs.next();
                    change
                }
                _ => theirs.next().map(|their| (their.path.clone(), Change::Added)),
            };
            changes.extend(change);
        }
    }
}

fn parse_line(line: &str) -> Option<(String, Mode, [u8; 32])> {
    let mut parts = line.splitn(3, ' ');
    let mode = match parts.next()? {
        "100644" => Mode::File,
        "100755" => Mode::Executable,
        "120000" => Mode::Link,
        _ => return None,
    };
    let digits = parts.next().filter(|digits| digits.len() == 64)?;
    let mut digest = [0; 32];
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some((unescape(parts.next()?)?, mode, digest))
}

/// Undoes the escapes of a path; `None` when there is one that is never written.
fn unescape(text: &str) -> Option<String> {
    let mut path = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        path.push(match letter {
            '\\' => match letters.next()? {
                '\\' => '\\',
                'n' => '\n',
                _ => return None,
            },
            letter => letter,
        });
    }
    Some(path)
}

fn push_hex(bytes: &[u8; 32], text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [0; 64];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text.push_str(std::str::from_utf8(&digits).expect("hexadecimal digits are ASCII"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_test_vector_holds() {
        let manifest: Manifest = [("a.txt".into(), Mode::File, Sha256::digest(b"hello").into())].into_iter().collect();
        assert_eq!(manifest.text(), "100644 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 a.txt\n");
        assert_eq!(manifest.id().as_str(), "9506c1d9a915f2fa6aba8cd30e5d137acb829b445c3002868ee05650f067ee1e");
        assert_eq!(Manifest::parse(&manifest.text()), Some(manifest));
    }

    #[test]
    fn changes_are_named_by_path() {
        let of = |entries: &[(&str, u8)]| -> Manifest {
            entries.iter().map(|(path, byte)| ((*path).to_owned(), Mode::File, [*byte; 32])).collect()
        };
        let changes = of(&[("a", 1), ("b", 1), ("c", 1)]).changes(&of(&[("b", 2), ("c", 1), ("d", 1)]));
        assert_eq!(changes, [("a".into(), Change::Removed), ("b".into(), Change::Changed), ("d".into(), Change::Added)]);
    }

    proptest! {
        #[test]
        fn a_manifest_of_any_paths_is_read_back_as_it_was(
            files in proptest::collection::vec((r"[a\\n\n\r é/]{1,6}", 0..3_usize, any::<[u8; 32]>()), 0..8),
        ) {
            let modes = [Mode::File, Mode::Executable, Mode::Link];
            let manifest: Manifest = files.into_iter().map(|(path, mode, digest)| (path, modes[mode], digest)).collect();
            prop_assert_eq!(Manifest::parse(&manifest.text()), Some(manifest));
        }
    }
}
