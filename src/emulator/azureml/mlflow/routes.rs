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
}

const RUN: Typed = ("run_id", Shape::RunId);
const RUN_UUID: Typed = ("run_uuid", Shape::RunId);
const EXPERIMENT: Typed = ("experiment_id", Shape::ExperimentId);
const EXPERIMENTS: Typed = ("experiment_ids[]", Shape::ExperimentId);
const FILTER: Typed = ("filter", Shape::Filter);
const TAGS: Typed = ("tags", Shape::Tags);
const OF_METRICS: Typed = ("metrics[].run_id", Shape::RunId);

/// A line of the table, with its place below the workspace.
macro_rules! route {
    ($method:ident $act:literal, $takes:expr, $gives:expr) => {
        route!($method "", $act, $takes, $gives, How::Asked)
    };
    ($method:ident $preview:literal, $act:literal, $takes:expr, $gives:expr, $how:expr) => {
        Route {
            method: Method::$method,
            act: $act,
            pattern: concat!("mlflow/{version}/{scope}/api/2.0/", $preview, "mlflow/", $act),
            takes: $takes,
            gives: $gives,
            how: $how,
        }
    };
}

/// Every route that is served.
pub(super) const ROUTES: &[Route] = &[
    route!(GET "experiments/get-by-name", &[], &[("experiment", Shape::Experiment)]),
    route!(GET "experiments/get", &[EXPERIMENT], &[("experiment", Shape::Experiment)]),
    route!(GET "experiments/search", &[FILTER], &[("experiments[]", Shape::Experiment)]),
    route!(POST "experiments/search", &[FILTER], &[("experiments[]", Shape::Experiment)]),
    route!(POST "experiments/create", &[("artifact_location", Shape::Decided)], &[EXPERIMENT]),
    route!(POST "experiments/update", &[EXPERIMENT], &[]),
    route!(POST "experiments/delete", &[EXPERIMENT], &[]),
    route!(POST "experiments/restore", &[EXPERIMENT], &[]),
    route!(POST "experiments/set-experiment-tag", &[EXPERIMENT], &[]),
    route!(POST "experiments/delete-experiment-tag", &[EXPERIMENT], &[]),
    route!(POST "experiments/search-datasets", &[EXPERIMENTS], &[("dataset_summaries[].experiment_id", Shape::ExperimentId)]),
    route!(POST "runs/create", &[EXPERIMENT, TAGS], &[("run", Shape::Run)]),
    route!(GET "runs/get", &[RUN, RUN_UUID], &[("run", Shape::Run)]),
    route!(POST "runs/search", &[EXPERIMENTS, FILTER], &[("runs[]", Shape::Run)]),
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
    route!(GET "", "artifacts/list", &[RUN, RUN_UUID], &[], How::Artifacts),
    route!(POST "", "runs/log-batch-async", &[RUN, OF_METRICS, TAGS], &[], How::BatchAsync),
    route!(POST "preview/", "runs/log-batch-async", &[RUN, OF_METRICS, TAGS], &[], How::BatchAsync),
    route!(GET "", "runs/get-run-data-status", &[RUN], &[], How::BatchStatus),
    route!(GET "preview/", "runs/get-run-data-status", &[RUN], &[], How::BatchStatus),
    route!(POST "", "logged-models/search", &[EXPERIMENTS, FILTER], &[], How::None),
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

/// Returns a route; both spellings that clients have for Azure's own acts lead to the same.
pub(super) fn find(method: &Method, act: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|route| route.method == *method && route.act == act)
}

/// Returns why a route of MLflow is refused; `None` when MLflow has no such route.
pub(super) fn refusal(act: &str) -> Option<&'static str> {
    let is_below = |start: &str| act.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    REFUSED.iter().find(|(start, _)| is_below(start)).map(|(_, reason)| *reason)
}

/// Returns the act of a path below the workspace: `runs/get` of `/api/2.0/mlflow/runs/get` or `/api/2.0/preview/mlflow/runs/get`.
pub(super) fn act(path: &str) -> Option<&str> {
    let path = path.strip_prefix("/api/2.0/").or_else(|| path.strip_prefix("/api/3.0/"))?;
    path.strip_prefix("preview/").unwrap_or(path).strip_prefix("mlflow/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_are_found_below_both_prefixes() {
        assert_eq!(act("/api/2.0/mlflow/runs/get"), Some("runs/get"));
        assert_eq!(act("/api/2.0/preview/mlflow/runs/log-batch-async"), Some("runs/log-batch-async"));
        assert_eq!(act("/api/2.0/mlflow-artifacts/artifacts/x"), None);
        assert_eq!(act("/runs/get"), None);
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
        let names: std::collections::BTreeSet<_> = ROUTES.iter().map(|route| (route.pattern, route.method.as_str())).collect();
        assert_eq!(names.len(), ROUTES.len());
    }
}
