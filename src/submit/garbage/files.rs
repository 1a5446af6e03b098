//! What is left in our folders.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Item, Kind, Thing};
use crate::environment::Environments;
use crate::job::Record;
use crate::job::attempt::{Attempt, Finding};
use crate::relay::personal::Personal;
use crate::snapshot::{SnapshotId, Store};
use crate::support::dirs::Dirs;
use crate::support::lock;

/// Finds everything that no record names.
pub(super) fn find(dirs: &Dirs, records: &[Record]) -> Vec<Item> {
    let mut search = Search { dirs, records, found: Vec::new() };
    search.snapshots();
    search.environments();
    search.caches();
    search.jobs();
    search.queues();
    search.relays();
    search.found
}

struct Search<'a> {
    dirs: &'a Dirs,
    records: &'a [Record],
    found: Vec<Item>,
}

impl Search<'_> {
    fn add(&mut self, kind: Kind, name: impl Into<String>, paths: Vec<PathBuf>, guard: Option<PathBuf>) {
        let paths: Vec<PathBuf> = paths.into_iter().filter(|path| path.symlink_metadata().is_ok()).collect();
        if !paths.is_empty() {
            let bytes = paths.iter().map(|path| size(path)).sum();
            self.found.push(Item { kind, name: name.into(), bytes, thing: Thing::Files { paths, guard } });
        }
    }

    /// Archives and manifests that no job names, and what packing left behind when it was killed.
    fn snapshots(&mut self) {
        let named: BTreeSet<&str> = self.records.iter().map(|record| record.snapshot.as_str()).collect();
        let folder = self.dirs.cache.join("snapshots");
        let mut ids = BTreeSet::new();
        for (name, path) in entries(&folder) {
            if let Some(id) = name.strip_suffix(".zip").or_else(|| name.strip_suffix(".manifest")) {
                ids.insert(id.to_owned());
            } else if name.starts_with(".packing-") || name.starts_with(".tmp-") {
                self.add(Kind::Leftover, name, vec![path], None);
            }
        }
        for id in ids.into_iter().filter(|id| !named.contains(id.as_str())) {
            let paths = ["zip", "manifest"].map(|extension| folder.join(format!("{id}.{extension}"))).to_vec();
            self.add(Kind::Snapshot, SnapshotId::new(id).short(), paths, None);
        }
    }

    /// Environments that no job names, half ones, and the locks of both.
    fn environments(&mut self) {
        let folder = self.dirs.cache.join("environments");
        let named: BTreeSet<String> = self.records.iter().map(|record| record.environment.chars().take(12).collect()).collect();
        let whole: BTreeSet<String> = Environments::new(self.dirs).list().iter().map(|built| built.id.short().to_owned()).collect();
        for (name, path) in entries(&folder) {
            let guard = |name: &str| Some(folder.join(format!("{name}.lock")));
            if let Some(of) = name.strip_suffix(".lock") {
                if !folder.join(of).exists() {
                    self.add(Kind::LockFile, format!("environment {of}"), vec![path], guard(of));
                }
            } else if path.is_dir() && !whole.contains(&name) {
                self.add(Kind::Leftover, format!("half of the environment {name}"), vec![path], guard(&name));
            } else if path.is_dir() && !named.contains(&name) {
                self.add(Kind::Environment, name.clone(), vec![path], guard(&name));
            }
        }
    }

    /// Locks of requirements, and what is known of source directories, that no job and no environment comes from.
    fn caches(&mut self) {
        let lines =
            |text: &str| -> Vec<String> { text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect() };
        let built: BTreeSet<Vec<String>> =
            Environments::new(self.dirs).list().into_iter().map(|built| lines(&built.packages.join("\n"))).collect();
        let folder = self.dirs.cache.join("locks");
        for (name, path) in entries(&folder).into_iter().filter(|(name, _)| name.ends_with(".txt")) {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            if !built.contains(&lines(&text)) {
                self.add(Kind::RequirementsLock, name.get(..12).unwrap_or(&name), vec![path], None);
            }
        }
        let roots: Vec<&Path> = self.records.iter().map(|record| Path::new(record.source_directory.as_str())).collect();
        for path in Store::looking(&self.dirs.cache).stale_caches(&roots) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.add(Kind::StatCache, name, vec![path], None);
        }
        for (name, path) in entries(&self.dirs.cache).into_iter().chain(entries(&self.dirs.data)) {
            if name.starts_with(".tmp-") {
                self.add(Kind::Leftover, name, vec![path], None);
            } else if name.starts_with("jobs.db.broken-") {
                self.add(Kind::BrokenStore, name, vec![path], None);
            }
        }
    }

    /// Folders of jobs that nobody knows, what ended attempts left, and locks of jobs that are gone.
    fn jobs(&mut self) {
        let known: BTreeSet<&str> = self.records.iter().map(|record| record.id.as_str()).collect();
        for (name, path) in entries(&self.dirs.data.join("jobs")) {
            let attempts: Vec<Attempt> =
                entries(&path).into_iter().filter(|(name, _)| name.starts_with("attempt-")).map(|(_, path)| Attempt::at(path)).collect();
            if attempts.iter().any(|attempt| !matches!(attempt.find(), Ok(Finding::Ended(_) | Finding::Tombstoned | Finding::Unclaimed))) {
                continue;
            }
            if !known.contains(name.as_str()) && !path.join("job.json").exists() {
                self.add(Kind::JobFolder, name, vec![path], None);
                continue;
            }
            for attempt in attempts {
                // What has not started yet may need all of it.
                if matches!(attempt.find(), Ok(Finding::Unclaimed) | Err(_)) {
                    continue;
                }
                self.attempt(&name, &attempt);
            }
        }
        for (name, path) in entries(&self.dirs.data.join("locks")) {
            if name.strip_suffix(".lock").is_some_and(|id| !known.contains(id) && !self.dirs.data.join("jobs").join(id).exists()) {
                self.add(Kind::LockFile, format!("job {}", name.trim_end_matches(".lock")), vec![path.clone()], Some(path));
            }
        }
    }

    fn attempt(&mut self, job: &str, attempt: &Attempt) {
        let mut paths = vec![attempt.path("snapshot.zip"), attempt.path(".reserve"), attempt.path(".status.json")];
        let work = attempt.path("work");
        let is_folder = |name: &str| work.join(name).symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        // Outputs that could not be collected are not garbage.
        if !is_folder("outputs") && !is_folder("logs") {
            paths.push(work);
        }
        let names = |name: &str| name.starts_with(".claim-") || name.starts_with(".tmp-");
        paths.extend(entries(attempt.folder()).into_iter().filter(|(name, _)| names(name)).map(|(_, path)| path));
        self.add(Kind::Leftover, format!("of the job {job}"), paths, None);
    }

    /// Relays of `tracking env` that have ended; one that has something to deliver is kept.
    fn relays(&mut self) {
        for personal in Personal::all(&self.dirs.data) {
            let pending = personal.pending();
            if personal.running().is_none() && pending.records == 0 && pending.refused == 0 {
                let name = personal.last().map_or_else(|| "of `tracking env`".to_owned(), |last| last.upstream.uri);
                self.add(Kind::Relay, name, vec![personal.folder().to_owned(), personal.lock()], Some(personal.lock()));
            }
        }
    }

    /// Tickets whose supervisors are dead; the queue passes over them, and so do we under its gate.
    fn queues(&mut self) {
        for (queue, folder) in entries(&self.dirs.data.join("queues")) {
            for (name, path) in entries(&folder).into_iter().filter(|(name, _)| name.starts_with("ticket-")) {
                if !lock::is_held(&path).unwrap_or(true) {
                    self.add(Kind::Ticket, format!("{queue}/{name}"), vec![path], Some(folder.join("gate")));
                }
            }
        }
    }
}

/// Returns the entries of a folder by name; a missing folder has none.
fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())).collect()
}

fn size(path: &Path) -> u64 {
    let files = walkdir::WalkDir::new(path).into_iter().flatten().filter(|entry| entry.file_type().is_file());
    files.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}
