//! The job store: records and the journal of what clients did, in SQLite, shared by many processes.
//!
//! Each step of a submission is journalled as an intent and then an outcome; [`Store::open_intent`] finds the step of which only the
//! intent is known. A store that cannot be read is moved aside and rebuilt from the `job.json` files.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{Error, JobId, Record, attempt};
use crate::support::{clock, fs, lock::Lock, platform};

/// The steps of a submission that are journalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The MLflow run is created.
    MlflowRun,
    /// The job is handed to the target.
    Submit,
}

impl Step {
    fn word(self) -> &'static str {
        match self {
            Self::MlflowRun => "mlflow-run",
            Self::Submit => "submit",
        }
    }
}

/// An open store.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
    data: PathBuf,
    /// Where a broken store was moved, when this opening found one.
    pub moved_aside: Option<PathBuf>,
}

/// How long one process waits for another.
const PATIENCE: Duration = Duration::from_secs(10);

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS jobs (
        id TEXT PRIMARY KEY, created_at INTEGER NOT NULL, active INTEGER NOT NULL, record TEXT NOT NULL) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS jobs_by_time ON jobs (created_at DESC);
    CREATE INDEX IF NOT EXISTS jobs_active ON jobs (active) WHERE active = 1;
    CREATE TABLE IF NOT EXISTS journal (
        job TEXT NOT NULL, attempt INTEGER NOT NULL, step TEXT NOT NULL, intent_at INTEGER NOT NULL, outcome_at INTEGER, outcome TEXT,
        PRIMARY KEY (job, attempt, step)) WITHOUT ROWID;
    PRAGMA user_version = 1;
";

impl Store {
    /// Opens the store below the data folder, creating it when missing and rebuilding it when broken.
    pub fn open(data: &Path) -> Result<Self, Error> {
        fs::create_private_dir_all(data)?;
        let path = data.join("jobs.db");
        let gate = data.join("jobs.db.lock");
        if !path.exists() {
            // One makes it, and the others wait.
            let _gate = Lock::exclusive(&gate)?;
            return Self::open_patiently(data, &path);
        }
        match Self::open_patiently(data, &path) {
            Ok(store) => Ok(store),
            Err(error) if is_corrupt(&error) => {
                let _gate = Lock::exclusive(&gate)?;
                // Somebody else may have rebuilt it while this process waited.
                if let Ok(store) = Self::open_patiently(data, &path) {
                    return Ok(store);
                }
                let aside = data.join(format!("jobs.db.broken-{}", clock::now().as_millisecond()));
                std::fs::rename(&path, &aside).map_err(|source| fs::Error { act: "move aside", path: path.clone(), source })?;
                for suffix in ["-wal", "-shm", "-journal"] {
                    fs::remove_file(data.join(format!("jobs.db{suffix}")))?;
                }
                let mut store = Self::try_open(data, &path)?;
                store.moved_aside = Some(aside);
                Ok(store)
            }
            Err(error) => Err(error),
        }
    }

