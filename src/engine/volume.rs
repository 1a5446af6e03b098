//! Volumes: folders that the engine keeps.

use std::collections::BTreeMap;

use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::{ListVolumesOptionsBuilder, RemoveVolumeOptions};

use super::container::label_filter;
use super::error::Object;
use super::{Engine, Error, known, name};

/// What is known of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl Engine {
    /// Creates a volume. One of that name that exists already stays as it is, labels included.
    pub async fn create_volume(&self, volume: &str, labels: &BTreeMap<String, String>) -> Result<Volume, Error> {
        let volume = name::plain(Object::Volume, volume)?;
        let labels = labels.clone().into_iter().collect();
        let request = VolumeCreateRequest { name: Some(volume.to_owned()), labels: Some(labels), ..VolumeCreateRequest::default() };
        let made = self.act(|| format!("create the volume `{volume}`"), self.docker.create_volume(request)).await?;
        Ok(read(made))
    }

    /// Returns what is known of a volume; nothing when there is none of that name.
    pub async fn inspect_volume(&self, volume: &str) -> Result<Option<Volume>, Error> {
        let volume = name::plain(Object::Volume, volume)?;
        let found = self.act(|| format!("inspect the volume `{volume}`"), self.docker.inspect_volume(volume)).await;
        Ok(known(found)?.map(read))
    }

    /// Lists the volumes that have all the labels.
    pub async fn volumes(&self, labels: &[(&str, &str)]) -> Result<Vec<Volume>, Error> {
        let options = ListVolumesOptionsBuilder::default().filters(&label_filter(labels)).build();
        let found = self.act(|| "list volumes".to_owned(), self.docker.list_volumes(Some(options))).await?;
        Ok(found.volumes.unwrap_or_default().into_iter().map(read).collect())
    }

    /// Removes a volume. One that is gone already is no error, one in use is a conflict.
    pub async fn remove_volume(&self, volume: &str) -> Result<(), Error> {
        let volume = name::plain(Object::Volume, volume)?;
        let answer = self.docker.remove_volume(volume, None::<RemoveVolumeOptions>);
        known(self.act(|| format!("remove the volume `{volume}`"), answer).await).map(|_| ())
    }
}

fn read(volume: bollard::models::Volume) -> Volume {
    Volume { name: volume.name, labels: volume.labels.into_iter().collect() }
}
