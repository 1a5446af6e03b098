//! What a job has left in the workspace: `./outputs` and `./logs` among its run's artifacts, named outputs in their datastore.

use std::path::{Component, Path, PathBuf};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::io::AsyncWriteExt;
use url::Url;

use super::Error;
use super::blob::{self, Container};
use super::client::Client;
use super::parse::Job;
use crate::support::fs::{self, Context};
use crate::target;

/// How many downloads go on at once.
const AT_ONCE: usize = 8;
/// The folders whose files are artifacts of the run.
const KEPT: [&str; 2] = ["outputs/", "logs/"];
/// The artifacts that the service itself calls an output.
const ARTIFACTS: &str = "default";

/// A file to download: where it is, and its path in the user's folder.
struct File {
    from: From,
    goal: PathBuf,
}

enum From {
    /// An artifact of the run.
    Artifact(String),
    /// A blob of a datastore.
    Blob(Container, String),
    /// A file of this machine.
    Here(PathBuf),
}

/// Downloads everything, and the log as `log.txt`; overwrites nothing and returns the number of files.
pub(super) async fn collect(client: &Client, job: &Job, log: &Path, into: &Path) -> Result<usize, target::Error> {
    let experiment = job.properties.experiment_name.as_deref().unwrap_or("Default");
    let mut files = artifacts(client, experiment, &job.name).await?;
    for (name, output) in job.properties.outputs.iter().flatten().filter(|(name, _)| *name != ARTIFACTS) {
        let uri = output.as_ref().and_then(|output| output.uri.clone());
        let is_file = output.as_ref().and_then(|output| output.job_output_type.as_deref()) == Some("uri_file");
        files.extend(output_files(client, &job.name, name, uri.as_deref(), is_file).await?);
    }
    if log.exists() {
        files.push(File { from: From::Here(log.to_owned()), goal: "log.txt".into() });
    }
    let taken = files.iter().map(|file| into.join(&file.goal)).find(|goal| goal.symlink_metadata().is_ok());
    if let Some(taken) = taken {
        return Err(target::Error::InTheWay(taken.display().to_string()));
    }
    fs::create_dir_all(into)?;
    let count = files.len();
    stream::iter(files)
        .map(|file| download(client, experiment, &job.name, file, into))
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(count)
}

/// Lists the artifacts that are the user's.
async fn artifacts(client: &Client, experiment: &str, run: &str) -> Result<Vec<File>, Error> {
    let mut files = Vec::new();
    let mut token = String::new();
    loop {
        let query: &[(&str, &str)] = if token.is_empty() { &[] } else { &[("continuationToken", token.as_str())] };
        let page = client.artifacts(experiment, run, "", query).await?;
        let paths = page["value"].as_array().into_iter().flatten().filter_map(|artifact| artifact["path"].as_str());
        let wanted = paths.filter(|path| KEPT.iter().any(|folder| path.starts_with(folder)));
        files.extend(wanted.filter_map(|path| Some(File { from: From::Artifact(path.to_owned()), goal: inside(path)? })));
        match page["continuationToken"].as_str().filter(|token| !token.is_empty()) {
            Some(next) => next.clone_into(&mut token),
            None => return Ok(files),
        }
    }
}

/// Lists the files of a named output.
async fn output_files(client: &Client, job: &str, name: &str, uri: Option<&str>, is_file: bool) -> Result<Vec<File>, Error> {
    // Where the service puts what nobody gave an address.
    let usual = format!("azureml://datastores/workspaceblobstore/paths/azureml/{job}/{name}/");
    let Some((datastore, path)) = datastore_path(uri.unwrap_or(&usual)) else { return Ok(Vec::new()) };
    let container = open(client, &datastore).await?;
    let found = container.list(&path).await?;
    let files = found.into_iter().filter_map(|blob| {
        let rest = blob.strip_prefix(&path)?.trim_start_matches('/');
        let goal = if rest.is_empty() && is_file { inside(name)? } else { inside(name)?.join(inside(rest)?) };
        Some(File { from: From::Blob(container.clone(), blob.clone()), goal })
    });
    Ok(files.collect())
}

