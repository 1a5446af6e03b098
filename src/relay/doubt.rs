//! Settles calls whose outcome is not known by reading what the server has.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::deliver::{Stop, get};
use super::record::{Call, Entry, Seq};
use super::shared::Shared;
use super::view::integer;

/// What makes two values of one metric the same: time, step, value to the bit (infinities as the largest number, as MLflow's database has them).
type Fingerprint = (i64, i64, u64);

fn fingerprint(metric: &Value) -> Fingerprint {
    let value = match &metric["value"] {
        Value::String(text) => text.parse::<f64>().unwrap_or(f64::NAN),
        other => other.as_f64().unwrap_or(f64::NAN),
    };
    let value = if value.is_nan() { f64::NAN } else { value.clamp(f64::MIN, f64::MAX) };
    (integer(&metric["timestamp"]), integer(&metric["step"]), value.to_bits())
}

fn count(metrics: impl IntoIterator<Item = Fingerprint>) -> BTreeMap<Fingerprint, usize> {
    metrics.into_iter().fold(BTreeMap::new(), |mut counts, fingerprint| {
        *counts.entry(fingerprint).or_default() += 1;
        counts
    })
}

/// Returns those of the metrics that the server does not have: more of a value than it and everything before it account for.
pub(super) async fn missing(shared: &Shared, run_id: &str, metrics: &[Value], first: Seq) -> Result<Vec<Value>, Stop> {
    let mut by_key: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for metric in metrics {
        by_key.entry(metric["key"].as_str().unwrap_or_default()).or_default().push(metric);
    }
    let before = delivered_before(shared, run_id, &by_key, first)?;
    let mut absent = Vec::new();
    for (key, wanted) in by_key {
        let mut there = count(history(shared, run_id, key).await?.iter().map(fingerprint));
        for (fingerprint, number) in before.get(key).into_iter().flatten() {
            if let Some(has) = there.get_mut(fingerprint) {
                *has = has.saturating_sub(*number);
            }
        }
        for metric in wanted {
            match there.get_mut(&fingerprint(metric)) {
                Some(has) if *has > 0 => *has -= 1,
                _ => absent.push(metric.clone()),
            }
        }
    }
    Ok(absent)
}

/// Counts the equal values that were delivered before: a script may log the same value twice, and mean it.
fn delivered_before(
    shared: &Shared,
    run_id: &str,
    wanted: &BTreeMap<&str, Vec<&Value>>,
    first: Seq,
) -> Result<BTreeMap<String, BTreeMap<Fingerprint, usize>>, Stop> {
    let wanted: BTreeMap<&str, BTreeSet<Fingerprint>> =
        wanted.iter().map(|(key, metrics)| (*key, metrics.iter().map(|metric| fingerprint(metric)).collect())).collect();
    let mut counts: BTreeMap<String, BTreeMap<Fingerprint, usize>> = BTreeMap::new();
    let mut add = |metric: &Map<String, Value>| {
        let Some(key) = metric.get("key").and_then(Value::as_str) else { return };
        let own = fingerprint(&Value::Object(metric.clone()));
        if wanted.get(key).is_some_and(|wanted| wanted.contains(&own)) {
            *counts.entry(key.to_owned()).or_default().entry(own).or_default() += 1;
        }
    };
    shared.books(|books| {
        books.spool.before(first, |record| {
            let Entry::Call(call) = &record.entry else { return };
            if call.run_id() != run_id {
                return;
            }
            match call.act() {
                "runs/log-metric" => add(&call.body),
                "runs/log-batch" => {
                    call.body
                        .get("metrics")
                        .and_then(Value::as_array)
                        .into_iter()
                        .flatten()
                        .filter_map(Value::as_object)
                        .for_each(&mut add);
                }
                _ => {}
            }
        })
    })?;
    Ok(counts)
}

async fn history(shared: &Shared, run_id: &str, key: &str) -> Result<Vec<Value>, Stop> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let mut query = vec![("run_id", run_id), ("metric_key", key), ("max_results", "25000")];
        if !token.is_empty() {
            query.push(("page_token", &token));
        }
        let answer = get(shared, "metrics/get-history", &query).await?;
        all.extend(answer["metrics"].as_array().into_iter().flatten().cloned());
        match answer["next_page_token"].as_str() {
            Some(next) if !next.is_empty() => next.clone_into(&mut token),
            _ => return Ok(all),
        }
    }
}

/// Returns those of a call's datasets that the run does not have, by name and digest.
pub(super) async fn missing_inputs(shared: &Shared, call: &Call) -> Result<Vec<Value>, Stop> {
    let answer = get(shared, "runs/get", &[("run_id", call.run_id())]).await?;
    let name = |dataset: &Value| (dataset["name"].clone(), dataset["digest"].clone());
    let there: Vec<_> =
        answer["run"]["inputs"]["dataset_inputs"].as_array().into_iter().flatten().map(|input| name(&input["dataset"])).collect();
    let wanted = call.body.get("datasets").and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(wanted.into_iter().filter(|input| !there.contains(&name(&input["dataset"]))).collect())
}
