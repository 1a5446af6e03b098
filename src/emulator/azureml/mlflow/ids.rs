//! The two-way map of ids: Azure's MLflow names runs by their jobs and experiments by GUIDs, the server behind chooses its own.
//!
//! A job's MLflow run is entered when it is made, and what a client makes as soon as the server behind has named it. A run or an experiment
//! that the server had before, or that somebody else made there, gets a GUID when an answer first shows it. Each workspace has a map of its own:
//! names of jobs are unique in one only.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::Error;
use crate::support::azure::Scope;

/// What an id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An MLflow run.
    Run,
    /// An MLflow experiment.
    Experiment,
    /// An experiment's name, which is another one behind when another workspace has it there.
    ExperimentName,
    /// A logged model, whose id is the same on both sides: the map says which workspace has it.
    Model,
    /// The place of a logged model's files, by run and name, and the model that has it.
    Place,
    /// A registered model's name, which is another one behind when another workspace has it there.
    RegisteredModel,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Experiment => "experiment",
            Self::ExperimentName => "experiment name",
            Self::Model => "logged model",
            Self::Place => "place",
            Self::RegisteredModel => "registered model",
        }
    }
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS mlflow_ids (
        workspace TEXT NOT NULL, kind TEXT NOT NULL, azure TEXT NOT NULL, inner_id TEXT NOT NULL, name TEXT,
        PRIMARY KEY (workspace, kind, azure), UNIQUE (workspace, kind, inner_id)) WITHOUT ROWID;
";

/// The maps of all workspaces, kept in the emulator's database.
#[derive(Debug)]
pub(super) struct Maps {
    connection: Mutex<Connection>,
    path: PathBuf,
}

/// The map of one workspace.
#[derive(Debug, Clone)]
pub(super) struct Ids {
    maps: Arc<Maps>,
    workspace: String,
}

impl Maps {
    /// Opens the maps in a database that others may have open, too.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |act| move |source| Error::Ids { act, path: path.to_owned(), source };
        let connection = Connection::open(path).map_err(failed("open"))?;
        connection.busy_timeout(Duration::from_secs(10)).map_err(failed("open"))?;
        connection.execute_batch(SCHEMA).map_err(failed("create"))?;
        Ok(Self { connection: Mutex::new(connection), path: path.to_owned() })
    }

    /// Returns the map of a workspace, whose name is read in any case.
    pub(super) fn of(self: &Arc<Self>, scope: &Scope) -> Ids {
        Ids { maps: self.clone(), workspace: scope.to_string().to_lowercase() }
    }
}

impl Ids {
    /// Returns the id behind one of Azure's; `None` when the workspace has no such thing.
    pub(super) fn inner(&self, kind: Kind, azure: &str) -> Result<Option<String>, Error> {
        self.row(kind, "SELECT inner_id FROM mlflow_ids WHERE workspace = ?1 AND kind = ?2 AND azure = ?3", azure)
    }

    /// Returns Azure's id of what the server behind names so, if it has one.
    pub(super) fn known(&self, kind: Kind, inner: &str) -> Result<Option<String>, Error> {
        self.row(kind, "SELECT azure FROM mlflow_ids WHERE workspace = ?1 AND kind = ?2 AND inner_id = ?3", inner)
    }

    /// Returns Azure's id of what the server behind names so, giving it a GUID when it has none.
    pub(super) fn azure(&self, kind: Kind, inner: &str) -> Result<String, Error> {
        if let Some(azure) = self.known(kind, inner)? {
            return Ok(azure);
        }
        // Somebody may have been quicker: the first to enter it is right.
        self.enter(kind, &guid(), inner)
    }

    /// Enters a pair and returns Azure's id of it, which is another one when the thing had an id already.
    pub(super) fn enter(&self, kind: Kind, azure: &str, inner: &str) -> Result<String, Error> {
        let insert = "INSERT INTO mlflow_ids (workspace, kind, azure, inner_id) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
        self.change(insert, [kind.word(), azure, inner])?;
        Ok(self.known(kind, inner)?.unwrap_or_else(|| azure.to_owned()))
    }

    /// Returns the name of an experiment, as it was last seen.
    pub(super) fn name(&self, inner: &str) -> Result<Option<String>, Error> {
        let name = "SELECT name FROM mlflow_ids WHERE workspace = ?1 AND kind = ?2 AND inner_id = ?3 AND name IS NOT NULL";
        self.row(Kind::Experiment, name, inner)
    }

    /// Notes the name of an experiment, which is part of its runs' artifact URIs.
    pub(super) fn note_name(&self, inner: &str, name: &str) -> Result<(), Error> {
        self.azure(Kind::Experiment, inner)?;
        self.change(
            "UPDATE mlflow_ids SET name = ?4 WHERE workspace = ?1 AND kind = ?2 AND inner_id = ?3",
            [Kind::Experiment.word(), inner, name],
        )
    }

    /// Returns whether this belongs to another workspace.
    pub(super) fn is_foreign(&self, kind: Kind, inner: &str) -> Result<bool, Error> {
        if self.known(kind, inner)?.is_some() {
            return Ok(false);
        }
        let elsewhere = "SELECT workspace FROM mlflow_ids WHERE workspace <> ?1 AND kind = ?2 AND inner_id = ?3 LIMIT 1";
        Ok(self.row(kind, elsewhere, inner)?.is_some())
    }

    /// Returns the workspace's name of what has this one behind, which is the same when nothing else was entered.
    pub(super) fn azure_name(&self, kind: Kind, inner: &str) -> Result<String, Error> {
        match self.known(kind, inner)? {
            Some(name) => Ok(name),
            None => self.enter(kind, inner, inner),
        }
    }

