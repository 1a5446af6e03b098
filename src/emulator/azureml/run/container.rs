//! A node: its container, and the files that it starts with.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use futures_util::StreamExt;
use serde_json::Value;
use tokio_util::io::ReaderStream;

use super::super::authority;
use super::super::job::Job;
use super::super::service::{Service, account};
use super::data::{Data, of_account};
use super::distribution;
use super::nodes::{JOB, Nodes, OWNER};
use super::sizes::Size;
use super::variables::{About, data_directory, home, host_name, of_node, working_directory};
use crate::engine::{ContainerSpec, Removal, Tar};
use crate::support::{causes, shell};

/// The program of every node.
const RUN: &str = include_str!("../../../../templates/emulator/azureml-run.sh");
/// Where the emulator's own files are on a node.
pub(super) const OWN: &str = "/mnt/azureml/emulator";
/// Shared memory when the job names none: the service's default.
const SHARED_MEMORY: u64 = 2 << 30;
/// The label with a node's number.
pub(super) const NODE: &str = "sendoff.emulator.node";

/// What all nodes of a job start with.
pub(super) struct Start {
    pub(super) image: String,
    pub(super) command: String,
    pub(super) data: Data,
    pub(super) experiment_id: String,
    pub(super) size_name: String,
    pub(super) size: Size,
    /// The archive of all files.
    pub(super) archive: tempfile::NamedTempFile,
}

/// Packs what a node starts with: the code, the inputs, the emulator's own files.
pub(super) fn pack(service: &Service, job: &Job, data: &Data) -> Result<tempfile::NamedTempFile, String> {
    let code = code(service, job)?;
    let certificate = std::fs::read(authority::certificate(&service.folder)).map_err(|error| error.to_string())?;
    let packed = || {
        let mut file = tempfile::NamedTempFile::new_in(&service.folder)?;
        let mut archive = tar::Builder::new(io::BufWriter::new(file.as_file_mut()));
        for folder in [working_directory(job), data_directory(job), OWN.to_owned()] {
            add_folder(&mut archive, &folder)?;
        }
        for output in &data.outputs {
            add_folder(&mut archive, &output.folder)?;
        }
        add(&mut archive, &format!("{OWN}/run.sh"), RUN.len() as u64, RUN.as_bytes())?;
        add(&mut archive, &format!("{OWN}/ca.pem"), certificate.len() as u64, certificate.as_slice())?;
        for (path, source) in
            code.iter().map(|(path, blob)| (path, &blob.file)).chain(data.files.iter().map(|(path, blob)| (path, &blob.file)))
        {
            let content = std::fs::File::open(source)?;
            let size = content.metadata()?.len();
            add(&mut archive, path, size, content)?;
        }
        archive.into_inner()?.flush()?;
        Ok(file)
    };
    packed().map_err(|error: io::Error| format!("could not pack the files of the job: {error}"))
}

fn header(kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    // As the service mounts them: everybody may run everything.
    header.set_mode(0o755);
    header.set_mtime(u64::try_from(crate::support::clock::now().as_second()).unwrap_or(0));
    header
}

fn add_folder(archive: &mut tar::Builder<impl Write>, path: &str) -> io::Result<()> {
    archive.append_data(&mut header(tar::EntryType::Directory, 0), Path::new(&format!("{}/", path.trim_start_matches('/'))), io::empty())
}

fn add(archive: &mut tar::Builder<impl Write>, path: &str, size: u64, content: impl io::Read) -> io::Result<()> {
    archive.append_data(&mut header(tar::EntryType::Regular, size), Path::new(path.trim_start_matches('/')), content)
}

/// Returns the files of the job's code, each with its path on the node.
fn code(service: &Service, job: &Job) -> Result<Vec<(String, super::super::blobs::Blob)>, String> {
    let Some(id) = job.code() else { return Ok(Vec::new()) };
    let found = service.store.get(&job.scope, "codes", &id.name, &id.version).map_err(|error| error.to_string())?;
    let asset = found.ok_or_else(|| format!("the code asset '{id}' is gone"))?;
    let uri = asset.body["codeUri"].as_str().unwrap_or_default();
    let location = of_account(&job.scope, uri).ok_or_else(|| format!("the code cannot be read from '{uri}'"))?;
    let blobs = service.blobs.list(&account(&job.scope), &location.container, &location.path).map_err(|error| error.to_string())?;
    let goal = working_directory(job);
    let files: Vec<_> = blobs
        .into_iter()
        .filter_map(|blob| {
            let below = &blob.name[location.path.len()..];
            let inside = match below.strip_prefix('/') {
                Some(inside) => inside.to_owned(),
                // The code is one file.
                None if below.is_empty() => location.path.rsplit('/').next()?.to_owned(),
                None if location.path.is_empty() => below.to_owned(),
                None => return None,
            };
            Some((format!("{goal}/{inside}"), blob))
        })
        .collect();
    if files.is_empty() { Err(format!("nothing was uploaded to '{uri}'")) } else { Ok(files) }
}

