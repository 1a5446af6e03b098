//! What the service's answers mean.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use crate::job::{Ending, JobState, Outcome};

/// A job as the control plane shows it: `GET <scope>/jobs/<name>`. Whatever is missing is empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Job {
    pub(super) name: String,
    pub(super) properties: JobProperties,
    #[serde(rename = "systemData")]
    pub(super) system: Option<SystemData>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct JobProperties {
    pub(super) status: Option<String>,
    pub(super) display_name: Option<String>,
    pub(super) experiment_name: Option<String>,
    pub(super) tags: Option<BTreeMap<String, Option<String>>>,
    pub(super) properties: Option<BTreeMap<String, Option<String>>>,
    pub(super) services: Option<BTreeMap<String, Option<Service>>>,
    pub(super) outputs: Option<BTreeMap<String, Option<Output>>>,
    pub(super) resources: Option<Resources>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Resources {
    pub(super) instance_count: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Service {
    pub(super) endpoint: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Output {
    pub(super) job_output_type: Option<String>,
    pub(super) uri: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SystemData {
    pub(super) created_at: Option<String>,
}

/// What run history tells of a job: `GET <history>/runs/<name>/details`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Details {
    pub(super) experiment_id: Option<String>,
    pub(super) start_time_utc: Option<String>,
    pub(super) end_time_utc: Option<String>,
    pub(super) error: Option<Failure>,
    pub(super) warnings: Option<Vec<Warning>>,
    pub(super) log_files: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Failure {
    pub(super) error: Option<FailureText>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct FailureText {
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Warning {
    pub(super) message: Option<String>,
}

impl Job {
    /// Returns a tag of the job.
    pub(super) fn tag(&self, name: &str) -> Option<&str> {
        self.properties.tags.as_ref()?.get(name)?.as_deref()
    }

    /// Returns a property of the job, which nobody can change.
    pub(super) fn property(&self, name: &str) -> Option<&str> {
        self.properties.properties.as_ref()?.get(name)?.as_deref()
    }

    /// Returns the address of one of the job's services: `Studio`, where people see it, or `Tracking`.
    pub(super) fn endpoint(&self, service: &str) -> Option<&str> {
        self.properties.services.as_ref()?.get(service)?.as_ref()?.endpoint.as_deref()
    }

    /// Returns when the job was made.
    pub(super) fn created_at(&self) -> Option<Timestamp> {
        instant(self.system.as_ref()?.created_at.as_deref()?)
    }

    /// Returns the service's word for the state.
    pub(super) fn status(&self) -> &str {
        self.properties.status.as_deref().unwrap_or_default()
    }
}

/// Reads a time: `Z` or `+00:00`, with up to seven digits of a second, and taken for UTC where nothing says so.
pub(super) fn instant(text: &str) -> Option<Timestamp> {
    let known: Option<Timestamp> = text.parse().ok();
    let at = known.or_else(|| format!("{text}Z").parse().ok())?;
    Timestamp::from_millisecond(at.as_millisecond()).ok()
}

/// How a job stands, as far as its status alone tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// It was accepted.
    Submitted,
    /// It waits for this.
    Waits(&'static str),
    /// Its command runs, or what comes after it.
    Runs,
    /// It ended; run history says how.
    Ended(End),
    /// A word that we do not know, or one that may be followed by any other.
    Other,
}

/// The ways to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Completed,
    Failed,
    Canceled,
}

/// Returns what a status means. `NotResponding` and `Paused` may be left again, so they count as active.
pub(super) fn standing(status: &str) -> Standing {
    match status {
        "NotStarted" | "Starting" => Standing::Submitted,
        "Provisioning" => Standing::Waits("a machine, which is being made"),
        "Preparing" => Standing::Waits("its environment, which is being prepared"),
        "Queued" => Standing::Waits("its turn on the compute"),
        "Running" | "Finalizing" | "CancelRequested" => Standing::Runs,
        "Completed" => Standing::Ended(End::Completed),
        "Failed" => Standing::Ended(End::Failed),
        "Canceled" => Standing::Ended(End::Canceled),
        _ => Standing::Other,
    }
}

/// Returns the state of a job that neither runs nor has ended.
pub(super) fn active(job: &Job, now: Timestamp) -> JobState {
    let created = job.created_at().unwrap_or(now);
    match standing(job.status()) {
        Standing::Submitted => JobState::Submitted { at: created },
        Standing::Waits(reason) => JobState::Queued { since: created, reason: reason.to_owned() },
        Standing::Runs => JobState::Running { since: created },
        Standing::Other | Standing::Ended(_) => JobState::Unknown { word: job.status().to_owned() },
    }
}

/// Returns how a job ended. The service has no field for the exit code: it is read from the sentence about the failure, and a sentence that
/// we do not know gives none.
pub(super) fn outcome(end: End, details: &Details, limit: Option<std::time::Duration>, now: Timestamp) -> Outcome {
    let time = |text: &Option<String>| text.as_deref().and_then(instant);
    let (started_at, ended_at) = (time(&details.start_time_utc), time(&details.end_time_utc).unwrap_or(now));
    let said = details.error.as_ref().and_then(|error| error.error.as_ref());
    let message = said.and_then(|said| said.message.clone()).filter(|message| !message.trim().is_empty());
    let ran = started_at.and_then(|start| std::time::Duration::try_from(ended_at.duration_since(start)).ok());
    let ran_out = limit.is_some_and(|limit| ran.is_some_and(|ran| ran >= limit)) || message.as_deref().is_some_and(is_timeout);
    let (ending, exit_code) = match end {
        End::Completed => (Ending::Exited, Some(0)),
        End::Canceled | End::Failed if ran_out && (end == End::Canceled || message.as_deref().and_then(exit_code).is_none()) => {
            (Ending::TimedOut, None)
        }
        End::Canceled => (Ending::Cancelled, None),
        End::Failed => match message.as_deref().and_then(exit_code) {
            Some(code) => (Ending::Exited, Some(code)),
            None => (Ending::Broken, None),
        },
    };
    let warning = details.warnings.iter().flatten().find_map(|warning| warning.message.clone());
    let detail = match end {
        End::Completed => None,
        End::Canceled => message,
        End::Failed => message.or(warning),
    };
    let detail = detail.or_else(|| (ending == Ending::Broken).then(|| "the service does not say why".to_owned()));
    Outcome { ending, exit_code, started_at, ended_at, detail: detail.map(|text| shortened(&text)) }
}

/// Reads the exit code of the user's process: `User process 'python' exited with status code 42.`
///
/// The service speaks first and quotes the job's own output after, so only its first sentence of this form counts. A negative code is a
/// signal, as Python writes it. A failed job that exited with 0 contradicts itself, which is no code.
pub(super) fn exit_code(message: &str) -> Option<i32> {
    let at = ["exited with status code ", "exited with code ", "exited with exit code "]
        .into_iter()
        .filter_map(|words| message.find(words).map(|at| at + words.len()))
        .min()?;
    // What is quoted of the job's own output stands behind the service's words.
    if ["Error: Traceback", "Traceback (most recent"].iter().any(|quote| message.find(quote).is_some_and(|begin| begin < at)) {
        return None;
    }
    let rest = message[at..].trim_start_matches(['\'', '`', '"']);
    let end = rest.char_indices().find(|(index, c)| !(c.is_ascii_digit() || (*index == 0 && *c == '-'))).map_or(rest.len(), |(at, _)| at);
    match rest[..end].parse::<i32>().ok()? {
        0 => None,
        code @ 1..=255 => Some(code),
        code @ -64..=-1 => Some(128 - code),
        _ => None,
    }
}

fn is_timeout(message: &str) -> bool {
    let lower = message.to_lowercase();
    ["exceeded the time limit", "exceeded its timeout", "job timeout", "timed out after", "maximum run duration"]
        .iter()
        .any(|words| lower.contains(words))
}

/// Returns the beginning of a long message, which quotes much of the log.
fn shortened(text: &str) -> String {
    const MOST: usize = 2000;
    let text = text.trim();
    if text.chars().count() <= MOST { text.to_owned() } else { format!("{} ...", text.chars().take(MOST).collect::<String>()) }
}

/// Returns the log file of a process, or of a node with one, the first one's being the job's; of a job that ended before its command, what was written about its image.
pub(super) fn shown_log(files: &BTreeMap<String, String>, node: u32, ended: bool) -> Option<&str> {
    let found = files.iter().find(|(name, _)| is_log_of(name, node));
    let image = || files.iter().find(|(name, _)| ended && node == 0 && name.ends_with("20_image_build_log.txt"));
    found.or_else(image).map(|(_, url)| url.as_str())
}

/// Names are `user_logs/std_log.txt`, or with several nodes or processes `std_log_0.txt`, `std_log_process_0.txt`, `std_log_process_01.txt`.
fn is_log_of(name: &str, node: u32) -> bool {
    let Some(rest) = name.strip_prefix("user_logs/std_log").and_then(|rest| rest.strip_suffix(".txt")) else { return false };
    let rest = rest.strip_suffix("_ps").unwrap_or(rest);
    let number = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
    if number.is_empty() { node == 0 } else { number.parse() == Ok(node) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(text: &str) -> Details {
        serde_json::from_str(text).expect("readable")
    }

    #[test]
    fn exit_codes_are_read_from_recorded_messages_and_never_guessed() {
        let samples = include_str!("../../../tests/fixtures/azureml/messages.tsv");
        let mut count = 0;
        for line in samples.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (code, message) = line.split_once('\t').expect("a code, a tab, a message");
            assert_eq!(exit_code(message).map_or_else(|| "unknown".to_owned(), |code| code.to_string()), code, "{message}");
            count += 1;
        }
        assert!(count > 8, "{count}");
    }

    #[test]
    fn every_status_has_its_meaning_and_an_unknown_one_is_active() {
        let now = Timestamp::UNIX_EPOCH;
        let state = |status: &str| {
            let job: Job = serde_json::from_value(serde_json::json!({ "properties": { "status": status } })).expect("a job");
            active(&job, now).word().to_owned()
        };
        for (status, word) in [
            ("NotStarted", "submitted"),
            ("Starting", "submitted"),
            ("Provisioning", "queued"),
            ("Preparing", "queued"),
            ("Queued", "queued"),
            ("Running", "running"),
            ("Finalizing", "running"),
            ("CancelRequested", "running"),
            ("NotResponding", "unknown"),
            ("Paused", "unknown"),
            ("Hibernating", "unknown"),
        ] {
            assert_eq!(state(status), word, "{status}");
        }
        assert_eq!(standing("Canceled"), Standing::Ended(End::Canceled));
    }

    #[test]
    fn a_failure_is_told_with_the_services_own_words() {
        let text = include_str!("../../../tests/fixtures/azureml/details-failed.json");
        let outcome = outcome(End::Failed, &details(text), None, Timestamp::UNIX_EPOCH);
        assert_eq!((outcome.ending, outcome.exit_code), (Ending::Exited, Some(1)));
        assert_eq!(outcome.started_at.map(|at| at.to_string()).as_deref(), Some("2026-01-02T03:06:00Z"));
        assert!(outcome.detail.is_some_and(|detail| detail.starts_with("Execution failed.")));
    }

    #[test]
    fn what_the_service_does_not_say_is_neither_success_nor_a_code() {
        let broken = outcome(End::Failed, &Details::default(), None, Timestamp::UNIX_EPOCH);
        assert_eq!((broken.ending, broken.exit_code), (Ending::Broken, None));
        let late = details(r#"{"startTimeUtc": "2026-01-02T03:00:00Z", "endTimeUtc": "2026-01-02T03:01:00.1234567+00:00"}"#);
        let limit = Some(std::time::Duration::from_mins(1));
        assert_eq!(outcome(End::Canceled, &late, limit, Timestamp::UNIX_EPOCH).ending, Ending::TimedOut);
        assert_eq!(outcome(End::Canceled, &late, None, Timestamp::UNIX_EPOCH).ending, Ending::Cancelled);
        assert_eq!(outcome(End::Completed, &late, limit, Timestamp::UNIX_EPOCH).exit_code, Some(0));
    }

    #[test]
    fn times_are_read_however_they_are_written() {
        let expected = "2026-01-02T03:04:05.123Z".parse().ok();
        for text in ["2026-01-02T03:04:05.1234567Z", "2026-01-02T03:04:05.123+00:00", "2026-01-02T03:04:05.1234567"] {
            assert_eq!(instant(text), expected, "{text}");
        }
        assert_eq!(instant("yesterday"), None);
    }

    #[test]
    fn of_many_logs_the_first_processs_is_shown() {
        let of_node = |names: &[&str], node| {
            let files = names.iter().map(|name| ((*name).to_owned(), (*name).to_owned())).collect();
            shown_log(&files, node, true).map(str::to_owned)
        };
        let shown = |names: &[&str]| of_node(names, 0);
        assert_eq!(shown(&["system_logs/x.log", "user_logs/std_log.txt"]).as_deref(), Some("user_logs/std_log.txt"));
        assert_eq!(
            shown(&["user_logs/std_log_process_01.txt", "user_logs/std_log_process_00.txt"]).as_deref(),
            Some("user_logs/std_log_process_00.txt")
        );
        assert_eq!(shown(&["azureml-logs/20_image_build_log.txt"]).as_deref(), Some("azureml-logs/20_image_build_log.txt"));
        assert_eq!(shown(&["user_logs/std_log_1.txt"]), None);
        assert_eq!(
            of_node(&["user_logs/std_log_process_00.txt", "user_logs/std_log_process_01.txt"], 1).as_deref(),
            Some("user_logs/std_log_process_01.txt")
        );
    }
}