    /// Returns by which name something new is made behind, and enters it: its own name, unless another workspace has that one there.
    pub(super) fn new_name(&self, kind: Kind, name: &str) -> Result<String, Error> {
        if let Some(inner) = self.inner(kind, name)? {
            return Ok(inner);
        }
        // From the narrowest to the widest: /subscriptions/s/resourceGroups/g/providers/../workspaces/w.
        let words: Vec<&str> = self.workspace.split('/').collect();
        let widest: Vec<&str> = [8, 4, 2].into_iter().filter_map(|at| words.get(at).copied()).collect();
        let mut inner = name.to_owned();
        for words in 1..=widest.len() {
            if !self.is_foreign(kind, &inner)? {
                break;
            }
            inner = format!("{name} ({})", widest[..words].join(", "));
        }
        self.enter(kind, name, &inner)?;
        Ok(inner)
    }

    fn row(&self, kind: Kind, query: &str, id: &str) -> Result<Option<String>, Error> {
        let connection = self.maps.connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let row = connection.query_row(query, params![self.workspace, kind.word(), id], |row| row.get(0)).optional();
        row.map_err(|source| Error::Ids { act: "read", path: self.maps.path.clone(), source })
    }

    fn change(&self, statement: &str, values: [&str; 3]) -> Result<(), Error> {
        let connection = self.maps.connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let [first, second, third] = values;
        let changed = connection.execute(statement, params![self.workspace, first, second, third]);
        changed.map(drop).map_err(|source| Error::Ids { act: "write", path: self.maps.path.clone(), source })
    }
}

/// Returns a random GUID (RFC 9562, version 4).
pub(super) fn guid() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A workspace of this name.
    pub(in super::super) fn workspace(name: &str) -> Scope {
        Scope { subscription_id: "s".to_owned(), resource_group: "g".to_owned(), workspace_name: name.to_owned() }
    }

    /// A map that dies with the test.
    pub(in super::super) fn map() -> Ids {
        Arc::new(Maps::open(Path::new(":memory:")).expect("memory can be used")).of(&workspace("w"))
    }

    #[test]
    fn a_job_is_its_own_run_in_both_directions() {
        let ids = map();
        assert_eq!(ids.enter(Kind::Run, "job-1", "0a0b").expect("written"), "job-1");
        assert_eq!(ids.inner(Kind::Run, "job-1").expect("read").as_deref(), Some("0a0b"));
        assert_eq!(ids.azure(Kind::Run, "0a0b").expect("read"), "job-1");
    }

    #[test]
    fn the_first_name_of_a_thing_stays() {
        let ids = map();
        let first = ids.azure(Kind::Experiment, "3").expect("given");
        assert_eq!(ids.azure(Kind::Experiment, "3").expect("read"), first);
        assert_eq!(ids.enter(Kind::Experiment, &guid(), "3").expect("left alone"), first);
    }

    #[test]
    fn a_run_and_an_experiment_of_one_id_are_two_things() {
        let ids = map();
        ids.enter(Kind::Run, "same", "1").expect("written");
        assert_eq!(ids.inner(Kind::Experiment, "same").expect("read"), None);
        assert_ne!(ids.azure(Kind::Experiment, "1").expect("given"), "same");
    }

    #[test]
    fn the_map_outlives_the_process() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("state.db");
        let open = || Arc::new(Maps::open(&path).expect("it can be opened")).of(&workspace("w"));
        let given = open().azure(Kind::Run, "7f").expect("given");
        assert_eq!(open().inner(Kind::Run, &given).expect("read").as_deref(), Some("7f"));
    }

    #[test]
    fn a_name_means_one_run_in_each_workspace() {
        let maps = Arc::new(Maps::open(Path::new(":memory:")).expect("memory can be used"));
        maps.of(&workspace("one")).enter(Kind::Run, "job", "1").expect("written");
        maps.of(&workspace("other")).enter(Kind::Run, "job", "2").expect("written");
        assert_eq!(maps.of(&workspace("ONE")).inner(Kind::Run, "job").expect("read").as_deref(), Some("1"));
        assert_ne!(maps.of(&workspace("other")).azure(Kind::Run, "1").expect("given"), "job");
    }

    #[test]
    fn a_name_that_another_workspace_has_behind_is_made_with_the_workspaces_own() {
        let maps = Arc::new(Maps::open(Path::new(":memory:")).expect("memory can be used"));
        let (one, other) = (maps.of(&workspace("one")), maps.of(&workspace("other")));
        assert_eq!(one.new_name(Kind::ExperimentName, "iris").expect("entered"), "iris");
        assert_eq!(other.new_name(Kind::ExperimentName, "iris").expect("entered"), "iris (other)");
        for _ in 0..2 {
            assert_eq!(one.new_name(Kind::ExperimentName, "iris").expect("known"), "iris");
            assert_eq!(other.new_name(Kind::ExperimentName, "iris").expect("known"), "iris (other)");
        }
        assert_eq!(other.new_name(Kind::RegisteredModel, "iris").expect("entered"), "iris");
        assert!(
            other.is_foreign(Kind::ExperimentName, "iris").expect("read") && !one.is_foreign(Kind::ExperimentName, "iris").expect("read")
        );
    }

    #[test]
    fn the_name_of_an_experiment_is_the_last_one_seen() {
        let ids = map();
        assert_eq!(ids.name("3").expect("read"), None);
        for name in ["iris", "iris-2"] {
            ids.note_name("3", name).expect("written");
            assert_eq!(ids.name("3").expect("read").as_deref(), Some(name));
        }
    }

    #[test]
    fn guids_have_the_form_of_guids() {
        let (one, other) = (guid(), guid());
        assert_ne!(one, other);
        assert_eq!(one.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{one}");
        assert_eq!(&one[14..15], "4");
    }
}
