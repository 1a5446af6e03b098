//! A job's inputs and outputs: where their content is in storage, where it is on the node, and what stands for them in the command.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::blobs::Blob;
use super::super::job::{Job, folder};
use super::super::routes::arm::{ARTIFACTS, DATA, DEFAULT, container};
use super::super::service::{Service, account};
use super::variables::data_directory;
use crate::support::azure::{AssetId, Scope};
use crate::support::causes;

/// A folder, or the beginning of names, in storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) container: String,
    /// Without a slash at its end.
    pub(super) path: String,
}

/// An output that is collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Output {
    /// Its folder on the node.
    pub(super) folder: String,
    pub(super) goal: Location,
}

/// What a job reads and writes.
#[derive(Debug, Default)]
pub(super) struct Data {
    /// What stands for the expressions of the command: `inputs.x`.
    pub(super) values: BTreeMap<String, String>,
    pub(super) variables: BTreeMap<String, String>,
    /// Blobs, each with its path on the node.
    pub(super) files: Vec<(String, Blob)>,
    pub(super) outputs: Vec<Output>,
}

impl Data {
    /// Takes in what stands for an input or output in the command and among the variables.
    fn stands_for(&mut self, place: &str, name: &str, value: &str) {
        let variable = if place == "inputs" { "AZURE_ML_INPUT" } else { "AZURE_ML_OUTPUT" };
        self.values.insert(format!("{place}.{name}"), value.to_owned());
        self.variables.insert(format!("{variable}_{name}"), value.to_owned());
        self.variables.insert(format!("AZUREML_DATAREFERENCE_{name}"), value.to_owned());
    }
}

/// Finds out what a job reads and writes, or says what cannot be had.
pub(super) fn plan(service: &Service, job: &Job) -> Result<Data, String> {
    let mut data = Data::default();
    for (name, input) in entries(&job.properties["inputs"]) {
        add_input(service, job, &mut data, name, input)?;
    }
    for (name, output) in entries(&job.properties["outputs"]).filter(|(name, _)| *name != "default") {
        if let Some(asset) = output["assetName"].as_str() {
            return Err(format!("the output '{name}' cannot be registered as '{asset}': this emulator makes no asset of an output"));
        }
        if output["mode"].as_str() == Some("Direct") {
            let uri = output["uri"].as_str().unwrap_or_default();
            if uri.is_empty() {
                return Err(format!("the output '{name}' has the mode Direct and no address"));
            }
            data.stands_for("outputs", name, uri);
            continue;
        }
        let node = format!("{}/{name}", data_directory(job));
        let goal = match output["uri"].as_str().filter(|uri| !uri.is_empty()) {
            Some(uri) => locate(job, uri).ok_or_else(|| format!("the output '{name}' cannot be written to '{uri}'"))?,
            None => default_output(&job.scope, &job.name, name),
        };
        data.stands_for("outputs", name, &node);
        data.outputs.push(Output { folder: node, goal });
    }
    Ok(data)
}

fn entries(map: &Value) -> impl Iterator<Item = (&str, &Value)> {
    map.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value)).filter(|(_, value)| !value.is_null())
}

fn add_input(service: &Service, job: &Job, data: &mut Data, name: &str, input: &Value) -> Result<(), String> {
    if input["jobInputType"].as_str() == Some("literal") {
        let value = input["value"].as_str().map_or_else(|| input["value"].to_string(), str::to_owned);
        data.values.insert(format!("inputs.{name}"), value.clone());
        data.variables.insert(format!("AZUREML_PARAMETER_{name}"), value);
        return Ok(());
    }
    let uri = &asset(service, job, input["uri"].as_str().unwrap_or_default())?;
    if input["mode"].as_str() == Some("ReadWriteMount") {
        return Err(format!(
            "the input '{name}' has the mode ReadWriteMount: what a job changes does not get back to storage in this emulator"
        ));
    }
    if let Some((_, asset)) = uri.split_once("/workspaces/").filter(|_| uri.starts_with("/subscriptions/")) {
        return Err(format!("the input '{name}' is registered ('{asset}'): this emulator keeps data assets, and no models"));
    }
    let value = if input["mode"].as_str() == Some("Direct") {
        uri.to_owned()
    } else {
        let location = locate(job, uri)
            .ok_or_else(|| format!("the input '{name}' cannot be read from '{uri}': this emulator reads its own datastores"))?;
        let found = service.blobs.list(&account(&job.scope), &location.container, &location.path).map_err(|error| error.to_string())?;
        let node = format!("{}/INPUT_{name}", data_directory(job));
        let mut single = None;
        for blob in found {
            let below = &blob.name[location.path.len()..];
            let inside = match below.strip_prefix('/') {
                Some(inside) => inside.to_owned(),
                // Nothing below it: it is a file of its own.
                None if below.is_empty() => {
                    let file = location.path.rsplit('/').next().unwrap_or_default().to_owned();
                    single = Some(format!("{node}/{file}"));
                    file
                }
                None => continue,
            };
            data.files.push((format!("{node}/{inside}"), blob));
        }
        if data.files.iter().all(|(path, _)| !path.starts_with(&format!("{node}/"))) {
            return Err(format!("the input '{name}': nothing is at '{uri}'"));
        }
        single.unwrap_or(node)
    };
    data.stands_for("inputs", name, &value);
    Ok(())
}

