//! The table of MLflow's routes in an emulated workspace: which fields of each carry ids, and which routes are refused.

use http::Method;
use hyper::http;

use super::rewrite::{Shape, Typed};

/// What the emulator does with a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// The server behind is asked.
    Asked,
    /// The artifacts are the workspace's, not those of the server behind.
    Artifacts,
    /// Azure's own act: a batch that is written at once, and the word that nothing is outstanding.
    BatchAsync,
    /// The word of [`How::BatchAsync`].
    BatchStatus,
    /// There are none of these in an emulated workspace; ids that are asked for are checked.
    None,
}

/// One route below `.../api/2.0/`.
#[derive(Debug)]
pub(super) struct Route {
    /// Its method.
    pub(super) method: Method,
    /// What stands behind `mlflow/`.
    pub(super) act: &'static str,
    /// Where it is in the emulator's table of routes.
    pub(super) pattern: &'static str,
    /// Where the request has ids.
    pub(super) takes: &'static [Typed],
    /// Where the answer has ids.
    pub(super) gives: &'static [Typed],
    /// What is done.
    pub(super) how: How,
    /// In what it differs from the service.
    pub(super) differs: Option<&'static str>,
}

const RUN: Typed = ("run_id", Shape::RunId);
const RUN_UUID: Typed = ("run_uuid", Shape::RunId);
const EXPERIMENT: Typed = ("experiment_id", Shape::ExperimentId);
const EXPERIMENTS: Typed = ("experiment_ids[]", Shape::ExperimentId);
const FILTER: Typed = ("filter", Shape::Filter);
const TAGS: Typed = ("tags", Shape::Tags);
const OF_METRICS: Typed = ("metrics[].run_id", Shape::RunId);

/// How every pattern begins.
const WORKSPACE: &str = "mlflow/{version}/{scope}";

/// A line of the table, with its place below the workspace.
macro_rules! route {
    ($method:ident $act:literal, $takes:expr, $gives:expr $(, $how:ident)? $(; $differs:literal)?) => {
        route!($method "", $act, $takes, $gives $(, $how)? $(; $differs)?)
    };
    ($method:ident $preview:literal, $act:literal, $takes:expr, $gives:expr $(, $how:ident)? $(; $differs:literal)?) => {
        Route {
            method: Method::$method,
            act: $act,
            pattern: concat!("mlflow/{version}/{scope}", "/api/2.0/", $preview, "mlflow/", $act),
            takes: $takes,
            gives: $gives,
            how: route!(@how $($how)?),
            differs: route!(@differs $($differs)?),
        }
    };
    (@how) => { How::Asked };
    (@how $how:ident) => { How::$how };
    (@differs) => { None };
    (@differs $differs:literal) => { Some($differs) };
}

