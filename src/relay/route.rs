//! How a job reaches its tracker: one pure function, tested as a table.

use std::net::{Ipv4Addr, SocketAddr};

/// Where the tracker is, seen from the submitting machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracker {
    /// On the submitting machine's loopback interface: the managed server, or one that the user started.
    Loopback,
    /// Anywhere else: its address means the same everywhere.
    Remote,
}

/// Where the relay is, and what separates it from the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// In the job's own network: a process beside it on the submitting machine, or a container on the host's network.
    Beside,
    /// On the machine of the container engine, the job being in a container that reaches it at this gateway address.
    Gateway(Ipv4Addr),
    /// On the submitting machine's loopback interface, which the job reaches by this name.
    Named(&'static str),
    /// On another machine, beside the job; it reaches loopback trackers of the submitting machine through a tunnel that ends at this port there.
    Elsewhere {
        /// The tunnel's port on the job's machine; `None` when there is no tunnel.
        tunnel: Option<u16>,
    },
    /// On another machine, beside the job, without any way out.
    Isolated,
    /// There is none: no binary of ours runs on the job's machine, or the user does not want one.
    Nowhere,
}

/// Where the relay listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// On this address, at a port that the system chooses.
    At(Ipv4Addr),
    /// On loopback, at a port that the system chooses; the job knows it by this name.
    Behind(&'static str),
}

impl Listen {
    /// Returns the address.
    pub fn address(self) -> Ipv4Addr {
        match self {
            Self::At(address) => address,
            Self::Behind(_) => Ipv4Addr::LOCALHOST,
        }
    }

    /// Returns the job's URI of a relay that listens there.
    pub fn uri(self, relay: SocketAddr) -> String {
        match self {
            Self::At(_) => format!("http://{relay}"),
            Self::Behind(name) => format!("http://{name}:{}", relay.port()),
        }
    }
}

/// How a job reaches its tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Through a relay.
    Relay {
        /// Where it listens; the job's URI is this with the relay's port: see [`Listen::uri`].
        listen: Listen,
        /// The tracker's address as the relay has it; `None` means that it spools and the client delivers later.
        upstream: Option<String>,
    },
    /// By itself, at the tracker's own address; what that costs is said by the plan.
    Direct {
        /// The job's URI.
        uri: String,
    },
    /// There is no way.
    None {
        /// Why, for the plan.
        reason: &'static str,
    },
}

/// Decides the route.
pub fn route(uri: &str, tracker: Tracker, placement: &Placement) -> Route {
    let relay = |address, upstream| Route::Relay { listen: Listen::At(address), upstream };
    match (placement, tracker) {
        (Placement::Beside, _) => relay(Ipv4Addr::LOCALHOST, Some(uri.to_owned())),
        // The relay is on the tracker's own machine, so its loopback address is good.
        (Placement::Gateway(address), _) => relay(*address, Some(uri.to_owned())),
        (Placement::Named(name), _) => Route::Relay { listen: Listen::Behind(name), upstream: Some(uri.to_owned()) },
        (Placement::Elsewhere { .. }, Tracker::Remote) => relay(Ipv4Addr::LOCALHOST, Some(uri.to_owned())),
        (Placement::Elsewhere { tunnel: Some(port) }, Tracker::Loopback) => {
            relay(Ipv4Addr::LOCALHOST, Some(format!("http://127.0.0.1:{port}")))
        }
        (Placement::Elsewhere { tunnel: None } | Placement::Isolated, _) => relay(Ipv4Addr::LOCALHOST, None),
        (Placement::Nowhere, Tracker::Remote) => Route::Direct { uri: uri.to_owned() },
        (Placement::Nowhere, Tracker::Loopback) => {
            Route::None { reason: "the tracker listens on the submitting machine only, and no relay can run beside the job" }
        }
    }
}

/// Returns whether an address is the submitting machine's own.
pub fn tracker_of(uri: &str) -> Tracker {
    let host = url::Url::parse(uri).ok().and_then(|url| url.host().map(|host| host.to_owned()));
    let own = match host {
        Some(url::Host::Ipv4(address)) => address.is_loopback() || address.is_unspecified(),
        Some(url::Host::Ipv6(address)) => address.is_loopback() || address.is_unspecified(),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    };
    if own { Tracker::Loopback } else { Tracker::Remote }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table() {
        let (own, far) = ("http://127.0.0.1:5000", "https://mlflow.example.org");
        let gateway = Ipv4Addr::new(172, 17, 0, 1);
        let relay = |address, upstream: Option<&str>| Route::Relay { listen: Listen::At(address), upstream: upstream.map(str::to_owned) };
        let local = Ipv4Addr::LOCALHOST;
        for (uri, placement, expected) in [
            (own, Placement::Beside, relay(local, Some(own))),
            (far, Placement::Beside, relay(local, Some(far))),
            (own, Placement::Gateway(gateway), relay(gateway, Some(own))),
            (far, Placement::Gateway(gateway), relay(gateway, Some(far))),
            (own, Placement::Named("host.test"), Route::Relay { listen: Listen::Behind("host.test"), upstream: Some(own.to_owned()) }),
            (own, Placement::Elsewhere { tunnel: Some(41234) }, relay(local, Some("http://127.0.0.1:41234"))),
            (far, Placement::Elsewhere { tunnel: Some(41234) }, relay(local, Some(far))),
            (own, Placement::Elsewhere { tunnel: None }, relay(local, None)),
            (far, Placement::Elsewhere { tunnel: None }, relay(local, Some(far))),
            (own, Placement::Isolated, relay(local, None)),
            (far, Placement::Isolated, relay(local, None)),
            (far, Placement::Nowhere, Route::Direct { uri: far.to_owned() }),
        ] {
            assert_eq!(route(uri, tracker_of(uri), &placement), expected, "{uri} {placement:?}");
        }
        assert!(matches!(route(own, tracker_of(own), &Placement::Nowhere), Route::None { .. }));
    }

    #[test]
    fn loopback_addresses_are_known_in_all_their_forms() {
        for uri in ["http://localhost:5000", "http://127.0.0.1", "http://127.9.9.9:1/p", "http://[::1]:5000", "http://0.0.0.0:5000"] {
            assert_eq!(tracker_of(uri), Tracker::Loopback, "{uri}");
        }
        for uri in ["https://mlflow.example.org", "http://10.0.0.5:5000", "http://localhost.example.org"] {
            assert_eq!(tracker_of(uri), Tracker::Remote, "{uri}");
        }
    }
}
