//! The hash by which the service knows a code asset again.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// The version of the hash, as requests name it.
pub const HASH_VERSION: &str = "202208";

/// Returns the hash of files, each with its path (`/` between its parts) and its size, which `open` opens for reading.
///
/// It is the SHA-256, in hexadecimal, of: the number of files; for each file, in the order of the lower-cased paths, `#`, the path as it is,
/// `#` and the size; then the contents in the same order with nothing between them. A lone file goes by its base name. Two paths that differ
/// only in case keep the order in which they are given.
///
/// Source: `get_content_hash` of `azure-ai-ml`.
pub fn code_hash<R: Read>(files: &[(String, u64)], mut open: impl FnMut(&str) -> io::Result<R>) -> io::Result<String> {
    let mut sorted: Vec<(String, &(String, u64))> = files.iter().map(|file| (file.0.to_lowercase(), file)).collect();
    // By code point, which UTF-8's bytes keep.
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let mut hasher = Sha256::new();
    hasher.update(files.len().to_string());
    for (_, (path, size)) in &sorted {
        hasher.update(format!("#{path}#{size}"));
    }
    let mut buffer = vec![0; 1 << 18];
    for (_, (path, _)) in &sorted {
        let mut input = open(path)?;
        loop {
            match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hasher.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(files: &[(&str, &'static str)]) -> String {
        let listed: Vec<(String, u64)> = files.iter().map(|(path, text)| ((*path).to_owned(), text.len() as u64)).collect();
        let open = |path: &str| Ok(files.iter().find(|file| file.0 == path).expect("it is listed").1.as_bytes());
        code_hash(&listed, open).expect("readable")
    }

    #[test]
    fn the_hash_is_the_services_own() {
        // What the official client computes for these two files.
        let expected = "24804113f0169dbb70b3aa7d87556116625877ce06c0bbbc80efd2a2792e4f38";
        assert_eq!(hash(&[("train.py", "print(\"hi\")\n"), ("sub/util.py", "x=1\n")]), expected);
        assert_eq!(hash(&[("sub/util.py", "x=1\n"), ("train.py", "print(\"hi\")\n")]), expected);
    }

    #[test]
    fn upper_case_does_not_go_first() {
        let all: String = Sha256::digest("2#a#1#B#1xy").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash(&[("B", "y"), ("a", "x")]), all);
    }
}
