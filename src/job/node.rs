//! The nodes of a job that has several: how each stands, and what its processes are told.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The port of the first node at which the others meet it, if the program asks for none of its own.
const MASTER_PORT: u16 = 29500;

/// How a node stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Its rank, from 0.
    pub rank: u32,
    /// The name by which the other nodes reach it.
    pub name: String,
    /// What it does.
    pub state: NodeWord,
    /// The code with which it ended.
    pub exit_code: Option<i32>,
    /// When it was started.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
}

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeWord {
    /// Its bootstrap is at work.
    Running,
    /// It has ended.
    Ended,
    /// It was removed while it ran.
    Gone,
    /// Nobody saw its end.
    Unknown,
}

/// Returns the variables by which the processes of a node find the others, given the names of all nodes in order of their ranks.
///
/// There is one process on each node, so that its rank is the node's. The names are those that programs for `torchrun`, Open MPI and
/// Azure ML read; `PET_...` are the defaults of the command `torchrun` itself, which starts more processes when asked to.
pub fn variables(rank: u32, names: &[String]) -> Vec<(String, String)> {
    let count = names.len().to_string();
    let own = rank.to_string();
    let master = names.first().map(String::as_str).unwrap_or_default();
    let port = MASTER_PORT.to_string();
    let mut variables: Vec<(String, String)> = Vec::new();
    let mut set = |names: &[&str], value: &str| variables.extend(names.iter().map(|name| ((*name).to_owned(), value.to_owned())));
    set(&["SENDOFF_NODE", "NODE_RANK", "RANK", "GROUP_RANK", "PET_NODE_RANK"], &own);
    set(&["OMPI_COMM_WORLD_RANK", "AZ_BATCHAI_TASK_INDEX"], &own);
    set(&["SENDOFF_NODES", "NNODES", "NODE_COUNT", "WORLD_SIZE", "GROUP_WORLD_SIZE", "PET_NNODES"], &count);
    set(&["OMPI_COMM_WORLD_SIZE", "AZUREML_NODE_COUNT"], &count);
    set(&["LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK"], "0");
    set(&["LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"], "1");
    set(&["MASTER_ADDR", "PET_MASTER_ADDR", "AZ_BATCHAI_MPI_MASTER_NODE", "AZ_BATCHAI_JOB_MASTER_NODE_IP"], master);
    set(&["MASTER_PORT", "PET_MASTER_PORT"], &port);
    set(&["AZ_BATCH_MASTER_NODE"], &format!("{master}:{port}"));
    set(&["SENDOFF_NODE_NAMES", "AZ_BATCH_HOST_LIST"], &names.join(","));
    set(&["AZUREML_CR_DISTRIBUTED_CONFIG"], &json!({ "rank": rank, "host_list": names }).to_string());
    variables
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_node_is_told_who_it_is_and_where_the_first_one_is() {
        let names = ["the-job-n0".to_owned(), "the-job-n1".to_owned()];
        let told = variables(1, &names);
        let count = told.len();
        let told: BTreeMap<String, String> = told.into_iter().collect();
        assert_eq!(told.len(), count, "no name is there twice");
        for (name, value) in [
            ("RANK", "1"),
            ("WORLD_SIZE", "2"),
            ("LOCAL_RANK", "0"),
            ("MASTER_ADDR", "the-job-n0"),
            ("MASTER_PORT", "29500"),
            ("AZ_BATCH_MASTER_NODE", "the-job-n0:29500"),
            ("AZUREML_CR_DISTRIBUTED_CONFIG", r#"{"rank":1,"host_list":["the-job-n0","the-job-n1"]}"#),
        ] {
            assert_eq!(told[name], value, "{name}");
        }
    }
}