    /// Opens a store that others may be opening: while the journal's mode is set, SQLite itself does not wait.
    fn open_patiently(data: &Path, path: &Path) -> Result<Self, Error> {
        let begun = Instant::now();
        loop {
            match Self::try_open(data, path) {
                Err(error) if is_busy(&error) && begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(5)),
                answer => return answer,
            }
        }
    }

    fn try_open(data: &Path, path: &Path) -> Result<Self, Error> {
        let failed = |act: &'static str| move |source| Error::Store { act, path: path.to_owned(), source };
        let is_new = !path.exists();
        let connection = Connection::open(path).map_err(failed("open"))?;
        connection.busy_timeout(PATIENCE).map_err(failed("open"))?;
        let journal = if platform::is_shared(data) { "TRUNCATE" } else { "WAL" };
        connection.query_row(&format!("PRAGMA journal_mode = {journal}"), [], |row| row.get::<_, String>(0)).map_err(failed("open"))?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(failed("open"))?;
        let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed("read"))?;
        let mut store = Self { connection, path: path.to_owned(), data: data.to_owned(), moved_aside: None };
        if version == 0 {
            store.connection.execute_batch(SCHEMA).map_err(failed("create"))?;
        }
        // A store that was deleted is as good as a broken one: the folders know the jobs.
        if is_new {
            store.rebuild()?;
        }
        Ok(store)
    }

    fn rebuild(&mut self) -> Result<(), Error> {
        let Ok(entries) = std::fs::read_dir(self.data.join("jobs")) else { return Ok(()) };
        let mut records = Vec::new();
        for entry in entries.flatten() {
            if let Ok(bytes) = std::fs::read(entry.path().join("job.json")) {
                records.extend(serde_json::from_slice::<Record>(&bytes).ok());
            }
        }
        for record in records {
            self.put_row(&record)?;
        }
        Ok(())
    }

    fn failed(&self, act: &'static str) -> impl Fn(rusqlite::Error) -> Error + '_ {
        move |source| Error::Store { act, path: self.path.clone(), source }
    }

    /// Writes a record, in the store and in the job's folder.
    pub fn put(&mut self, record: &Record) -> Result<(), Error> {
        let folder = attempt::job_folder(&self.data, &record.id);
        fs::create_private_dir_all(&folder)?;
        let text = serde_json::to_vec_pretty(record).expect("a record is plain data");
        fs::write_atomic(folder.join("job.json"), &text)?;
        self.put_row(record)
    }

    fn put_row(&mut self, record: &Record) -> Result<(), Error> {
        let text = serde_json::to_string(record).expect("a record is plain data");
        self.connection
            .execute(
                "INSERT INTO jobs (id, created_at, active, record) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (id) DO UPDATE SET active = ?3, record = ?4",
                params![record.id.as_str(), record.created_at.as_millisecond(), !record.state.is_ended(), text],
            )
            .map_err(self.failed("write"))?;
        Ok(())
    }

    /// Returns the record of a job.
    pub fn get(&self, id: &JobId) -> Result<Option<Record>, Error> {
        let text: Option<String> = self
            .connection
            .query_row("SELECT record FROM jobs WHERE id = ?1", [id.as_str()], |row| row.get(0))
            .optional()
            .map_err(self.failed("read"))?;
        text.map(|text| self.parse(&text)).transpose()
    }

    /// Returns the jobs whose id starts with a prefix, at most `limit`.
    pub fn with_prefix(&self, prefix: &str, limit: usize) -> Result<Vec<Record>, Error> {
        // `{` follows `z` in ASCII, so this is a range of the primary key.
        self.rows(
            "SELECT record FROM jobs WHERE id >= ?1 AND id < ?1 || '{' ORDER BY id LIMIT ?2",
            params![prefix, i64::try_from(limit).unwrap_or(i64::MAX)],
        )
    }

    /// Returns the newest jobs, newest first.
    pub fn newest(&self, limit: usize) -> Result<Vec<Record>, Error> {
        self.rows("SELECT record FROM jobs ORDER BY created_at DESC, id LIMIT ?1", params![i64::try_from(limit).unwrap_or(i64::MAX)])
    }

    /// Returns the jobs that have not ended.
    pub fn active(&self) -> Result<Vec<Record>, Error> {
        self.rows("SELECT record FROM jobs WHERE active = 1", [])
    }

    /// Forgets a job: its row, its journal and its folder.
    pub fn delete(&mut self, id: &JobId) -> Result<(), Error> {
        let path = self.path.clone();
        let failed = |source| Error::Store { act: "write", path: path.clone(), source };
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        transaction.execute("DELETE FROM journal WHERE job = ?1", [id.as_str()]).map_err(failed)?;
        transaction.execute("DELETE FROM jobs WHERE id = ?1", [id.as_str()]).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(fs::remove_dir_all(attempt::job_folder(&self.data, id))?)
    }

    /// Journals that a step is about to be taken.
    pub fn intend(&mut self, id: &JobId, attempt: u32, step: Step) -> Result<(), Error> {
        self.connection
            .execute(
                "INSERT INTO journal (job, attempt, step, intent_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (job, attempt, step) DO UPDATE SET intent_at = ?4, outcome_at = NULL, outcome = NULL",
                params![id.as_str(), attempt, step.word(), clock::now().as_millisecond()],
            )
            .map_err(self.failed("write"))?;
        Ok(())
    }

    /// Journals how a step ended.
    pub fn conclude(&mut self, id: &JobId, attempt: u32, step: Step, outcome: &str) -> Result<(), Error> {
        self.connection
            .execute(
                "UPDATE journal SET outcome_at = ?4, outcome = ?5 WHERE job = ?1 AND attempt = ?2 AND step = ?3",
                params![id.as_str(), attempt, step.word(), clock::now().as_millisecond(), outcome],
            )
            .map_err(self.failed("write"))?;
        Ok(())
    }

    /// Returns whether a step was begun and its outcome is not known.
    pub fn open_intent(&self, id: &JobId, attempt: u32, step: Step) -> Result<bool, Error> {
        let open: Option<bool> = self
            .connection
            .query_row(
                "SELECT outcome_at IS NULL FROM journal WHERE job = ?1 AND attempt = ?2 AND step = ?3",
                params![id.as_str(), attempt, step.word()],
                |row| row.get(0),
            )
            .optional()
            .map_err(self.failed("read"))?;
        Ok(open.unwrap_or(false))
    }

    /// Takes the lock without which a job's journal must not be advanced, waiting for it.
    pub fn lock(&self, id: &JobId) -> Result<Lock, Error> {
        Ok(Lock::exclusive(&self.data.join("locks").join(format!("{id}.lock")))?)
    }

    /// Takes the lock of a job if nobody holds it.
    pub fn try_lock(&self, id: &JobId) -> Result<Option<Lock>, Error> {
        Ok(Lock::try_exclusive(&self.data.join("locks").join(format!("{id}.lock")))?)
    }

    fn rows(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<Vec<Record>, Error> {
        let mut statement = self.connection.prepare_cached(sql).map_err(self.failed("read"))?;
        let texts = statement
            .query_map(parameters, |row| row.get::<_, String>(0))
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(self.failed("read"))?;
        texts.iter().map(|text| self.parse(text)).collect()
    }

    fn parse(&self, text: &str) -> Result<Record, Error> {
        serde_json::from_str(text).map_err(|source| Error::Record { path: self.path.clone(), source })
    }
}

fn is_busy(error: &Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    matches!(error, Error::Store { source, .. } if matches!(source.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked)))
}

