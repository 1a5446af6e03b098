//! Blobs: their content in files, their names and properties in the store.
//!
//! ```text
//! blobs/<account>/<container>/<SHA-256 of the name>          the content
//!                                                  .blocks/  blocks that wait to be put together
//! ```
//!
//! A file may grow while it is read, as the log of a job does: its size is asked of the file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Error;
use super::store::Store;
use crate::support::clock;
use crate::support::fs::{self, Context};

/// Where a blob is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) account: String,
    pub(super) container: String,
    pub(super) name: String,
}

impl Place {
    pub(super) fn new(account: &str, container: &str, name: &str) -> Self {
        Self { account: account.to_owned(), container: container.to_owned(), name: name.to_owned() }
    }
}

/// What is known of a blob.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Blob {
    pub(super) name: String,
    pub(super) file: PathBuf,
    pub(super) size: u64,
    pub(super) md5: Option<String>,
    /// Its `Content-Type`.
    pub(super) kind: Option<String>,
    pub(super) metadata: Value,
    pub(super) modified_at: Timestamp,
}

impl Blob {
    /// Returns what changes with the content.
    pub(super) fn etag(&self) -> String {
        format!("\"0x{:X}{:X}\"", self.modified_at.as_millisecond(), self.size)
    }
}

/// What is said of a blob beside its content.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Properties {
    pub(super) md5: Option<String>,
    pub(super) kind: Option<String>,
    /// A map of texts.
    pub(super) metadata: Value,
}

/// The blobs of all accounts.
pub(super) struct Blobs {
    folder: PathBuf,
    store: Arc<Store>,
}

