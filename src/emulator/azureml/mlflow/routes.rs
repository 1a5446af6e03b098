//! The table of MLflow's routes in an emulated workspace: which fields of each carry ids, and which routes are refused.

use http::Method;
use hyper::http;

use super::ids::Kind;
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
    /// Where the files of a version of a registered model are.
    DownloadUri,
}

/// One route below `.../api/2.0/`.
#[derive(Debug)]
pub(super) struct Route {
    /// Its method.
    pub(super) method: Method,
    /// What stands behind `mlflow/`; `{model_id}` is any word.
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
const MODELS: Typed = ("models[].model_id", Shape::ModelId);
const METRICS_MODELS: Typed = ("metrics[].model_id", Shape::ModelId);
const NEW_EXPERIMENT: Typed = ("name", Shape::NewName(Kind::ExperimentName));
const EXPERIMENT_FILTER: Typed = ("filter", Shape::NameFilter(Kind::ExperimentName));
const MODEL_FILTER: Typed = ("filter", Shape::NameFilter(Kind::RegisteredModel));
const MODEL: Typed = ("model", Shape::Model);
const NAME: Typed = ("name", Shape::Name(Kind::RegisteredModel));
const REGISTERED: Typed = ("registered_model", Shape::RegisteredModel);
const VERSION: Typed = ("model_version", Shape::ModelVersion);
const VERSIONS: Typed = ("model_versions[]", Shape::ModelVersion);
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
    route!(GET "experiments/get-by-name", &[("experiment_name", Shape::Name(Kind::ExperimentName))], &[("experiment", Shape::Experiment)]),
    route!(GET "experiments/get", &[EXPERIMENT], &[("experiment", Shape::Experiment)]),
    route!(GET "experiments/search", &[EXPERIMENT_FILTER], &[("experiments[]", Shape::Experiment)]),
    route!(POST "experiments/search", &[EXPERIMENT_FILTER], &[("experiments[]", Shape::Experiment)]),
    route!(POST "experiments/create", &[NEW_EXPERIMENT, ("artifact_location", Shape::Decided)], &[EXPERIMENT]; "a place for artifacts of the caller's is refused"),
    route!(POST "experiments/update", &[EXPERIMENT, ("new_name", Shape::NewName(Kind::ExperimentName))], &[]),
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
    route!(POST "runs/log-metric", &[RUN, RUN_UUID, ("model_id", Shape::ModelId)], &[]),
    route!(POST "runs/log-parameter", &[RUN, RUN_UUID], &[]),
    route!(POST "runs/log-batch", &[RUN, OF_METRICS, METRICS_MODELS, TAGS], &[]),
    route!(POST "runs/log-inputs", &[RUN, MODELS], &[]),
    route!(POST "runs/log-model", &[RUN], &[]),
    route!(POST "runs/set-tag", &[RUN, RUN_UUID, ("", Shape::Tag)], &[]),
    route!(POST "runs/delete-tag", &[RUN], &[]),
    route!(GET "metrics/get-history", &[RUN, RUN_UUID], &[OF_METRICS]),
    route!(GET "metrics/get-history-bulk-interval", &[("run_ids[]", Shape::RunId)], &[OF_METRICS]),
    route!(GET "artifacts/list", &[RUN, RUN_UUID], &[], Artifacts),
    route!(POST "runs/log-batch-async", &[RUN, OF_METRICS, METRICS_MODELS, TAGS], &[], BatchAsync; "written before it is answered"),
    route!(POST "preview/", "runs/log-batch-async", &[RUN, OF_METRICS, METRICS_MODELS, TAGS], &[], BatchAsync; "written before it is answered"),
    route!(GET "runs/get-run-data-status", &[RUN], &[], BatchStatus; "always complete: a batch is written before it is answered"),
    route!(GET "preview/", "runs/get-run-data-status", &[RUN], &[], BatchStatus; "always complete: a batch is written before it is answered"),
    route!(POST "runs/outputs", &[RUN, MODELS], &[]; "there on the service only where it has logged models"),
    route!(POST "logged-models", &[EXPERIMENT, ("source_run_id", Shape::RunId)], &[MODEL]; "the service has answered 404 to MLflow 3's logged models, which a job's warning says; here their files are artifacts of the run"),
    route!(POST "logged-models/search", &[EXPERIMENTS, FILTER], &[("models[]", Shape::Model)]; "there on the service only where it has logged models"),
    route!(GET "logged-models/{model_id}", &[], &[MODEL]; "there on the service only where it has logged models"),
    route!(PATCH "logged-models/{model_id}", &[], &[MODEL]; "there on the service only where it has logged models"),
    route!(DELETE "logged-models/{model_id}", &[], &[]; "there on the service only where it has logged models; files stay"),
    route!(PATCH "logged-models/{model_id}/tags", &[], &[MODEL]; "there on the service only where it has logged models"),
    route!(DELETE "logged-models/{model_id}/tags/{tag_key}", &[], &[]; "there on the service only where it has logged models"),
    route!(POST "logged-models/{model_id}/params", &[], &[]; "there on the service only where it has logged models"),
    route!(POST "registered-models/create", &[("name", Shape::NewName(Kind::RegisteredModel))], &[REGISTERED]),
    route!(GET "registered-models/get", &[NAME], &[REGISTERED]),
    route!(GET "registered-models/search", &[MODEL_FILTER], &[("registered_models[]", Shape::RegisteredModel)]),
    route!(PATCH "registered-models/update", &[NAME], &[REGISTERED]),
    route!(DELETE "registered-models/delete", &[NAME], &[]),
    route!(GET "registered-models/get-latest-versions", &[NAME], &[VERSIONS]),
    route!(POST "registered-models/get-latest-versions", &[NAME], &[VERSIONS]),
    route!(POST "registered-models/set-tag", &[NAME], &[]),
    route!(DELETE "registered-models/delete-tag", &[NAME], &[]),
    route!(GET "registered-models/alias", &[NAME], &[VERSION]; "aliases are MLflow's; whether the service has them is not known"),
    route!(POST "registered-models/alias", &[NAME], &[]; "aliases are MLflow's; whether the service has them is not known"),
    route!(DELETE "registered-models/alias", &[NAME], &[]; "aliases are MLflow's; whether the service has them is not known"),
    route!(POST "model-versions/create", &[NAME, RUN, ("model_id", Shape::ModelId), ("source", Shape::Source)], &[VERSION]; "no model asset of the control plane is made with it"),
    route!(GET "model-versions/get", &[NAME], &[VERSION]),
    route!(GET "model-versions/search", &[MODEL_FILTER], &[VERSIONS]),
    route!(GET "model-versions/get-download-uri", &[NAME], &[], DownloadUri),
    route!(PATCH "model-versions/update", &[NAME], &[VERSION]),
    route!(DELETE "model-versions/delete", &[NAME], &[]),
    route!(POST "model-versions/set-tag", &[NAME], &[]),
    route!(DELETE "model-versions/delete-tag", &[NAME], &[]),
    route!(POST "model-versions/transition-stage", &[NAME], &[VERSION]),
];

