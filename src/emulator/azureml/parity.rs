//! The parity report: what is as the service does it, what is nearly so, and what is not there.

use super::mlflow;
use super::route::{Plane, Route};
use super::routes;

/// How near a part of the emulator is to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Faith {
    /// As far as its clients can see, it is the same.
    Faithful,
    /// It differs in this.
    Approximated(&'static str),
    /// It is not there; this happens instead.
    Absent(&'static str),
}

/// A line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The part of the service: `control plane`, `storage`, `jobs`.
    pub area: &'static str,
    /// What it is about: a route, or a behaviour.
    pub what: String,
    /// How near it is.
    pub faith: Faith,
}

/// What no single route shows.
const BEHAVIOURS: &[(&str, &str, Faith)] = &[
    ("jobs", "states in the service's order; a name makes one job, however often it is sent", Faith::Faithful),
    ("jobs", "working directory, inputs, outputs, `outputs/` and `logs/`, variables of the run and of MLflow", Faith::Faithful),
    ("jobs", "user", Faith::Faithful),
    (
        "jobs",
        "the log",
        Faith::Approximated(
            "`system_logs/` tells what the emulator did; the build of an image is in `azureml-logs/20_image_build_log.txt`",
        ),
    ),
    (
        "jobs",
        "files in `outputs/` and `logs/`",
        Faith::Approximated("logs appear while the job runs, a few seconds late; outputs when it has ended"),
    ),
    (
        "jobs",
        "inputs",
        Faith::Approximated(
            "copied before the start whatever the mode; of the workspace's own storage, its data assets and earlier jobs only",
        ),
    ),
    ("jobs", "outputs", Faith::Approximated("copied at the end whatever the mode; no data asset is registered")),
    ("jobs", "PyTorch, MPI, TensorFlow", Faith::Approximated("variables and processes as on the service, without `mpirun`")),
    ("jobs", "the limit of time", Faith::Approximated("ends it as `Canceled`, with words of the emulator's own in run details")),
    ("jobs", "services (Jupyter, SSH, TensorBoard, VS Code)", Faith::Absent("they are kept and not started")),
    ("jobs", "identity, queue settings, Docker arguments", Faith::Absent("they are kept and change nothing")),
    ("jobs", "sweeps, pipelines, Spark, AutoML", Faith::Absent("they are refused")),
    ("computes", "minimum and maximum of nodes, queueing in order, idle scale-down", Faith::Faithful),
    ("computes", "provisioning", Faith::Approximated("takes a second, where the service takes minutes")),
    (
        "computes",
        "VM sizes",
        Faith::Approximated("CPUs and memory from a table, at most what this machine has, which a warning of the job says; no GPUs"),
    ),
    (
        "computes",
        "low priority",
        Faith::Approximated(
            "nodes are taken away when `sendoff emulator fault azureml preempted` orders it; the job waits and begins again, its logs go on",
        ),
    ),
    (
        "environments",
        "a conda file",
        Faith::Approximated("its pip part is installed with the base image's Python; packages that only conda has fail the job"),
    ),
    ("environments", "curated environments, registries, builds of Dockerfiles", Faith::Absent("they are refused")),
    ("tokens", "roles", Faith::Absent("whoever has a token may do everything")),
    ("tokens", "the address of a virtual machine's identity", Faith::Absent("nodes have that of Azure ML's computes, `MSI_ENDPOINT`")),
    (
        "storage",
        "host names",
        Faith::Approximated("addresses have the account in their path; the service's own host names work where they lead here"),
    ),
    ("throttling", "limits per subscription", Faith::Absent("`sendoff emulator fault azureml throttled` makes one")),
];