/// Every route that is served.
pub(super) const ROUTES: &[Route] = &[
    route!(GET "experiments/get-by-name", &[], &[("experiment", Shape::Experiment)]),
    route!(GET "experiments/get", &[EXPERIMENT], &[("experiment", Shape::Experiment)]),
    route!(GET "experiments/search", &[FILTER], &[("experiments[]", Shape::Experiment)]),
    route!(POST "experiments/search", &[FILTER], &[("experiments[]", Shape::Experiment)]),
    route!(POST "experiments/create", &[("artifact_location", Shape::Decided)], &[EXPERIMENT]; "a place for artifacts of the caller's is refused"),
    route!(POST "experiments/update", &[EXPERIMENT], &[]),
    route!(POST "experiments/delete", &[EXPERIMENT], &[]),
    route!(POST "experiments/restore", &[EXPERIMENT], &[]),
    route!(POST "experiments/set-experiment-tag", &[EXPERIMENT], &[]),
    route!(POST "experiments/delete-experiment-tag", &[EXPERIMENT], &[]),
    route!(POST "experiments/search-datasets", &[EXPERIMENTS], &[("dataset_summaries[].experiment_id", Shape::ExperimentId)]),
    route!(POST "runs/create", &[EXPERIMENT, TAGS], &[("run", Shape::Run)]),
    route!(GET "runs/get", &[RUN, RUN_UUID], &[("run", Shape::Run)]),
    route!(POST "runs/search", &[EXPERIMENTS, FILTER], &[("runs[]", Shape::Run)]; "a filter that compares ids by pattern or order is refused"),
    route!(POST "runs/update", &[RUN, RUN_UUID], &[("run_info", Shape::Info)]),
    route!(POST "runs/delete", &[RUN], &[]),
    route!(POST "runs/restore", &[RUN], &[]),
    route!(POST "runs/log-metric", &[RUN, RUN_UUID], &[]),
    route!(POST "runs/log-parameter", &[RUN, RUN_UUID], &[]),
    route!(POST "runs/log-batch", &[RUN, OF_METRICS, TAGS], &[]),
    route!(POST "runs/log-inputs", &[RUN], &[]),
    route!(POST "runs/log-model", &[RUN], &[]),
    route!(POST "runs/set-tag", &[RUN, RUN_UUID, ("", Shape::Tag)], &[]),
    route!(POST "runs/delete-tag", &[RUN], &[]),
    route!(GET "metrics/get-history", &[RUN, RUN_UUID], &[OF_METRICS]),
    route!(GET "metrics/get-history-bulk-interval", &[("run_ids[]", Shape::RunId)], &[OF_METRICS]),
    route!(GET "artifacts/list", &[RUN, RUN_UUID], &[], Artifacts),
    route!(POST "runs/log-batch-async", &[RUN, OF_METRICS, TAGS], &[], BatchAsync; "written before it is answered"),
    route!(POST "preview/", "runs/log-batch-async", &[RUN, OF_METRICS, TAGS], &[], BatchAsync; "written before it is answered"),
    route!(GET "runs/get-run-data-status", &[RUN], &[], BatchStatus; "always complete: a batch is written before it is answered"),
    route!(GET "preview/", "runs/get-run-data-status", &[RUN], &[], BatchStatus; "always complete: a batch is written before it is answered"),
    route!(POST "logged-models/search", &[EXPERIMENTS, FILTER], &[], None; "always none: there are no logged models here"),
];

/// What MLflow has beside [`ROUTES`], by the first words of its acts, and why it is refused.
pub(super) const REFUSED: &[(&str, &str)] = &[
    ("logged-models", "a logged model's files lie where the server behind put them, which no Azure URI names"),
    ("runs/outputs", "it names logged models, which the emulator has not"),
    ("artifacts/presigned-upload-url", "artifacts go through the run history's routes"),
    ("artifacts/presigned-download-url", "artifacts go through the run history's routes"),
    ("registered-models", "the registry's versions point at artifacts by URIs, in which ids are not typed"),
    ("model-versions", "the registry's versions point at artifacts by URIs, in which ids are not typed"),
    ("traces", "a trace's place and tags name experiments and runs in fields that are not typed"),
    ("unified-traces", "a trace's place and tags name experiments and runs in fields that are not typed"),
    ("get-online-trace-details", "a trace's place and tags name experiments and runs in fields that are not typed"),
    ("datasets", "evaluation datasets name experiments in fields that are not typed"),
    ("scorers", "the service has none"),
    ("issues", "the service has none"),
    ("label-schemas", "the service has none"),
    ("review-queues", "the service has none"),
    ("prompt-optimization", "the service has none"),
    ("gateway", "the service has none"),
    ("workspaces", "the service has none: its workspace stands in the URI"),
];

/// Returns the route of a path below the workspace: `/api/2.0/mlflow/runs/get`.
pub(super) fn find(method: &Method, path: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|route| route.method == *method && route.pattern.strip_prefix(WORKSPACE) == Some(path))
}

/// Returns why a route of MLflow is refused; `None` when MLflow has no such route.
pub(super) fn refusal(act: &str) -> Option<&'static str> {
    let is_below = |start: &str| act.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    REFUSED.iter().find(|(start, _)| is_below(start)).map(|(_, reason)| *reason)
}

