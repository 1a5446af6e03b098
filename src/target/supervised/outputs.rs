//! What a job leaves: kept when it ends, and copied to where the user wants it.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::job::JobSpec;
use crate::job::attempt::Attempt;
use crate::support::fs::{self, Context};
use crate::support::platform;
use crate::target::Error;

/// Moves `./outputs` and `./logs` to what is kept, and removes the working directory once that is done. One that is to stay, and in which the
/// job ran, gets links to where they are now.
pub(super) fn keep(attempt: &Attempt, spec: &JobSpec) {
    let work = attempt.path("work");
    let stays = attempt.is_kept() && spec.container.is_none();
    let moved = ["outputs", "logs"].iter().all(|name| {
        let from = work.join(name);
        // Not a link: what that leads to may be anybody's.
        let is_folder = from.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        let collected = attempt.path("collected").join(name);
        let moved = !is_folder || merge(&from, &collected).is_ok();
        if stays && is_folder && moved && fs::remove_dir_all(&from).is_ok() {
            let _ = platform::link(&collected, &from);
        }
        moved
    });
    // Kept where it is rather than lost.
    if moved && !stays {
        let _ = fs::remove_dir_all(&work);
    }
}

/// Moves a folder's entries into another, which may be there already (an output of the same name); what is there stays.
fn merge(from: &Path, into: &Path) -> std::io::Result<()> {
    if into.symlink_metadata().is_err() {
        if let Some(parent) = into.parent() {
            std::fs::create_dir_all(parent)?;
        }
        return std::fs::rename(from, into);
    }
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let goal = into.join(entry.file_name());
        if goal.symlink_metadata().is_err() {
            std::fs::rename(entry.path(), goal)?;
        }
    }
    Ok(())
}

/// Copies what was kept, and the log as `log.txt`, into a folder; overwrites nothing and returns the number of files. Those of each node but
/// the first go into a folder `node-<rank>` of it, which is no name of an output.
///
/// `home` is the folder that had the working directory where the job ran. A link to a file becomes that file, since what it leads to may be
/// removed with the job; any other link is kept as it is. What ran elsewhere named files of elsewhere: a link of it is never followed to a file
/// of this machine that it did not leave itself. Sockets and pipes are passed over.
pub(super) fn copy(attempt: &Attempt, home: &Path, into: &Path) -> Result<usize, Error> {
    let others = (1..).map(|rank| attempt.node(rank)).take_while(|node| node.folder().is_dir());
    let nodes: Vec<Attempt> = std::iter::once(attempt.clone()).chain(others).collect();
    let mut sources: Vec<(&Attempt, PathBuf, PathBuf)> = Vec::new();
    for (rank, node) in nodes.iter().enumerate() {
        let goal = if rank == 0 { PathBuf::new() } else { PathBuf::from(format!("node-{rank}")) };
        let (kept, log) = (node.path("collected"), node.path("log"));
        if rank > 0 {
            sources.push((node, node.folder().to_owned(), goal.clone()));
        }
        for entry in walkdir::WalkDir::new(&kept).min_depth(1).sort_by_file_name().into_iter().flatten() {
            let relative = entry.path().strip_prefix(&kept).expect("a walk stays below its root").to_owned();
            sources.push((node, entry.into_path(), goal.join(relative)));
        }
        if log.exists() {
            sources.push((node, log, goal.join("log.txt")));
        }
    }
    let in_the_way = |(_, source, goal): &(&Attempt, PathBuf, PathBuf)| {
        let goal = into.join(goal);
        let both_folders = is_folder(source) && is_folder(&goal);
        (goal.symlink_metadata().is_ok() && !both_folders).then_some(goal)
    };
    if let Some(taken) = sources.iter().find_map(in_the_way) {
        return Err(Error::InTheWay(taken.display().to_string()));
    }
    fs::create_dir_all(into)?;
    let mut count = 0;
    for (node, source, relative) in &sources {
        let goal = into.join(relative);
        if is_folder(source) {
            fs::create_dir_all(&goal)?;
        } else if let Some(file) = file_behind(node, home, source) {
            copy_file(&file, &goal)?;
            count += 1;
        } else if let Ok(target) = std::fs::read_link(source) {
            platform::link(&target, &goal).context("create", &goal)?;
            count += 1;
        }
    }
    Ok(count)
}

/// Returns the file that a path is or leads to. A link by the whole path that the job knew leads to where its content was moved.
fn file_behind(attempt: &Attempt, home: &Path, path: &Path) -> Option<PathBuf> {
    let moved = || {
        let goal = std::fs::read_link(path).ok()?;
        let inside = goal.strip_prefix(home.join("work")).or_else(|_| goal.strip_prefix(home.join("collected"))).ok()?;
        Some(attempt.path("collected").join(inside))
    };
    let metadata = path.symlink_metadata().ok()?;
    if !metadata.is_symlink() {
        return metadata.is_file().then(|| path.to_owned());
    }
    let kept = attempt.path("collected").canonicalize().ok()?;
    // A job of this machine could read what it links to; one in a container saw another machine's files.
    let ran_here = kept.starts_with(home);
    let behind = |path: PathBuf| path.canonicalize().ok().filter(|goal| goal.is_file() && (ran_here || goal.starts_with(&kept)));
    behind(path.to_owned()).or_else(|| moved().and_then(behind))
}

fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}

fn copy_file(source: &Path, goal: &Path) -> Result<(), Error> {
    let mut from = std::fs::File::open(source).context("read", source)?;
    let mut to = match fs::create_new(goal) {
        Err(error) if error.source.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Error::InTheWay(goal.display().to_string()));
        }
        made => made?,
    };
    let copied = std::io::copy(&mut from, &mut to).and_then(|_| to.flush()).and_then(|()| from.metadata()).context("write", goal);
    match copied {
        Ok(metadata) => std::fs::set_permissions(goal, metadata.permissions()).context("write", goal)?,
        Err(error) => {
            // Half a file must not be taken for whole.
            let _ = fs::remove_file(goal);
            return Err(error.into());
        }
    }
    Ok(())
}