/// Returns the report: routes first, each as it is in the table that serves requests, then behaviours.
pub fn parity() -> Vec<Row> {
    let row = |route: &Route| {
        let query = route.query.map(|query| format!("?{query}")).unwrap_or_default();
        Row { area: route.plane.word(), what: format!("{} /{}{query}", route.method, route.pattern), faith: route.faith }
    };
    let mut table = routes::table();
    table.sort_by_key(|route| route.plane);
    let behaviours = BEHAVIOURS.iter().map(|(area, what, faith)| Row { area, what: (*what).to_owned(), faith: *faith });
    let of_mlflow = |what: String, faith| Row { area: Plane::Mlflow.word(), what, faith };
    let refused = mlflow::refused().map(|(act, reason)| of_mlflow(format!("mlflow/{act}"), Faith::Absent(reason)));
    let differs = mlflow::DIFFERENCES.iter().map(|(what, how)| of_mlflow((*what).to_owned(), Faith::Approximated(how)));
    table.iter().map(row).chain(refused).chain(differs).chain(behaviours).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use hyper::Method;

    use super::super::route::{Found, find};
    use super::*;

    /// What the service's own clients call, and ours.
    const NEEDED: &[&str] = &[
        "POST /t/oauth2/v2.0/token",
        "GET /t/v2.0/.well-known/openid-configuration",
        "GET /metadata/endpoints",
        "GET /discovery",
        "GET {scope}",
        "GET {scope}/codes/c/versions?hash=x",
        "POST {scope}/codes/c/versions/1/startPendingUpload",
        "PUT {scope}/codes/c/versions/1",
        "GET {scope}/codes/c/versions/1",
        "PUT {scope}/environments/e/versions/1",
        "GET {scope}/environments/e/versions/1",
        "GET {scope}/computes/c",
        "PUT {scope}/computes/c",
        "POST {scope}/computes/c/listNodes",
        "GET {scope}/datastores/d",
        "GET {scope}/datastores",
        "POST {scope}/datastores/d/listSecrets",
        "PUT {scope}/jobs/j",
        "GET {scope}/jobs/j",
        "GET {scope}/jobs",
        "POST {scope}/jobs/j/cancel",
        "DELETE {scope}/jobs/j",
        "GET /history/v1.0{scope}/runs/j/details",
        "PATCH /history/v1.0{scope}/experiments/e/runs/j",
        "GET /history/v1.0{scope}/experimentids/e/runs/j/token",
        "GET /history/v1.0{scope}/experiments/e/runs/j/token",
        "GET /history/v1.0{scope}/experiments/e/runs/j/artifacts",
        "GET /history/v1.0{scope}/experiments/e/runs/j/artifacts/contentinfo",
        "POST /history/v1.0{scope}/experiments/e/runs/j/artifacts/batch/metadata",
        "POST /mlflow/v1.0{scope}/api/2.0/mlflow/runs/create",
        "GET /mlflow/v2.0{scope}/api/2.0/mlflow/runs/get",
        "PUT /a/c/b",
        "HEAD /a/c/b",
        "GET /a/c/b",
        "PUT /a/c/b?comp=metadata",
        "PUT /a/c/b?comp=block",
        "PUT /a/c/b?comp=blocklist",
        "GET /a/c?restype=container&comp=list",
    ];

    #[test]
    fn what_clients_need_has_a_route_and_a_line_of_its_own() {
        let table = routes::table();
        let lines: Vec<String> = parity().into_iter().map(|row| row.what).collect();
        assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), lines.len(), "no line stands twice");
        let scope = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w";
        for needed in NEEDED {
            let (method, place) = needed.split_once(' ').expect("method and place");
            let (path, query) = place.split_once('?').unwrap_or((place, ""));
            let query: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            let method: Method = method.parse().expect("a method");
            let storage = path.starts_with("/a/");
            let Found::Route(route, _) = find(&table, storage, &method, &path.replace("{scope}", scope), &query) else {
                panic!("nothing answers {needed}");
            };
            let asked = route.query.map(|query| format!("?{query}")).unwrap_or_default();
            let line = format!("{} /{}{asked}", route.method, route.pattern);
            assert!(lines.contains(&line), "{line} is not in the report");
            if let Some((_, wanted)) = place.split_once('?').filter(|(_, wanted)| wanted.starts_with("comp")) {
                assert_eq!(route.query, Some(wanted), "{needed}");
            }
        }
    }

    #[test]
    fn what_differs_says_in_what() {
        let told = |faith: Faith| match faith {
            Faith::Faithful => true,
            Faith::Approximated(how) | Faith::Absent(how) => how.len() > 10,
        };
        assert_eq!(parity().into_iter().find(|row| !told(row.faith)), None);
    }
}