fn is_corrupt(error: &Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error {
        Error::Store { source, .. } => matches!(source.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)),
        Error::Record { .. } => true,
        Error::File(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobState;

    fn record(id: &str, at: i64) -> Record {
        Record {
            version: 1,
            id: id.parse().expect("a good id"),
            key: None,
            name: "n".into(),
            experiment: "e".into(),
            target: "local".into(),
            target_kind: "local".into(),
            address: None,
            handle: format!("sendoff://local/here/{id}"),
            config_file: "run.yaml".into(),
            source_directory: "/src".into(),
            digest: "d".into(),
            config_digest: "c".into(),
            snapshot: "s".into(),
            environment: "v".into(),
            tracker: None,
            tracking: None,
            attempt: 1,
            created_at: jiff::Timestamp::from_millisecond(at).expect("in range"),
            state: JobState::Preparing,
        }
    }

    #[test]
    fn records_are_found_by_prefix_and_listed_newest_first() {
        let data = tempfile::tempdir().expect("a temporary folder");
        let mut store = Store::open(data.path()).expect("a new store");
        for (id, at) in [("amber-fox", 1), ("amber-owl", 3), ("blue-fox", 2)] {
            store.put(&record(id, at)).expect("writable");
        }
        let ids = |records: Vec<Record>| records.into_iter().map(|record| record.id.to_string()).collect::<Vec<_>>();
        assert_eq!(ids(store.with_prefix("amber-", 9).expect("readable")), ["amber-fox", "amber-owl"]);
        assert_eq!(ids(store.newest(2).expect("readable")), ["amber-owl", "blue-fox"]);
    }

    #[test]
    fn a_deleted_or_broken_store_is_rebuilt_from_the_folders() {
        let data = tempfile::tempdir().expect("a temporary folder");
        let mut store = Store::open(data.path()).expect("a new store");
        store.put(&record("amber-fox", 1)).expect("writable");
        drop(store);
        for name in ["jobs.db", "jobs.db-wal", "jobs.db-shm"] {
            let _ = std::fs::remove_file(data.path().join(name));
        }
        assert_eq!(Store::open(data.path()).expect("a rebuilt store").newest(9).expect("readable").len(), 1);
        std::fs::write(data.path().join("jobs.db"), "this is not a database, whatever it is called ".repeat(99)).expect("writable");
        for name in ["jobs.db-wal", "jobs.db-shm"] {
            let _ = std::fs::remove_file(data.path().join(name));
        }
        let store = Store::open(data.path()).expect("a rebuilt store");
        assert!(store.moved_aside.is_some());
        assert_eq!(store.newest(9).expect("readable").len(), 1);
    }

    #[test]
    fn an_intent_is_open_until_its_outcome() {
        let data = tempfile::tempdir().expect("a temporary folder");
        let mut store = Store::open(data.path()).expect("a new store");
        let id: JobId = "amber-fox".parse().expect("a good id");
        assert!(!store.open_intent(&id, 1, Step::Submit).expect("readable"));
        store.intend(&id, 1, Step::Submit).expect("writable");
        assert!(store.open_intent(&id, 1, Step::Submit).expect("readable"));
        store.conclude(&id, 1, Step::Submit, "ok").expect("writable");
        assert!(!store.open_intent(&id, 1, Step::Submit).expect("readable"));
    }
}