/// Returns the address of a data asset that is named in the place of one: `azureml:NAME:VERSION`, or the asset's id.
fn asset(service: &Service, job: &Job, uri: &str) -> Result<String, String> {
    if uri.starts_with("azureml://") {
        return Ok(uri.to_owned());
    }
    let short = uri.strip_prefix("azureml:");
    let named = match short.unwrap_or(uri).parse::<AssetId>() {
        Ok(id) if id.collection.eq_ignore_ascii_case(DATA) => Some((id.name, id.version)),
        Ok(_) => None,
        Err(_) => short.and_then(|short| short.split_once(':')).map(|(name, version)| (name.to_owned(), version.to_owned())),
    };
    let Some((name, version)) = named else { return Ok(uri.to_owned()) };
    let found = service.store.get(&job.scope, DATA, &name, &version).map_err(|error| causes::in_one_line(&error))?;
    let found = found.ok_or_else(|| format!("the data asset '{name}:{version}' was not found"))?;
    Ok(found.body["dataUri"].as_str().unwrap_or_default().to_owned())
}

/// Returns where an output of a job is that names no place.
fn default_output(scope: &Scope, job: &str, output: &str) -> Location {
    Location { container: container(scope, DEFAULT).unwrap_or_default(), path: format!("azureml/{job}/{output}") }
}

/// Finds what an address leads to: a path of a datastore, an output of a job, or a blob of the workspace's account.
fn locate(job: &Job, uri: &str) -> Option<Location> {
    let scope = &job.scope;
    let path = |text: &str| text.trim_matches('/').to_owned();
    if let Some(rest) = uri.strip_prefix("azureml://") {
        if let Some((run, rest)) = rest.strip_prefix("jobs/").and_then(|rest| rest.split_once("/outputs/")) {
            let (output, below) = rest.split_once("/paths").unwrap_or((rest, ""));
            let whole = match output.trim_matches('/') {
                "default" | "artifacts" => Location { container: container(scope, ARTIFACTS)?, path: folder(run) },
                output => default_output(scope, run, output),
            };
            return Some(Location { path: path(&format!("{}/{}", whole.path, below.trim_matches('/'))), ..whole });
        }
        let (_, rest) = format!("/{rest}").split_once("/datastores/").map(|(before, rest)| (before.to_owned(), rest.to_owned()))?;
        let (datastore, below) = rest.split_once("/paths/").unwrap_or((&rest, ""));
        return Some(Location { container: container(scope, datastore.trim_matches('/'))?, path: path(below) });
    }
    of_account(scope, uri)
}

/// Reads an address of a blob, or of a folder of blobs, of the workspace's account: `https://HOST/ACCOUNT/CONTAINER/PATH`.
pub(super) fn of_account(scope: &Scope, uri: &str) -> Option<Location> {
    let url = url::Url::parse(uri).ok()?;
    let own = account(scope);
    let decoded = percent_encoding::percent_decode_str(url.path()).decode_utf8_lossy().into_owned();
    let rest = decoded.trim_start_matches('/');
    let below = match url.host_str().and_then(|host| host.strip_suffix(super::super::service::BLOB_HOSTS)) {
        Some(account) if account == own => rest,
        Some(_) => return None,
        None => rest.strip_prefix(&own)?.strip_prefix('/')?,
    };
    let (container, path) = below.split_once('/').unwrap_or((below, ""));
    Some(Location { container: container.to_owned(), path: path.trim_matches('/').to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::azureml::job::tests::job;

    #[test]
    fn addresses_of_every_form_lead_to_a_container_and_a_path() {
        let job = job("j");
        let default = container(&job.scope, DEFAULT).expect("it is built in");
        let account = account(&job.scope);
        let at = |container: &str, path: &str| Some(Location { container: container.to_owned(), path: path.to_owned() });
        for (uri, expected) in [
            ("azureml://datastores/workspaceblobstore/paths/a/b/", at(&default, "a/b")),
            ("azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/workspaceblobstore/paths/a", at(&default, "a")),
            ("azureml://datastores/nowhere/paths/a", None),
            ("azureml://jobs/k/outputs/default/paths/outputs/m.pkl", at("azureml", "ExperimentRun/dcid.k/outputs/m.pkl")),
            ("azureml://jobs/k/outputs/model", at(&default, "azureml/k/model")),
            (&format!("https://127.0.0.1:1/{account}/c/a%20b/x?sig=1"), at("c", "a b/x")),
            (&format!("https://{account}.blob.core.windows.net/c/x"), at("c", "x")),
            ("https://elsewhere.blob.core.windows.net/c/x", None),
            ("https://example.test/x", None),
        ] {
            assert_eq!(locate(&job, uri), expected, "{uri}");
        }
    }
}
