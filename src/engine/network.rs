//! Networks of containers.

use std::collections::BTreeMap;

use bollard::models::{Ipam, NetworkCreateRequest};
use bollard::query_parameters::{InspectNetworkOptions, ListNetworksOptionsBuilder};

use super::container::label_filter;
use super::error::Object;
use super::{Engine, Error, known, name};

/// What is known of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its kind: `bridge`, `host`, `overlay`.
    pub driver: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The address of the engine's machine in it.
    pub gateway: Option<String>,
    /// Its addresses: `172.18.0.0/16`.
    pub subnet: Option<String>,
    /// Whether it leads nowhere else.
    pub internal: bool,
}

impl Engine {
    /// Creates a bridge network, and returns what is known of it. A name that is taken is a conflict.
    pub async fn create_network(&self, network: &str, labels: &BTreeMap<String, String>) -> Result<Network, Error> {
        let network = name::plain(Object::Network, network)?;
        let act = || format!("create the network `{network}`");
        // The engine lets two networks have one name unless it is asked not to, and older ones only look when asked.
        if self.inspect_network(network).await?.is_some() {
            return Err(Error::Conflict { act: act(), source: super::Said(format!("network with name {network} already exists")) });
        }
        let request = NetworkCreateRequest {
            name: network.to_owned(),
            driver: Some("bridge".to_owned()),
            labels: Some(labels.clone().into_iter().collect()),
            ..NetworkCreateRequest::default()
        };
        let made = self.act(act, self.docker.create_network(request)).await?;
        self.inspect_network(&made.id).await?.ok_or(Error::Missing { object: Object::Network, name: network.to_owned() })
    }

    /// Returns what is known of a network; nothing when there is none of that id or name.
    pub async fn inspect_network(&self, network: &str) -> Result<Option<Network>, Error> {
        let network = name::plain(Object::Network, network)?;
        let answer = self.docker.inspect_network(network, None::<InspectNetworkOptions>);
        let found = known(self.act(|| format!("inspect the network `{network}`"), answer).await)?;
        Ok(found.map(|found| read(found.id, found.name, found.driver, found.labels, found.ipam, found.internal)))
    }

    /// Lists the networks that have all the labels.
    pub async fn networks(&self, labels: &[(&str, &str)]) -> Result<Vec<Network>, Error> {
        let options = ListNetworksOptionsBuilder::default().filters(&label_filter(labels)).build();
        let found = self.act(|| "list networks".to_owned(), self.docker.list_networks(Some(options))).await?;
        Ok(found.into_iter().map(|found| read(found.id, found.name, found.driver, found.labels, found.ipam, found.internal)).collect())
    }

    /// Removes a network. One that is gone already is no error; one with containers in it is refused.
    pub async fn remove_network(&self, network: &str) -> Result<(), Error> {
        let network = name::plain(Object::Network, network)?;
        let answer = self.docker.remove_network(network);
        known(self.act(|| format!("remove the network `{network}`"), answer).await).map(|_| ())
    }
}

fn read(
    id: Option<String>,
    name: Option<String>,
    driver: Option<String>,
    labels: Option<std::collections::HashMap<String, String>>,
    ipam: Option<Ipam>,
    internal: Option<bool>,
) -> Network {
    let addresses = ipam.and_then(|ipam| ipam.config).unwrap_or_default().into_iter().next().unwrap_or_default();
    Network {
        id: id.unwrap_or_default(),
        name: name.unwrap_or_default(),
        driver: driver.unwrap_or_default(),
        labels: labels.unwrap_or_default().into_iter().collect(),
        gateway: addresses.gateway.map(|gateway| gateway.split('/').next().unwrap_or_default().to_owned()),
        subnet: addresses.subnet,
        internal: internal.unwrap_or(false),
    }
}