fn hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Blobs {
    pub(super) fn new(folder: &Path, store: Arc<Store>) -> Self {
        Self { folder: folder.join("blobs"), store }
    }

    /// Returns the file of a blob, whether it is there or not, in a folder that is.
    pub(super) fn file(&self, place: &Place) -> Result<PathBuf, Error> {
        let folder = self.folder.join(&hex(&place.account)[..16]).join(&hex(&place.container)[..16]);
        fs::create_private_dir_all(&folder)?;
        Ok(folder.join(hex(&place.name)))
    }

    /// Returns a file in which the content of a blob can grow before it is put at its place.
    pub(super) fn scratch(&self, place: &Place) -> Result<tempfile::NamedTempFile, Error> {
        let folder = self.file(place)?.parent().expect("a file has a folder").to_owned();
        Ok(tempfile::Builder::new().prefix(".tmp-").tempfile_in(&folder).context("write to", &folder)?)
    }

    /// Puts a blob at its place.
    pub(super) fn put(&self, place: &Place, content: tempfile::NamedTempFile, properties: &Properties) -> Result<(), Error> {
        let file = self.file(place)?;
        content.persist(&file).map_err(|error| error.error).context("write", &file)?;
        self.note(place, &file, properties)
    }

    /// Puts a blob at its place whose content is at hand.
    #[cfg(test)]
    pub(super) fn put_bytes(&self, place: &Place, content: &[u8]) -> Result<(), Error> {
        let scratch = self.scratch(place)?;
        std::fs::write(scratch.path(), content).context("write", scratch.path())?;
        self.put(place, scratch, &Properties::default())
    }

    /// Makes sure that there is a blob, and returns the file to which it grows.
    pub(super) fn growing(&self, place: &Place) -> Result<PathBuf, Error> {
        let file = self.file(place)?;
        if self.get(place)?.is_none() {
            fs::append(&file)?;
            self.note(place, &file, &Properties::default())?;
        }
        Ok(file)
    }

    fn note(&self, place: &Place, file: &Path, properties: &Properties) -> Result<(), Error> {
        let Place { account, container, name } = place;
        let metadata = if properties.metadata.is_object() { properties.metadata.to_string() } else { "{}".to_owned() };
        self.store.with("write", |connection| {
            let mut statement = connection.prepare_cached(
                "INSERT INTO blobs (account, container, name, file, md5, kind, metadata, modified_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (account, container, name) DO UPDATE SET md5 = ?5, kind = ?6, metadata = ?7, modified_at = ?8",
            )?;
            let file = file.to_string_lossy();
            statement.execute(params![
                account,
                container,
                name,
                file,
                properties.md5,
                properties.kind,
                metadata,
                clock::now().as_millisecond()
            ])
        })?;
        Ok(())
    }

    /// Replaces what is said of a blob beside its content.
    pub(super) fn describe(&self, place: &Place, metadata: Value) -> Result<(), Error> {
        let Some(blob) = self.get(place)? else { return Ok(()) };
        self.note(place, &blob.file, &Properties { md5: blob.md5, kind: blob.kind, metadata })
    }

    /// Returns what is known of a blob; nothing when there is none.
    pub(super) fn get(&self, place: &Place) -> Result<Option<Blob>, Error> {
        let Place { account, container, name } = place;
        let found = self.store.with("read", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT name, file, md5, kind, metadata, modified_at FROM blobs WHERE account = ?1 AND container = ?2 AND name = ?3",
            )?;
            statement.query_row(params![account, container, name], read).optional()
        })?;
        Ok(found.map(sized))
    }

    /// Returns the blobs of a container whose names begin with this, in order.
    pub(super) fn list(&self, account: &str, container: &str, prefix: &str) -> Result<Vec<Blob>, Error> {
        let found: Vec<Blob> = self.store.with("read", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT name, file, md5, kind, metadata, modified_at FROM blobs
                 WHERE account = ?1 AND container = ?2 AND name >= ?3 ORDER BY name",
            )?;
            let rows = statement.query_map(params![account, container, prefix], read)?;
            // Names with one beginning are one range.
            rows.take_while(|row| row.as_ref().map_or(true, |blob| blob.name.starts_with(prefix))).collect()
        })?;
        Ok(found.into_iter().map(sized).collect())
    }

    /// Removes a blob; returns whether there was one.
    pub(super) fn delete(&self, place: &Place) -> Result<bool, Error> {
        let Some(blob) = self.get(place)? else { return Ok(false) };
        let Place { account, container, name } = place;
        self.store.with("write", |connection| {
            connection.execute("DELETE FROM blobs WHERE account = ?1 AND container = ?2 AND name = ?3", params![account, container, name])
        })?;
        fs::remove_file(&blob.file)?;
        Ok(true)
    }

    /// Returns the file of a block that waits to be part of a blob.
    pub(super) fn block(&self, place: &Place, id: &str) -> Result<PathBuf, Error> {
        let folder = self.blocks(place)?;
        fs::create_private_dir_all(&folder)?;
        Ok(folder.join(hex(id)))
    }

    /// Returns the folder of blocks that wait.
    pub(super) fn blocks(&self, place: &Place) -> Result<PathBuf, Error> {
        Ok(self.file(place)?.with_extension("blocks"))
    }
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Blob> {
    let metadata: String = row.get(4)?;
    Ok(Blob {
        name: row.get(0)?,
        file: PathBuf::from(row.get::<_, String>(1)?),
        size: 0,
        md5: row.get(2)?,
        kind: row.get(3)?,
        metadata: serde_json::from_str(&metadata).unwrap_or_default(),
        modified_at: Timestamp::from_millisecond(row.get(5)?).unwrap_or_default(),
    })
}

fn sized(mut blob: Blob) -> Blob {
    if let Ok(metadata) = std::fs::metadata(&blob.file) {
        blob.size = metadata.len();
        // One that grows has changed since it was noted.
        let written = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
        blob.modified_at = written.map_or(blob.modified_at, |written| blob.modified_at.max(written));
    }
    blob
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_are_listed_by_the_beginning_of_their_names_and_replaced_by_name() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Arc::new(Store::open(folder.path()).expect("it opens"));
        let blobs = Blobs::new(folder.path(), store);
        for (name, content) in [("a/b", "1"), ("a/c%d", "22"), ("ab", "333"), ("a/b", "4444")] {
            blobs.put_bytes(&Place::new("acct", "c", name), content.as_bytes()).expect("it is written");
        }
        let listed = blobs.list("acct", "c", "a/").expect("they are listed");
        assert_eq!(listed.iter().map(|blob| (blob.name.as_str(), blob.size)).collect::<Vec<_>>(), [("a/b", 4), ("a/c%d", 2)]);
        assert!(blobs.list("other", "c", "").expect("it is empty").is_empty());
        let place = Place::new("acct", "c", "ab");
        assert!(blobs.delete(&place).expect("it is there") && !blobs.delete(&place).expect("it is gone"));
        let log = blobs.growing(&Place::new("acct", "c", "log")).expect("it is made");
        std::fs::write(log, "hello").expect("writable");
        assert_eq!(blobs.get(&Place::new("acct", "c", "log")).expect("readable").expect("it is there").size, 5);
    }
}
