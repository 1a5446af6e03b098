//! `sendoff status`.

use sendoff::job::{NodeState, NodeWord, Record};
use sendoff::submit::Delivery;
use sendoff::support::words::{Count, Size, Span};

use super::World;
use super::jobs::{One, open_jobs, run_time, state_line};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::printer::Printer;

pub(crate) async fn run(arguments: &One, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let mut jobs = open_jobs(world, printer)?;
    let record = jobs.locate(&arguments.job).await?;
    let record = jobs.refresh(record).await?;
    let (delivery, nodes, kept) = (jobs.delivery(&record), jobs.nodes(&record), jobs.kept_place(&record));
    if printer.is_json() {
        printer.json(&json::report("job", json::Job::from(&record).with(delivery).on(nodes).keeping(kept)));
    } else {
        printer.answer(&describe(&record, delivery.as_ref(), &nodes, kept));
    }
    Ok(Exit::Success)
}

fn describe(record: &Record, delivery: Option<&Delivery>, nodes: &[NodeState], kept: Option<String>) -> String {
    let mut lines = vec![
        ("job", record.id.to_string()),
        ("state", state_line(record)),
        ("name", record.name.clone()),
        ("experiment", record.experiment.clone()),
        ("target", format!("{} ({})", record.target, record.handle)),
        ("attempt", record.attempt.to_string()),
        ("submitted", record.created_at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()),
    ];
    lines.extend(run_time(record).map(|time| (if record.state.is_ended() { "ran" } else { "runs for" }, time)));
    lines.extend(record.state.outcome().and_then(|outcome| Some(("reason", outcome.detail.clone()?))));
    lines.extend(nodes.iter().map(|node| (if node.rank == 0 { "nodes" } else { "" }, node_line(node))));
    lines.push(("snapshot", record.snapshot.chars().take(12).collect()));
    lines.push(("environment", record.environment.chars().take(12).collect()));
    if let Some(tracking) = &record.tracking {
        lines.push(("MLflow run", tracking.url.clone()));
        if record.state.is_ended() && !tracking.closed {
            lines.push(("", "its final status is not written yet: the tracker does not answer; the next command tries again".to_owned()));
        }
    }
    lines.extend(kept.map(|kept| ("kept", format!("{kept}; `sendoff delete` and `sendoff gc --yes` remove it"))));
    lines.extend(delivery.into_iter().flat_map(|delivery| delivery_lines(record, delivery)));
    lines.into_iter().map(|(name, value)| format!("{name:<12} {value}\n")).collect()
}

/// Says how a node stands.
fn node_line(node: &NodeState) -> String {
    let stands = match (node.state, node.exit_code) {
        (NodeWord::Running, _) => "runs".to_owned(),
        (NodeWord::Ended, Some(code)) => format!("ended with exit code {code}"),
        (NodeWord::Ended, None) => "ended".to_owned(),
        (NodeWord::Gone, _) => "was removed while it ran".to_owned(),
        (NodeWord::Unknown, _) => "nobody saw its end".to_owned(),
    };
    let time = match (node.started_at, node.ended_at) {
        (Some(started), Some(ended)) => format!(" after {}", Span(ended.duration_since(started).unsigned_abs())),
        (Some(started), None) if node.state == NodeWord::Running => format!(" since {}", started.strftime("%H:%M:%S UTC")),
        _ => String::new(),
    };
    format!("{} ({}) {stands}{time}", node.rank, node.name)
}

/// Says what the tracker does not have, and why.
fn delivery_lines(record: &Record, delivery: &Delivery) -> Vec<(&'static str, String)> {
    let (mut lines, pending) = (Vec::new(), delivery.pending);
    let writes = |count: u64| Count(usize::try_from(count).unwrap_or(usize::MAX), "write");
    if let Some(health) = &delivery.health
        && let Some(since) = health.away_since
    {
        let reason = health.reason.as_deref().unwrap_or("it does not answer");
        lines.push(("tracker", format!("away since {}: {reason}; the job goes on", since.strftime("%H:%M:%S UTC"))));
    }
    if pending.records > 0 {
        let next = if record.state.is_ended() { format!("; `sendoff tracking sync {}` delivers", record.id) } else { String::new() };
        lines.push(("", format!("{} ({}) not delivered yet{next}", writes(pending.records), Size(pending.bytes))));
    }
    if pending.refused > 0 {
        lines
            .push(("", format!("{} refused by the tracker, kept in `refused.jsonl` of the job's folder `relay`", writes(pending.refused))));
    }
    if pending.damaged > 0 {
        lines.push(("", format!("{} lost to a damaged disk", writes(pending.damaged))));
    }
    lines
}
