//! What a node's process finds in its environment.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::job::Job;
use super::super::service::Service;
use super::distribution;
use crate::support::clock;

/// How long the token of a run is good for, in seconds; a job renews it.
const TOKEN: i64 = 3600;

/// Where a run's files are on a node.
pub(super) fn home(job: &Job) -> String {
    format!("/mnt/azureml/cr/j/{}", job.digits())
}

/// Where the command runs.
pub(super) fn working_directory(job: &Job) -> String {
    format!("{}/exe/wd", home(job))
}

/// Where inputs and outputs are.
pub(super) fn data_directory(job: &Job) -> String {
    format!("{}/cap/data-capability/wd", home(job))
}

/// Issues the token of a run; returns it with its end in seconds since 1970.
pub(in super::super) fn token(service: &Service, job: &Job) -> (String, i64) {
    let claims = json!({
        "role": "Contributor", "scope": job.scope.to_string(), "accountid": "00000000-0000-0000-0000-000000000000",
        "workspaceId": job.scope.workspace_name, "projectid": "00000000-0000-0000-0000-000000000000", "tid": service.identity.tenant_id,
        "oid": service.identity.object_id, "iss": "azureml", "aud": "azureml", "runid": job.name,
    });
    (service.issuer.issue(claims, TOKEN), clock::now().as_second() + TOKEN)
}

/// What is known of all nodes of a job.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) experiment_id: &'a str,
    pub(super) size_name: &'a str,
}

/// Returns the variables of a node.
pub(super) fn of_node(service: &Service, job: &Job, rank: u32, about: &About<'_>) -> BTreeMap<String, String> {
    let origin = service.addresses.gateway_url().unwrap_or_else(|| service.addresses.base_url());
    let authority = origin.split_once("://").map_or(origin.as_str(), |(_, authority)| authority);
    let (token, end) = token(service, job);
    let scope = &job.scope;
    let nodes = job.nodes();
    let hosts: Vec<String> = (0..nodes).map(|rank| host_name(job, rank)).collect();
    let context = json!({
        "cluster_name": job.compute(), "node_id": host_name(job, rank), "vm_size": about.size_name, "vm_priority": "Dedicated", "gpu_count": 0,
    });
    let text = |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>();
    let mut all: BTreeMap<String, String> = text(&[
        ("AZUREML_RUN_ID", &job.name),
        ("AZUREML_ROOT_RUN_ID", &job.name),
        ("AZUREML_EXPERIMENT_ID", about.experiment_id),
        ("AZUREML_ARM_PROJECT_NAME", &job.experiment),
        ("AZUREML_ARM_SUBSCRIPTION", &scope.subscription_id),
        ("AZUREML_ARM_RESOURCEGROUP", &scope.resource_group),
        ("AZUREML_ARM_WORKSPACE_NAME", &scope.workspace_name),
        ("AZUREML_WORKSPACE_ID", &super::super::identity::guid_of(&super::super::store::key(scope))),
        ("AZUREML_WORKSPACE_SCOPE", &scope.to_string()),
        ("AZUREML_EXPERIMENT_SCOPE", &format!("{scope}/experiments/{}", job.experiment)),
        ("AZUREML_SERVICE_ENDPOINT", &origin),
        ("AZUREML_RUN_HISTORY_SERVICE_ENDPOINT", &origin),
        ("AZUREML_DISCOVERY_SERVICE_ENDPOINT", &format!("{origin}/discovery")),
        // With a name that they know, clients do not ask the public cloud for its endpoints.
        ("AZUREML_CURRENT_CLOUD", "AzureCloud"),
        ("AZUREML_RUN_TOKEN", &token),
        ("AZUREML_RUN_TOKEN_EXPIRY", &end.to_string()),
        ("MLFLOW_TRACKING_URI", &format!("azureml://{authority}/mlflow/v1.0{scope}?")),
        ("MLFLOW_TRACKING_TOKEN", &token),
        ("MLFLOW_RUN_ID", &job.name),
        ("MLFLOW_EXPERIMENT_ID", about.experiment_id),
        ("MLFLOW_EXPERIMENT_NAME", &job.experiment),
        ("AZUREML_OUTPUT_DIRECTORY", &format!("{}/outputs", working_directory(job))),
        ("AZUREML_COMPUTE_USE_COMMON_RUNTIME", "true"),
        ("AZUREML_CR_EXECUTION_WORKING_DIR_PATH", &working_directory(job)),
        ("AZUREML_CR_DATA_CAPABILITY_PATH", &format!("{}/cap/data-capability", home(job))),
        ("AZUREML_CR_COMPUTE_CONTEXT", &context.to_string()),
        ("AZUREML_CR_DISTRIBUTED_CONFIG", &json!({ "rank": rank, "host_list": hosts }).to_string()),
        ("AZUREML_CR_CORRELATION_ID", &job.digits()),
        ("MSI_ENDPOINT", &format!("{origin}/msi/token")),
        ("MSI_SECRET", &token),
        ("NODE_RANK", &rank.to_string()),
        ("AZ_BATCHAI_TASK_INDEX", &rank.to_string()),
        ("AZ_BATCH_HOST_LIST", &hosts.join(",")),
        ("AZ_BATCH_MASTER_NODE", &format!("{}:6000", hosts[0])),
    ])
    .into_iter()
    .collect();
    all.extend(distribution::variables(job, rank).into_iter().map(|(name, value)| (name.to_owned(), value)));
    // What the client names wins.
    for (name, value) in job.properties["environmentVariables"].as_object().into_iter().flatten() {
        all.insert(name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    all
}

/// Returns the name of a node in the job network.
pub(super) fn host_name(job: &Job, rank: u32) -> String {
    format!("{}-{rank}", &job.digits()[..16])
}
