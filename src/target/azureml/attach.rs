//! Files of ours among the artifacts of a job's MLflow run, which is the job itself.

use bytes::Bytes;
use url::Url;

use super::client::Client;
use super::parse::Job;
use super::{Error, blob};

/// The folder of the run's artifacts that is ours.
const FOLDER: &str = "sendoff";

/// Writes files below `sendoff/`, by their names. One that the run has already stays as it is, so this may be repeated.
pub(super) async fn attach(client: &Client, job: &Job, files: Vec<(String, Vec<u8>)>) -> Result<(), Error> {
    let experiment = job.properties.experiment_name.as_deref().unwrap_or("Default");
    let paths: Vec<String> = files.iter().map(|(name, _)| format!("{FOLDER}/{name}")).collect();
    let made = client.create_artifacts(experiment, &job.name, &paths).await?;
    for (path, (_, content)) in paths.iter().zip(files) {
        let place = made["artifactContentInformation"][path]["contentUri"].as_str().and_then(|uri| Url::parse(uri).ok());
        match place {
            Some(place) => blob::write(client.http(), &place, Bytes::from(content)).await?,
            // What is there is named among the errors, and has no address to write to.
            None if made["errors"].get(path).is_some() => {}
            None => {
                return Err(Error::Storage {
                    act: format!("find a place for `{path}`"),
                    status: 404,
                    code: "it has no address".to_owned(),
                });
            }
        }
    }
    Ok(())
}