/// What MLflow has beside [`ROUTES`], by the first words of its acts, and why it is refused.
pub(super) const REFUSED: &[(&str, &str)] = &[
    ("logged-models", "a logged model's files are artifacts of its run, whose routes list them"),
    ("artifacts/presigned-upload-url", "artifacts go through the run history's routes"),
    ("artifacts/presigned-download-url", "artifacts go through the run history's routes"),
    ("registered-models/rename", "a registered model's name is fixed"),
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
    // Words of their own go before those that stand for any.
    let fits = |route: &&Route| route.method == *method && route.pattern.strip_prefix(WORKSPACE).is_some_and(|own| stands_for(own, path));
    ROUTES.iter().filter(fits).min_by_key(|route| route.act.matches('{').count())
}

/// Returns whether a path is one of those that a pattern stands for.
fn stands_for(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(own), Some(word)) if own == word || own.starts_with('{') && !word.is_empty() => {}
            _ => return false,
        }
    }
}

/// Returns the id of the logged model that a path names: `/api/2.0/mlflow/logged-models/m-1/tags`.
pub(super) fn model_of<'a>(route: &Route, path: &'a str) -> Option<&'a str> {
    route.act.contains("{model_id}").then(|| act(path)?.split('/').nth(1)).flatten()
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
    fn words_of_a_path_stand_for_what_is_named_in_the_pattern() {
        let found = |method, path: &str| find(&method, &format!("/api/2.0/mlflow/{path}"));
        let tags = found(Method::DELETE, "logged-models/m-1/tags/a%2Fb").expect("it is served");
        assert_eq!(tags.act, "logged-models/{model_id}/tags/{tag_key}");
        assert_eq!(model_of(tags, "/api/2.0/mlflow/logged-models/m-1/tags/a%2Fb"), Some("m-1"));
        assert_eq!(found(Method::POST, "logged-models/search").map(|route| route.act), Some("logged-models/search"));
        assert!(found(Method::GET, "logged-models/").is_none());
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
        let version = ["run_id", "model_metrics[].run_id", "deployment_job_state.run_id"];
        let fields = |(path, shape): &Typed| match shape {
            Shape::RunId | Shape::ExperimentId => vec![(*path).to_owned()],
            Shape::Info => below(path, &info),
            Shape::Run => below(path, &["info.run_id", "info.run_uuid", "info.experiment_id", "data.metrics[].run_id"]),
            Shape::Experiment => below(path, &["experiment_id"]),
            Shape::Model => below(path, &["info.experiment_id", "info.source_run_id", "data.metrics[].run_id"]),
            Shape::ModelVersion => below(path, &version),
            Shape::RegisteredModel => below(&format!("{path}.latest_versions[]"), &version),
            Shape::Filter
            | Shape::NameFilter(_)
            | Shape::Name(_)
            | Shape::NewName(_)
            | Shape::ModelId
            | Shape::Source
            | Shape::Tags
            | Shape::Tag
            | Shape::Decided => Vec::new(),
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
            assert!(refusal(route.act).is_none() || route.act.starts_with("logged-models"), "{}", route.act);
        }
        assert_eq!(refusal("runs/outputsx"), None);
        assert!(refusal("logged-models/m-1/artifacts/directories").is_some());
    }

    #[test]
    fn a_route_stands_in_the_table_once() {
        let names: BTreeSet<_> = ROUTES.iter().map(|route| (route.pattern, route.method.as_str())).collect();
        assert_eq!(names.len(), ROUTES.len());
    }
}