/// Returns what stands behind `mlflow/` in a path below the workspace, whatever version of the API it names.
pub(super) fn act(path: &str) -> Option<&str> {
    let path = ["/api/2.0/", "/api/3.0/"].iter().find_map(|start| path.strip_prefix(start))?;
    path.strip_prefix("preview/").unwrap_or(path).strip_prefix("mlflow/")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn routes_are_found_below_the_version_that_has_them() {
        assert!(find(&Method::GET, "/api/2.0/mlflow/runs/get").is_some_and(|route| route.act == "runs/get"));
        assert!(find(&Method::POST, "/api/2.0/preview/mlflow/runs/log-batch-async").is_some());
        for path in ["/api/3.0/mlflow/runs/get", "/api/2.0/preview/mlflow/runs/get", "/api/2.0/mlflow/runs/get/", "runs/get"] {
            assert!(find(&Method::GET, path).is_none(), "{path}");
        }
    }

    #[test]
    fn acts_are_read_below_every_prefix() {
        assert_eq!(act("/api/2.0/mlflow/runs/get"), Some("runs/get"));
        assert_eq!(act("/api/2.0/preview/mlflow/runs/log-batch-async"), Some("runs/log-batch-async"));
        assert_eq!(act("/api/2.0/mlflow-artifacts/artifacts/x"), None);
        assert_eq!(act("/runs/get"), None);
    }

    /// Returns the fields with ids that a table's entry rewrites.
    fn rewritten(typed: &[Typed]) -> BTreeSet<String> {
        let below = |path: &str, fields: &[&str]| fields.iter().map(|field| format!("{path}.{field}")).collect::<Vec<_>>();
        let info = ["run_id", "run_uuid", "experiment_id"];
        let fields = |(path, shape): &Typed| match shape {
            Shape::RunId | Shape::ExperimentId => vec![(*path).to_owned()],
            Shape::Info => below(path, &info),
            Shape::Run => below(path, &["info.run_id", "info.run_uuid", "info.experiment_id", "data.metrics[].run_id"]),
            Shape::Experiment => below(path, &["experiment_id"]),
            Shape::Filter | Shape::Tags | Shape::Tag | Shape::Decided => Vec::new(),
        };
        typed.iter().flat_map(fields).collect()
    }

    #[test]
    fn every_route_of_the_clients_is_served_with_all_its_ids_or_refused_by_name() {
        let known = include_str!("../../../../tests/fixtures/azureml/mlflow-routes.txt");
        let mut served = 0;
        for line in known.lines() {
            let (head, gives) = line.split_once("->").expect("an arrow");
            let mut words = head.split_whitespace();
            let (method, path) = (words.next().expect("a method"), format!("/api/2.0/{}", words.next().expect("a path")));
            let all = |words: &mut dyn Iterator<Item = &str>| words.map(str::to_owned).collect::<BTreeSet<_>>();
            let Some(route) = find(&method.parse().expect("a method"), &path) else {
                let act = act(&path).expect("it is MLflow's");
                assert!(refusal(act).is_some(), "{line}: neither served nor refused by name");
                continue;
            };
            served += 1;
            assert_eq!(rewritten(route.takes), all(&mut words), "{line}");
            if route.how == How::Asked {
                assert_eq!(rewritten(route.gives), all(&mut gives.split_whitespace()), "{line}");
            }
        }
        // Azure's own acts are served without `preview/`, too, which is how its documentation has them.
        assert_eq!(served + 2, ROUTES.len(), "a route is served that no client has");
    }

    #[test]
    fn no_route_is_both_served_and_refused_except_by_its_own_name() {
        for route in ROUTES {
            assert!(refusal(route.act).is_none() || route.act == "logged-models/search", "{}", route.act);
        }
        assert_eq!(refusal("runs/outputsx"), None);
        assert!(refusal("logged-models/m-1/tags").is_some());
    }

    #[test]
    fn a_route_stands_in_the_table_once() {
        let names: BTreeSet<_> = ROUTES.iter().map(|route| (route.pattern, route.method.as_str())).collect();
        assert_eq!(names.len(), ROUTES.len());
    }
}
