//! What the emulator remembers, in SQLite, so that a restart forgets nothing.
//!
//! Documents are what clients sent, with a kind, a name and a version; jobs and blobs have tables of their own.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use super::Error;
use super::job::Job;
use crate::support::azure::Scope;
use crate::support::clock;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS workspaces (key TEXT PRIMARY KEY, scope TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS documents (
        workspace TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL,
        created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (workspace, kind, name, version)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS jobs (
        number INTEGER PRIMARY KEY AUTOINCREMENT, workspace TEXT NOT NULL, name TEXT NOT NULL, active INTEGER NOT NULL, body TEXT NOT NULL,
        UNIQUE (workspace, name));
    CREATE INDEX IF NOT EXISTS jobs_active ON jobs (active) WHERE active = 1;
    CREATE TABLE IF NOT EXISTS blobs (
        account TEXT NOT NULL, container TEXT NOT NULL, name TEXT NOT NULL, file TEXT NOT NULL, md5 TEXT, kind TEXT, metadata TEXT NOT NULL,
        modified_at INTEGER NOT NULL, PRIMARY KEY (account, container, name)) WITHOUT ROWID;
";

/// A document.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Document {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) created_at: jiff::Timestamp,
    pub(super) updated_at: jiff::Timestamp,
    pub(super) body: Value,
}

/// An open store.
pub(super) struct Store {
    connection: Mutex<Connection>,
}

/// Returns by what a workspace is known: names are read in any case.
pub(super) fn key(scope: &Scope) -> String {
    scope.to_string().to_lowercase()
}

impl Store {
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let open = || {
            let connection = Connection::open(folder.join("state.db"))?;
            connection.busy_timeout(Duration::from_secs(10))?;
            connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0))?;
            // A killed emulator loses nothing by it; a machine without power may lose the last moments.
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.execute_batch(SCHEMA)?;
            Ok(connection)
        };
        let connection = open().map_err(|source| Error::Database { act: "open", source })?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// Uses the database. A statement that panicked has changed nothing.
    pub(super) fn with<T>(&self, act: &'static str, use_it: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        let connection: MutexGuard<'_, _> = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        use_it(&connection).map_err(|source| Error::Database { act, source })
    }

    /// Makes sure that there is a workspace; returns its scope as it was first written.
    pub(super) fn ensure_workspace(&self, scope: &Scope) -> Result<Scope, Error> {
        let text = scope.to_string();
        let kept: String = self.with("write", |connection| {
            connection.execute("INSERT OR IGNORE INTO workspaces (key, scope) VALUES (?1, ?2)", params![key(scope), text])?;
            connection.query_row("SELECT scope FROM workspaces WHERE key = ?1", [key(scope)], |row| row.get(0))
        })?;
        Ok(kept.parse().unwrap_or_else(|_| scope.clone()))
    }

    /// Returns the workspace of this name as it was first written; nothing when there is none.
    pub(super) fn workspace(&self, scope: &Scope) -> Result<Option<Scope>, Error> {
        let kept: Option<String> = self.with("read", |connection| {
            connection.query_row("SELECT scope FROM workspaces WHERE key = ?1", [key(scope)], |row| row.get(0)).optional()
        })?;
        Ok(kept.and_then(|text| text.parse().ok()))
    }

    /// Returns all workspaces.
    pub(super) fn workspaces(&self) -> Result<Vec<Scope>, Error> {
        let texts: Vec<String> = self.with("read", |connection| {
            connection.prepare("SELECT scope FROM workspaces ORDER BY key")?.query_map([], |row| row.get(0))?.collect()
        })?;
        Ok(texts.into_iter().filter_map(|text| text.parse().ok()).collect())
    }

    /// Writes a document; the time of its making stays.
    pub(super) fn put(&self, scope: &Scope, kind: &str, name: &str, version: &str, body: &Value) -> Result<(), Error> {
        let now = clock::now().as_millisecond();
        self.with("write", |connection| {
            connection.execute(
                "INSERT INTO documents (workspace, kind, name, version, created_at, updated_at, body) VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)
                 ON CONFLICT (workspace, kind, name, version) DO UPDATE SET updated_at = ?5, body = ?6",
                params![key(scope), kind, name, version, now, body.to_string()],
            )
        })?;
        Ok(())
    }

    /// Returns a document.
    pub(super) fn get(&self, scope: &Scope, kind: &str, name: &str, version: &str) -> Result<Option<Document>, Error> {
        self.with("read", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT name, version, created_at, updated_at, body FROM documents
                 WHERE workspace = ?1 AND kind = ?2 AND name = ?3 AND version = ?4",
            )?;
            statement.query_row(params![key(scope), kind, name, version], read_document).optional()
        })
    }

    /// Returns the documents of a kind, oldest first.
    pub(super) fn list(&self, scope: &Scope, kind: &str) -> Result<Vec<Document>, Error> {
        self.with("read", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT name, version, created_at, updated_at, body FROM documents WHERE workspace = ?1 AND kind = ?2
                 ORDER BY created_at, name, version",
            )?;
            let rows = statement.query_map(params![key(scope), kind], read_document)?;
            rows.collect()
        })
    }

    /// Forgets a document; one that is gone is no error.
    pub(super) fn delete(&self, scope: &Scope, kind: &str, name: &str) -> Result<(), Error> {
        self.with("write", |connection| {
            connection.execute("DELETE FROM documents WHERE workspace = ?1 AND kind = ?2 AND name = ?3", params![key(scope), kind, name])
        })?;
        Ok(())
    }

    /// Forgets a version of a document; one that is gone is no error.
    pub(super) fn delete_version(&self, scope: &Scope, kind: &str, name: &str, version: &str) -> Result<(), Error> {
        self.with("write", |connection| {
            connection.execute(
                "DELETE FROM documents WHERE workspace = ?1 AND kind = ?2 AND name = ?3 AND version = ?4",
                params![key(scope), kind, name, version],
            )
        })?;
        Ok(())
    }

    /// Writes a job.
    pub(super) fn put_job(&self, job: &Job) -> Result<(), Error> {
        let body = serde_json::to_string(job).expect("plain data of ours always serialises");
        self.with("write", |connection| {
            connection.execute(
                "INSERT INTO jobs (workspace, name, active, body) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (workspace, name) DO UPDATE SET active = ?3, body = ?4",
                params![key(&job.scope), job.name, !job.status.is_terminal(), body],
            )
        })?;
        Ok(())
    }

    /// Returns a job.
    pub(super) fn job(&self, scope: &Scope, name: &str) -> Result<Option<Job>, Error> {
        let found: Option<String> = self.with("read", |connection| {
            let mut statement = connection.prepare_cached("SELECT body FROM jobs WHERE workspace = ?1 AND name = ?2")?;
            statement.query_row(params![key(scope), name], |row| row.get(0)).optional()
        })?;
        Ok(found.and_then(|body| serde_json::from_str(&body).ok()))
    }

    /// Forgets a job.
    pub(super) fn delete_job(&self, scope: &Scope, name: &str) -> Result<(), Error> {
        self.with("write", |connection| {
            connection.execute("DELETE FROM jobs WHERE workspace = ?1 AND name = ?2", params![key(scope), name])
        })?;
        Ok(())
    }

    /// Returns the jobs of a workspace, newest first.
    pub(super) fn jobs(&self, scope: &Scope) -> Result<Vec<Job>, Error> {
        self.read_jobs("SELECT body FROM jobs WHERE workspace = ?1 ORDER BY number DESC", &key(scope))
    }

    /// Returns the jobs of all workspaces that have not ended, oldest first.
    pub(super) fn active_jobs(&self) -> Result<Vec<Job>, Error> {
        self.read_jobs("SELECT body FROM jobs WHERE active = ?1 ORDER BY number", "1")
    }

    fn read_jobs(&self, statement: &str, value: &str) -> Result<Vec<Job>, Error> {
        let texts: Vec<String> =
            self.with("read", |connection| connection.prepare_cached(statement)?.query_map([value], |row| row.get(0))?.collect())?;
        Ok(texts.into_iter().filter_map(|body| serde_json::from_str(&body).ok()).collect())
    }

    /// Changes a job in one step, and returns it as it is now; nothing when there is none.
    pub(super) fn change_job(&self, scope: &Scope, name: &str, change: impl FnOnce(&mut Job)) -> Result<Option<Job>, Error> {
        // One daemon owns the state and its tasks share one thread: nothing comes between these two.
        let Some(mut job) = self.job(scope, name)? else { return Ok(None) };
        change(&mut job);
        self.put_job(&job)?;
        Ok(Some(job))
    }
}

fn read_document(row: &rusqlite::Row<'_>) -> rusqlite::Result<Document> {
    let time = |index| row.get::<_, i64>(index).map(|time| jiff::Timestamp::from_millisecond(time).unwrap_or_default());
    let body: String = row.get(4)?;
    Ok(Document {
        name: row.get(0)?,
        version: row.get(1)?,
        created_at: time(2)?,
        updated_at: time(3)?,
        body: serde_json::from_str(&body).unwrap_or_default(),
    })
}