/// Opens the container of a datastore for reading.
pub(super) async fn open(client: &Client, name: &str) -> Result<Container, Error> {
    let (found, secret) = client.datastore(name).await?;
    let text = |key: &str| found["properties"][key].as_str().unwrap_or_default().to_owned();
    let (account, container) = (text("accountName"), text("containerName"));
    let address = match client.storage() {
        Some(base) => format!("{}/{account}/{container}", base.trim_end_matches('/')),
        None => format!("{}://{account}.blob.{}/{container}", text("protocol"), text("endpoint")),
    };
    let proof = secret["sasToken"].as_str().map(|token| token.trim_start_matches('?')).filter(|token| !token.is_empty());
    let sas = proof.and_then(|proof| Url::parse(&format!("{address}?{proof}")).ok());
    sas.map(|sas| Container::new(client.http(), sas)).ok_or(Error::NotBuilt("reading a datastore without a shared access signature"))
}

/// Splits `azureml://datastores/NAME/paths/PATH`, in its short and its long form; `None` for other addresses.
pub(super) fn datastore_path(uri: &str) -> Option<(String, String)> {
    let rest = uri.strip_prefix("azureml://")?;
    let rest = &rest[rest.find("datastores/")? + "datastores/".len()..];
    let (name, path) = rest.split_once("/paths/")?;
    Some((name.to_owned(), path.to_owned()))
}

/// Returns a path that stays inside of the folder it is joined to; what comes from a workspace may be anybody's.
fn inside(path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    (is_plain && path.components().next().is_some()).then(|| path.to_owned())
}

async fn download(client: &Client, experiment: &str, run: &str, file: File, into: &Path) -> Result<(), Error> {
    let goal = into.join(&file.goal);
    if let Some(folder) = goal.parent() {
        fs::create_dir_all(folder)?;
    }
    let response = match file.from {
        From::Here(path) => {
            std::fs::copy(&path, &goal).context("copy", &path)?;
            return Ok(());
        }
        From::Artifact(path) => {
            let mut renewed = false;
            loop {
                let found = client.artifacts(experiment, run, "contentinfo", &[("path", &path)]).await?;
                let url = found["contentUri"].as_str().and_then(|url| Url::parse(url).ok());
                let missing = || Error::Storage { act: format!("find `{path}`"), status: 404, code: "it has no address".to_owned() };
                match blob::open(client.http(), &url.ok_or_else(missing)?).await {
                    // The address has come to its end before it was used.
                    Err(Error::Storage { status: 401 | 403, .. }) if !renewed => renewed = true,
                    opened => break opened?,
                }
            }
        }
        From::Blob(container, path) => container.get(&path).await?,
    };
    write(response, &goal).await
}

/// Writes an answer to a file; one that breaks off leaves none.
async fn write(response: reqwest::Response, goal: &Path) -> Result<(), Error> {
    let host = response.url().host_str().unwrap_or_default().to_owned();
    let partial = goal.with_file_name(format!(".{}.part", goal.file_name().unwrap_or_default().to_string_lossy()));
    let written = async {
        let mut file = tokio::fs::File::create(&partial).await.context("write", &partial)?;
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|source| Error::Unreachable { host: host.clone(), source: source.without_url() })?;
            file.write_all(&piece).await.context("write", &partial)?;
        }
        file.flush().await.context("write", &partial)?;
        std::fs::rename(&partial, goal).context("write", goal)?;
        Ok(())
    };
    let written: Result<(), Error> = written.await;
    if written.is_err() {
        let _ = fs::remove_file(&partial);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_datastores_are_split_in_both_forms() {
        let expected = Some(("d".to_owned(), "a/b/".to_owned()));
        assert_eq!(datastore_path("azureml://datastores/d/paths/a/b/"), expected);
        assert_eq!(datastore_path("azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/d/paths/a/b/"), expected);
        assert_eq!(datastore_path("https://store.test/a"), None);
        assert_eq!(datastore_path("azureml://jobs/j/outputs/o/paths/p"), None);
    }

    #[test]
    fn paths_of_a_workspace_do_not_leave_the_folder() {
        assert_eq!(inside("outputs/a b.txt"), Some("outputs/a b.txt".into()));
        for path in ["", "../a", "outputs/../../a", "/etc/passwd"] {
            assert_eq!(inside(path), None, "{path}");
        }
    }
}