/// Starts a node, and returns its container.
pub(super) async fn start(service: &Service, nodes: &Nodes, job: &Job, start: &Start, rank: u32) -> Result<String, String> {
    let said = |error: crate::engine::Error| causes::in_one_line(&error);
    let spec = described(nodes, job, start, rank);
    if let Some(half) = nodes.engine.inspect(&spec.name).await.map_err(said)? {
        nodes.engine.remove(&half.id, Removal::Forced).await.map_err(said)?;
    }
    let id = nodes.engine.create(&spec).await.map_err(said)?;
    let file = tokio::fs::File::open(start.archive.path()).await.map_err(|error| error.to_string())?;
    nodes.engine.put(&id, "/", Tar::Stream(ReaderStream::new(file).boxed())).await.map_err(said)?;
    let input = script(service, job, start, rank);
    nodes.engine.start_with_input(&id, input.as_bytes()).await.map_err(said)?;
    Ok(id.to_string())
}

fn described(nodes: &Nodes, job: &Job, start: &Start, rank: u32) -> ContainerSpec {
    let host = host_name(job, rank);
    let labels = [(OWNER, nodes.owner.clone()), (JOB, job.uuid.clone()), (NODE, rank.to_string())];
    ContainerSpec {
        name: format!("sendoff-azureml-{host}"),
        image: start.image.clone(),
        entrypoint: Some(vec!["/bin/sh".to_owned()]),
        command: vec![format!("{OWN}/run.sh")],
        // Docker's init passes TERM on to everything that the command started.
        environment: BTreeMap::from([("TINI_KILL_PROCESS_GROUP".to_owned(), "1".to_owned())]),
        labels: labels.map(|(name, value)| (name.to_owned(), value)).into(),
        user: Some("0:0".to_owned()),
        working_directory: Some(home(job)),
        cpus: Some(f64::from(start.size.cpus)),
        memory: Some(start.size.memory),
        shared_memory: Some(job.properties["resources"]["shmSize"].as_str().and_then(bytes).unwrap_or(SHARED_MEMORY)),
        init: true,
        open_stdin: true,
        network: Some(nodes.network.clone()),
        aliases: vec![host.clone()],
        hostname: Some(host),
        ..ContainerSpec::default()
    }
}

/// Returns what the node's program reads from its standard input.
fn script(service: &Service, job: &Job, start: &Start, rank: u32) -> String {
    let mut variables = start.data.variables.clone();
    variables.extend(of_node(service, job, rank, &About { experiment_id: &start.experiment_id, size_name: &start.size_name }));
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let mut text: String = variables
        .iter()
        .filter(|(name, _)| is_name(name) && !name.starts_with(|first: char| first.is_ascii_digit()))
        .map(|(name, value)| format!("export {name}={}\n", shell::quote(value)))
        .collect();
    let processes = distribution::processes(job);
    text.push_str(&format!("processes={processes}\nfirst={}\n", rank * processes));
    text.push_str(&format!("command={}\n# complete", shell::quote(&start.command)));
    text
}

/// Reads a size such as `2g`.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|last: char| last.is_ascii_alphabetic());
    let factor = match text[digits.len()..].to_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// Returns the name of the user's program in messages.
pub(super) fn program(command: &Value) -> String {
    command.as_str().and_then(|text| text.split_whitespace().next()).unwrap_or("bash").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_shared_memory_are_read_as_docker_reads_them() {
        for (text, expected) in [("2g", Some(2 << 30)), ("512M", Some(512 << 20)), ("64", Some(64)), ("1t", None), ("g", None)] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    #[test]
    #[ignore = "needs `shellcheck`"]
    fn shellcheck_finds_nothing_in_the_program_of_a_node() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("run.sh");
        std::fs::write(&path, RUN).expect("writable");
        let output = std::process::Command::new("shellcheck").arg(&path).output().expect("`shellcheck` runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
