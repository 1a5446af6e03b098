//! `tracking`.

use std::time::Duration;

use crate::config::layers::{self, Layers, strongest};
use crate::config::{Origin, Sourced};
use crate::support::memory::Memory;
use crate::support::secret::without_credentials;
use crate::support::yaml::{Context, Parsed, Place};
use crate::target::config::{TargetConfig, TargetSpec};
use crate::tracking::{Attach, Chosen, RelayMode, Relaying, Section, Spec, Uri};

/// The tracker and the way to attach, each with who set it.
#[derive(Debug)]
pub(in crate::config) struct Sources {
    /// `None` inside means that there shall be no tracker.
    pub(in crate::config) uri: Sourced<Option<Uri>>,
    pub(in crate::config) attach: Sourced<Attach>,
    pub(in crate::config) relay: Sourced<RelayMode>,
    pub(in crate::config) outage: Sourced<Duration>,
    pub(in crate::config) drain: Sourced<Duration>,
    pub(in crate::config) spool: Sourced<u64>,
    pub(in crate::config) credentials: Option<Sourced<String>>,
}

impl Sources {
    /// Returns the values, with the origin of the tracker.
    pub(super) fn spec(&self) -> Sourced<Spec> {
        let relay = Relaying { mode: self.relay.value, outage: self.outage.value, drain: self.drain.value, spool: self.spool.value };
        Sourced { value: Spec { uri: self.uri.value.clone(), attach: self.attach.value, relay }, origin: self.uri.origin.clone() }
    }
}

/// Returns who tracks and how.
pub(super) fn check(section: Option<&Section>, target: Option<&TargetSpec>, layers: Layers<'_>, context: &Context) -> Sources {
    let uri = tracker(section, layers, context).unwrap_or_else(|| Sourced { value: Some(usual(target)), origin: Origin::Default });
    suits(&uri, section, target, context);
    let defaults = Relaying::default();
    let attach = pick(section, layers, |section| section.attach.as_ref(), Attach::default());
    let relay = pick(section, layers, |section| section.relay.as_ref(), defaults.mode);
    let outage = pick(section, layers, |section| section.outage.as_ref(), defaults.outage);
    let drain = pick(section, layers, |section| section.drain.as_ref(), defaults.drain);
    let spool = pick(section, layers, |section| section.spool_size.as_ref(), Memory(defaults.spool));
    let spool = Sourced { value: spool.value.0, origin: spool.origin };
    let credentials = credentials(&uri, layers);
    Sources { uri, attach, relay, outage, drain, spool, credentials }
}

/// Returns the tracker of a target where nobody names one: a workspace tracks its own jobs.
fn usual(target: Option<&TargetSpec>) -> Uri {
    match target.map(|target| &target.config) {
        Some(TargetConfig::AzureMl(_)) => Uri::Workspace,
        _ => Uri::Managed,
    }
}

/// Finds a tracker that the jobs of a target cannot have.
fn suits(uri: &Sourced<Option<Uri>>, section: Option<&Section>, target: Option<&TargetSpec>, context: &Context) {
    let (Some(value), Some(target)) = (&uri.value, target) else { return };
    let hosted = matches!(target.config, TargetConfig::AzureMl(_));
    let kind = target.config.kind().word();
    let (reason, fix) = match value {
        Uri::Workspace if hosted => return,
        Uri::Workspace => (
            format!("only jobs of the kind `azureml` run in a workspace, and `{}` is of the kind `{kind}`", target.name),
            "use `managed`, or an `http(s)://` address",
        ),
        _ if !hosted => return,
        Uri::Managed => (
            "the machines of Azure ML cannot reach a server on this one".to_owned(),
            "use `workspace`: the job is its own MLflow run there",
        ),
        Uri::Http(url) if is_loopback(url) => (
            format!("the machines of Azure ML cannot reach `{}` of this one", url.host_str().unwrap_or_default()),
            "use `workspace`: the job is its own MLflow run there",
        ),
        _ => (
            "another tracker than its own workspace is not built yet for Azure ML".to_owned(),
            "use `workspace`: the job is its own MLflow run there",
        ),
    };
    let written = section.and_then(|section| section.uri.as_ref()).map(|text| &text.place);
    let elsewhere = Place::whole(uri.origin.to_string(), &value.to_string());
    let place = written.filter(|_| matches!(uri.origin, Origin::RunConfig { .. })).unwrap_or(&elsewhere);
    context.find(place, "this tracker cannot track the jobs of this target", reason, Some(fix.to_owned()));
}

fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Says where the tracker's credentials come from, and who says so.
fn credentials(uri: &Sourced<Option<Uri>>, layers: Layers<'_>) -> Option<Sourced<String>> {
    let Some(Uri::Http(url)) = &uri.value else { return None };
    let (keyring, typed) = (layers.keyring(), matches!(uri.origin, Origin::Flag(_)));
    let chosen = Chosen::new(url, typed, layers.environment, &keyring);
    let origin = match chosen {
        Chosen::Nothing => return None,
        Chosen::Address => uri.origin.clone(),
        Chosen::Variable(name) => Origin::Environment(name.to_owned()),
        Chosen::Settings(entry) => Origin::UserSettings { file: entry.file.clone(), line: entry.line },
    };
    Some(Sourced { value: chosen.to_string(), origin })
}

/// Returns a key's value of the strongest layer.
fn pick<T: Copy>(section: Option<&Section>, layers: Layers<'_>, key: impl Fn(&Section) -> Option<&Parsed<T>>, default: T) -> Sourced<T> {
    let written = layers::parsed(section.and_then(&key));
    let settings = layers.settings(|settings| {
        let found = key(settings.document.tracking.as_ref()?)?;
        Some((found.value, &found.place))
    });
    strongest([written].into_iter().chain(settings)).unwrap_or(Sourced { value: default, origin: Origin::Default })
}

/// Returns the tracker of the strongest layer; `None` inside means that there shall be none.
pub(in crate::config) fn tracker(section: Option<&Section>, layers: Layers<'_>, context: &Context) -> Option<Sourced<Option<Uri>>> {
    if layers.flags.no_tracking {
        return Some(Sourced { value: None, origin: Origin::Flag("--no-tracking".to_owned()) });
    }
    // What is shown of a variable or a flag must not hold a password.
    let elsewhere = |name: &str, text: &str| {
        let shown = if text.contains("://") { without_credentials(text) } else { text.rsplit('@').next().unwrap_or(text).to_owned() };
        (text.to_owned(), Place::whole(name, &shown))
    };
    let flag = layers
        .flags
        .tracking_uri
        .as_ref()
        .map(|text| Sourced { value: elsewhere("--tracking-uri", text), origin: Origin::Flag("--tracking-uri".to_owned()) });
    let written = section
        .and_then(|section| section.uri.as_ref())
        .map(|uri| Sourced { value: (uri.text.clone(), uri.place.clone()), origin: layers::origin(&uri.place) });
    let variable = layers
        .variable("MLFLOW_TRACKING_URI")
        .map(|uri| Sourced { value: elsewhere("MLFLOW_TRACKING_URI", &uri.value), origin: uri.origin });
    let settings = layers.settings(|settings| {
        let uri = settings.document.tracking.as_ref()?.uri.as_ref()?;
        Some(((uri.text.clone(), uri.place.clone()), &uri.place))
    });
    let Sourced { value: (text, place), origin } = strongest([flag, written, variable].into_iter().chain(settings))?;
    if text == "none" {
        return Some(Sourced { value: None, origin });
    }
    let reason = match text.parse::<Uri>() {
        Ok(Uri::AzureMl(_) | Uri::Databricks(_)) => "this kind of tracker is not built yet".to_owned(),
        Ok(uri) => return Some(Sourced { value: Some(uri), origin }),
        Err(error) => error.reason,
    };
    context.find(&place, "this is not a tracker that jobs can use", reason, without_scheme(&text));
    None
}

/// Suggests the address that a host without a scheme means: `localhost:5000`.
fn without_scheme(text: &str) -> Option<String> {
    let is_host = !text.contains("://") && (text.contains([':', '.']) || text == "localhost");
    let meant = format!("http://{text}");
    let url = url::Url::parse(&meant).ok().filter(|url| is_host && url.has_host())?;
    Some(format!("did you mean `{}`?", without_credentials(&meant).trim_end_matches('/'))).filter(|_| url.path().len() <= 1)
}
