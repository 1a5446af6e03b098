//! Jobs of many processes: how many there are on a node, and what each finds in its environment.

use serde_json::{Value, json};

use super::super::job::Job;
use super::variables::host_name;

/// The port at which the first process is found.
const MASTER_PORT: u16 = 6105;
/// The port of every process of TensorFlow.
const TENSORFLOW_PORT: u16 = 2222;

/// How a job's processes know of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    None,
    PyTorch,
    Mpi,
    /// With this many parameter servers, which are the last nodes.
    TensorFlow(u32),
}

fn kind(job: &Job) -> Kind {
    let distribution = &job.properties["distribution"];
    match distribution["distributionType"].as_str().unwrap_or_default() {
        "PyTorch" => Kind::PyTorch,
        "Mpi" => Kind::Mpi,
        "TensorFlow" => Kind::TensorFlow(number(&distribution["parameterServerCount"]).unwrap_or(0)),
        _ => Kind::None,
    }
}

/// Says which distribution there is not.
pub(super) fn refusal(job: &Job) -> Option<String> {
    let kind = job.properties["distribution"]["distributionType"].as_str()?;
    (!matches!(kind, "PyTorch" | "Mpi" | "TensorFlow")).then(|| format!("the distribution '{kind}' is not emulated"))
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|number| u32::try_from(number).ok())
}

/// Returns how many processes a node has.
pub(super) fn processes(job: &Job) -> u32 {
    match kind(job) {
        Kind::PyTorch | Kind::Mpi => number(&job.properties["distribution"]["processCountPerInstance"]).unwrap_or(1).max(1),
        Kind::None | Kind::TensorFlow(_) => 1,
    }
}

/// Returns the variables of the first process of a node; the node's program counts on for the others.
pub(super) fn variables(job: &Job, node: u32) -> Vec<(&'static str, String)> {
    let (nodes, each) = (job.nodes(), processes(job));
    let (world, first) = (nodes * each, node * each);
    match kind(job) {
        Kind::None => Vec::new(),
        Kind::PyTorch => vec![
            ("MASTER_ADDR", host_name(job, 0)),
            ("MASTER_PORT", MASTER_PORT.to_string()),
            ("WORLD_SIZE", world.to_string()),
            ("LOCAL_WORLD_SIZE", each.to_string()),
            ("RANK", first.to_string()),
            ("LOCAL_RANK", "0".to_owned()),
        ],
        Kind::Mpi => vec![
            ("OMPI_COMM_WORLD_SIZE", world.to_string()),
            ("OMPI_COMM_WORLD_LOCAL_SIZE", each.to_string()),
            ("OMPI_COMM_WORLD_RANK", first.to_string()),
            ("OMPI_COMM_WORLD_LOCAL_RANK", "0".to_owned()),
        ],
        Kind::TensorFlow(servers) => {
            let workers = nodes.saturating_sub(servers);
            let address = |node: u32| format!("{}:{TENSORFLOW_PORT}", host_name(job, node));
            let mut cluster = json!({ "worker": (0..workers).map(address).collect::<Vec<_>>() });
            if servers > 0 {
                cluster["ps"] = (workers..nodes).map(address).collect();
            }
            let (role, index) = if node < workers { ("worker", node) } else { ("ps", node - workers) };
            vec![("TF_CONFIG", json!({ "cluster": cluster, "task": { "type": role, "index": index } }).to_string())]
        }
    }
}

/// Returns the name of a process's log in the run's folder; of a job with one process it is the job's.
pub(super) fn log_name(job: &Job, rank: u32) -> String {
    let last = job.nodes() * processes(job) - 1;
    if last == 0 {
        return "user_logs/std_log.txt".to_owned();
    }
    format!("user_logs/std_log_process_{rank:0width$}.txt", width = last.to_string().len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::azureml::job::tests::job;

    fn with(nodes: u32, distribution: Value) -> Job {
        let mut job = job("j");
        job.properties["resources"] = json!({ "instanceCount": nodes });
        job.properties["distribution"] = distribution;
        job
    }

    fn of(job: &Job, node: u32, name: &str) -> String {
        variables(job, node).into_iter().find(|pair| pair.0 == name).map(|pair| pair.1).unwrap_or_default()
    }

    #[test]
    fn logs_are_named_as_the_service_names_them() {
        assert_eq!(log_name(&job("j"), 0), "user_logs/std_log.txt");
        let many = with(6, json!({ "distributionType": "PyTorch", "processCountPerInstance": 2 }));
        assert_eq!(
            (log_name(&many, 0).as_str(), log_name(&many, 11).as_str()),
            ("user_logs/std_log_process_00.txt", "user_logs/std_log_process_11.txt")
        );
    }

    #[test]
    fn ranks_count_over_all_processes_of_all_nodes() {
        let job = with(2, json!({ "distributionType": "PyTorch", "processCountPerInstance": 4 }));
        assert_eq!((of(&job, 1, "RANK").as_str(), of(&job, 1, "WORLD_SIZE").as_str()), ("4", "8"));
        assert_eq!(of(&job, 1, "MASTER_ADDR"), host_name(&job, 0));
        let job = with(3, json!({ "distributionType": "Mpi" }));
        assert_eq!((of(&job, 2, "OMPI_COMM_WORLD_RANK").as_str(), of(&job, 2, "OMPI_COMM_WORLD_SIZE").as_str()), ("2", "3"));
    }

    #[test]
    fn the_last_nodes_are_tensorflows_parameter_servers() {
        let job = with(3, json!({ "distributionType": "TensorFlow", "workerCount": 2, "parameterServerCount": 1 }));
        let config: Value = serde_json::from_str(&of(&job, 2, "TF_CONFIG")).expect("JSON");
        assert_eq!(config["task"], json!({ "type": "ps", "index": 0 }));
        assert_eq!(config["cluster"]["worker"].as_array().map(Vec::len), Some(2));
        assert!(variables(&with(2, Value::Null), 0).is_empty());
    }
}
