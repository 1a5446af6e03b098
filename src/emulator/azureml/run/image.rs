//! The image of a job's environment.

use std::io::Write;

use super::super::blobs::Place;
use super::super::host::{Image, ImageRequest};
use super::super::job::Job;
use super::super::routes::arm::{ARTIFACTS, container};
use super::super::service::{Service, account};
use super::super::store::Document;
use crate::support::azure::AssetId;

/// The base image in place of those that Microsoft publishes for training.
const LOCAL_BASE: &str = "python:3.11-slim";
/// Where those are.
const CURATED: &str = "mcr.microsoft.com/azureml/";
/// The log of a build.
const LOG: &str = "azureml-logs/20_image_build_log.txt";

/// Makes the image, or says why there is none.
pub(super) async fn make(service: &Service, job: &Job) -> Result<Image, String> {
    let environment = environment(service, job)?;
    let image = environment.body["image"].as_str().unwrap_or_default();
    let base = local(image);
    let place = Place::new(&account(&job.scope), &container(&job.scope, ARTIFACTS).unwrap_or_default(), &format!("{}/{LOG}", job.folder()));
    let log = service.blobs.growing(&place).map_err(|error| error.to_string())?;
    let say = |line: &str| {
        if let Ok(mut log) = std::fs::OpenOptions::new().append(true).open(&log) {
            let _ = writeln!(log, "{line}");
        }
    };
    if base != image {
        say(&format!("the emulator takes {base} in place of {image}"));
    }
    let made = service.host.image(ImageRequest { base, conda_file: environment.body["condaFile"].as_str() }, &say).await;
    if let Err(reason) = &made {
        say(reason);
    }
    made
}

fn environment(service: &Service, job: &Job) -> Result<Document, String> {
    let id = job.text("environmentId");
    let parsed: Option<AssetId> = id.parse().ok();
    let found = parsed.and_then(|id| service.store.get(&job.scope, "environments", &id.name, &id.version).ok().flatten());
    found.ok_or_else(|| format!("the environment '{id}' is gone"))
}

/// Returns the image to start from on this machine.
fn local(image: &str) -> &str {
    if image.starts_with(CURATED) { LOCAL_BASE } else { image }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_microsofts_training_images_are_replaced() {
        assert_eq!(local("mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:latest"), LOCAL_BASE);
        assert_eq!(local("team/train:1"), "team/train:1");
    }
}
