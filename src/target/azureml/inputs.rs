//! Addresses of inputs: what is of this machine is uploaded to the workspace's own storage before the job is sent, and the latest version of
//! what is registered is asked for.
//!
//! Uploads go where Azure's own client puts them, `LocalUpload/<hash>/<name>`, so that a file is uploaded once for all of its jobs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::blob::Written;
use super::client::Client;
use super::wire::{self, Registered};
use super::{Error, code, collect};
use crate::job::HostedInput;
use crate::support::azure;
use crate::support::fs::{self, Context};

/// The datastore of every workspace that takes data.
const DATASTORE: &str = "workspaceblobstore";
/// How many uploads go on at once.
const AT_ONCE: usize = 8;

/// Uploads what is of this machine and asks for latest versions; returns the address of each such input by its name.
pub(super) async fn find(client: &Client, inputs: &[(String, HostedInput)]) -> Result<BTreeMap<String, String>, Error> {
    let mut found = BTreeMap::new();
    for (name, input) in inputs {
        match input {
            HostedInput::Value(_) => {}
            HostedInput::Here { path, .. } => drop(found.insert(name.clone(), upload_one(client, path, path.is_dir()).await?)),
            HostedInput::There { uri, kind, .. } => {
                if let Some(Registered { name: asset, version: None }) = Registered::parse(uri) {
                    found.insert(name.clone(), client.latest(wire::collection(*kind), asset).await?);
                }
            }
        }
    }
    Ok(found)
}

async fn upload_one(client: &Client, path: &Path, is_folder: bool) -> Result<String, Error> {
    let (root, files) = if is_folder {
        (path.to_owned(), files(path)?)
    } else {
        (path.parent().unwrap_or(path).to_owned(), vec![file(path.parent().unwrap_or(path), path)?])
    };
    let hash = {
        let (root, files) = (root.clone(), files.clone());
        code::blocking(move || azure::code_hash(&files, |name| std::fs::File::open(root.join(name))).context("read", &root)).await?
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let prefix = format!("LocalUpload/{hash}");
    let base = if is_folder { format!("{prefix}/{name}") } else { prefix.clone() };
    let container = collect::open(client, DATASTORE).await?;
    let there = container.list(&format!("{prefix}/")).await?;
    let missing: Vec<(PathBuf, String)> = files
        .iter()
        .map(|(file, _)| (root.join(file), format!("{base}/{file}")))
        .filter(|(_, blob)| there.binary_search(blob).is_err())
        .collect();
    stream::iter(missing)
        .map(|(file, blob)| {
            let container = container.clone();
            async move {
                let bytes = code::blocking(move || fs::read(&file)).await?;
                match container.put(&blob, Bytes::from(bytes)).await? {
                    Written::Yes => Ok::<_, Error>(()),
                    Written::Expired(status) => Err(Error::Expired { status }),
                }
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    let end = if is_folder { format!("{base}/") } else { format!("{base}/{name}") };
    Ok(format!("azureml://datastores/{DATASTORE}/paths/{end}"))
}

/// Returns the files below a folder, links followed, by their paths with `/`.
fn files(root: &Path) -> Result<Vec<(String, u64)>, Error> {
    let walk = walkdir::WalkDir::new(root).follow_links(true).sort_by_file_name();
    let mut found = Vec::new();
    for entry in walk {
        let entry = entry.map_err(std::io::Error::from).context("read", root)?;
        if entry.file_type().is_file() {
            found.push(file(root, entry.path())?);
        }
    }
    Ok(found)
}

fn file(root: &Path, path: &Path) -> Result<(String, u64), Error> {
    let size = std::fs::metadata(path).context("read", path)?.len();
    let relative = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<String> = relative.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    Ok((parts.join("/"), size))
}
