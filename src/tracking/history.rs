//! The values that MLflow runs have logged, in the order in which MLflow ranks them.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::client::{run, text};
use super::{Client, Error, MlflowRun};

/// One value of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// The step.
    pub step: i64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The value; may be infinite or not a number, which are words in JSON.
    #[serde(serialize_with = "number_or_word")]
    pub value: f64,
}

impl Point {
    /// Compares as MLflow's server does to find a metric's latest value: by step, then time, then value, where not-a-number counts as 0.
    pub fn rank(&self, other: &Self) -> Ordering {
        let value = |point: &Self| if point.value.is_nan() { 0.0 } else { point.value };
        (self.step, self.timestamp).cmp(&(other.step, other.timestamp)).then(value(self).total_cmp(&value(other)))
    }
}

/// JSON has no number for these; MLflow's own answers have the same words.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn number_or_word<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    match *value {
        value if value.is_nan() => serializer.serialize_str("NaN"),
        f64::INFINITY => serializer.serialize_str("Infinity"),
        f64::NEG_INFINITY => serializer.serialize_str("-Infinity"),
        value => serializer.serialize_f64(value),
    }
}

/// The histories of one MLflow run, by metric.
pub type Histories = BTreeMap<String, Vec<Point>>;

/// An MLflow run and what it has measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The MLflow run's id.
    pub run_id: String,
    /// Its name; unlike that of the others which are returned with it.
    pub name: String,
    /// The whole history of each metric; the last is what MLflow calls its latest value.
    pub metrics: Histories,
}

impl Client {
    /// Returns what a job has measured: its own MLflow run first, even without metrics, then those that its script opened and that have
    /// some, oldest first. Of these, any that started before `since` (in milliseconds) is left out.
    pub async fn measured(&self, run_id: &str, job: &str, since: i64) -> Result<Vec<Measured>, Error> {
        let own = self.run(run_id).await?;
        let mut runs = vec![own.clone()];
        let mut children: Vec<MlflowRun> = self.runs_everywhere(&own.experiment_id, job).await?;
        children.retain(|child| child.id != own.id && child.is_child && child.started_at >= since && !child.metrics.is_empty());
        children.sort_by_key(|child| child.started_at);
        runs.extend(children);
        let names = distinct(&runs);
        let mut measured = Vec::with_capacity(runs.len());
        for (run, name) in runs.into_iter().zip(names) {
            measured.push(Measured { metrics: self.metrics(&run).await?, run_id: run.id, name });
        }
        Ok(measured)
    }

    /// Returns the MLflow runs that carry a job's tag, whatever experiment the script has put them in.
    async fn runs_everywhere(&self, experiment_id: &str, job: &str) -> Result<Vec<MlflowRun>, Error> {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let answer = self.post("experiments/search", &paged(json!({ "max_results": 1000 }), &token)).await?;
            let listed = answer["experiments"].as_array().into_iter().flatten().map(|experiment| text(experiment, "experiment_id"));
            let mut experiments: Vec<String> = listed.collect();
            if token.is_empty() && !experiments.iter().any(|id| id == experiment_id) {
                experiments.push(experiment_id.to_owned());
            }
            found.extend(self.runs_in(&experiments, job).await?);
            token = text(&answer, "next_page_token");
            if token.is_empty() {
                found.sort_by(|one: &MlflowRun, other| one.id.cmp(&other.id));
                found.dedup_by(|one, other| one.id == other.id);
                return Ok(found);
            }
        }
    }

    async fn runs_in(&self, experiments: &[String], job: &str) -> Result<Vec<MlflowRun>, Error> {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let body = json!({
                "experiment_ids": experiments, "filter": format!("tags.`sendoff.job_id` = '{job}'"), "max_results": 1000,
            });
            let answer = self.post("runs/search", &paged(body, &token)).await?;
            found.extend(answer["runs"].as_array().into_iter().flatten().map(run));
            token = text(&answer, "next_page_token");
            if token.is_empty() {
                return Ok(found);
            }
        }
    }

    async fn metrics(&self, run: &MlflowRun) -> Result<Histories, Error> {
        let mut all = BTreeMap::new();
        for key in &run.metrics {
            let (mut points, mut token) = (Vec::new(), String::new());
            loop {
                let mut query = vec![("run_id", run.id.as_str()), ("metric_key", key.as_str()), ("max_results", "25000")];
                if !token.is_empty() {
                    query.push(("page_token", token.as_str()));
                }
                let answer = self.get("metrics/get-history", &query).await?;
                points.extend(answer["metrics"].as_array().into_iter().flatten().map(point));
                token = text(&answer, "next_page_token");
                if token.is_empty() {
                    break;
                }
            }
            points.sort_by(Point::rank);
            all.insert(key.clone(), points);
        }
        Ok(all)
    }
}

fn paged(mut body: Value, token: &str) -> Value {
    if !token.is_empty() {
        body["page_token"] = token.into();
    }
    body
}

/// Returns the names of MLflow runs, with the start of the id where two have the same.
fn distinct(runs: &[MlflowRun]) -> Vec<String> {
    let is_shared = |name: &str| runs.iter().filter(|run| run.name == name).count() > 1;
    let named = |run: &MlflowRun| match run.id.get(..8) {
        Some(start) if is_shared(&run.name) => format!("{}-{start}", run.name),
        _ => run.name.clone(),
    };
    runs.iter().map(named).collect()
}

/// Reads a value of a history; what JSON has no number for comes as text (`"NaN"`), and 64-bit integers may too.
fn point(value: &Value) -> Point {
    let integer = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0);
    let number = value["value"].as_f64().or_else(|| value["value"].as_str()?.parse().ok()).unwrap_or(f64::NAN);
    Point { step: integer(&value["step"]), timestamp: integer(&value["timestamp"]), value: unstored(number) }
}

/// Undoes what MLflow's database does to the infinite: it keeps the largest number instead.
fn unstored(value: f64) -> f64 {
    match value {
        f64::MAX => f64::INFINITY,
        f64::MIN => f64::NEG_INFINITY,
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Point {
        point(&serde_json::from_str(text).expect("JSON"))
    }

    #[test]
    fn numbers_that_json_has_not_are_read_and_written() {
        let written = |text: &str| serde_json::to_value(read(text)).expect("plain data")["value"].clone();
        assert!(read(r#"{"value":"NaN","step":"3","timestamp":1}"#).value.is_nan());
        assert_eq!(written(r#"{"value":"NaN"}"#), "NaN");
        assert_eq!(written(r#"{"value":"Infinity"}"#), "Infinity");
        assert_eq!(written(r#"{"value":-1.7976931348623157e308}"#), "-Infinity");
        assert_eq!(written(r#"{"value":0.5}"#), 0.5);
    }

    #[test]
    fn the_latest_value_is_that_of_the_highest_step_then_time_then_value() {
        let mut points = [(3, 1, 0.1), (5, 9, f64::NAN), (5, 9, -1.0), (4, 99, 9.0), (5, 8, 7.0)].map(|(step, timestamp, value)| Point {
            step,
            timestamp,
            value,
        });
        points.sort_by(Point::rank);
        assert_eq!(points.map(|point| (point.step, point.timestamp)), [(3, 1), (4, 99), (5, 8), (5, 9), (5, 9)]);
        assert!(points[4].value.is_nan(), "{points:?}");
    }
}
