//! `sendoff plan`.

use std::fmt::Write;

use clap::{Args, ValueEnum};
use sendoff::environment::Push;
use sendoff::job::JobId;
use sendoff::submit::{Options, Past, Plan, Rehearsal, Tracker, plan, rehearse};
use sendoff::support::hints::Hints;
use sendoff::support::words::{Count, Size, Span};
use sendoff::target::Brought;

use super::World;
use crate::cli::RunConfigArguments;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::printer::Printer;
use crate::cli::report::plan::PlanReport;

/// Show what a submission would do, without doing it
///
/// Reads files, caches and the tracker's version; changes nothing and runs nothing of the project. `--show` prints one part in full;
/// `--output json` has all of them.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    run: RunConfigArguments,
    /// Print this part instead of the overview (can be repeated)
    #[arg(long, value_enum, value_name = "PART")]
    show: Vec<Part>,
    /// Plan for this job id: says what a job of this id that is there already means
    #[arg(long, value_name = "ID", conflicts_with = "key")]
    job_id: Option<JobId>,
    /// Plan for the job id that belongs to this text
    #[arg(long, value_name = "TEXT", value_parser = super::send::not_empty)]
    key: Option<String>,
    /// Plan to start a job again
    #[arg(long)]
    new_attempt: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The files of the snapshot, with their sizes
    Files,
    /// The packages of the environment, as far as they are resolved
    Packages,
    /// The variables of the job; values that may be secret are hidden
    Variables,
    /// What the target was asked, and what it can do
    Capabilities,
    /// The request to the target
    Request,
    /// The script that would run around the command
    Bootstrap,
}

pub(crate) async fn run(arguments: &Arguments, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let loaded = sendoff::config::load(&arguments.run.request(world, sendoff::config::Purpose::Submit))?;
    let mut plan = plan(loaded, None, &world.dirs, &world.variables).await?;
    let options =
        Options { job_id: arguments.job_id.clone(), key: arguments.key.clone(), new_attempt: arguments.new_attempt, ..Options::default() };
    let rehearsal = rehearse(&plan, &options, &world.dirs, &world.variables)?;
    let problem = plan.tracker.take_problem();
    let report = PlanReport::new(&plan, &rehearsal, problem.as_ref());
    if printer.is_json() {
        printer.json(&json::report("plan", report));
    } else if arguments.show.is_empty() {
        printer.answer(&overview(&plan, &rehearsal, problem.as_ref().map(ToString::to_string)));
        plan.notes.iter().for_each(|note| printer.say(&format!("note: {note}")));
        plan.warnings.iter().for_each(|warning| printer.say(&format!("{}: {warning}", printer.styled("1;33", "warning"))));
    } else {
        for part in &arguments.show {
            printer.answer(&show(*part, &plan, &rehearsal, &report));
        }
    }
    match (problem, rehearsal.past) {
        // The report has it; the same words as `submit`'s go to stderr.
        (Some(problem), _) if printer.is_json() => {
            printer.complain(&format!("error: {problem}"));
            problem.hints().iter().for_each(|hint| printer.complain(&format!("hint: {hint}")));
            Ok(Exit::SubmissionFailed)
        }
        (Some(problem), _) => Err(Failure::Submit(problem.into())),
        (None, Past::Refused(error)) if printer.is_json() => {
            printer.complain(&format!("error: {error}"));
            Ok(Exit::Usage)
        }
        (None, Past::Refused(error)) => Err(Failure::Command(*error)),
        (None, _) => Ok(Exit::Success),
    }
}

fn overview(plan: &Plan, rehearsal: &Rehearsal, problem: Option<String>) -> String {
    let run = &plan.run;
    let past = match &rehearsal.past {
        Past::New if rehearsal.is_chosen => "new".to_owned(),
        Past::New => "named at submission (`new-job` stands for it here)".to_owned(),
        Past::Adopted(state) => format!("was submitted before and is {}: it would be adopted", state.word()),
        Past::Resumed => "its submission was interrupted and would go on".to_owned(),
        Past::NextAttempt(number) => format!("would be started again, as attempt {number}"),
        Past::Refused(_) => "the submission would be refused".to_owned(),
    };
    let limit = run.resources.max_duration.map_or_else(|| "no time limit".to_owned(), |limit| format!("at most {}", Span(limit)));
    let mut lines = vec![
        ("job", if rehearsal.is_chosen { format!("{} ({past})", rehearsal.id) } else { past }),
        ("target", format!("{} ({}), {limit}", run.target.value.name, run.target.origin)),
        ("tracker", format!("{}{}", tracker(plan), problem.map(|text| format!("; cannot be used: {text}")).unwrap_or_default())),
    ];
    if let Tracker::Remote { credentials: Some(credentials), .. } = &plan.tracker {
        lines.push(("credentials", credentials.clone()));
    }
    if plan.is_tracked() {
        lines.push(("experiment", format!("{}, attached as `{}`", plan.experiment, json::word(&plan.attach))));
    }
    if let Some(way) = &plan.ways.tracker {
        lines.push(("route", way.clone()));
    }
    let id = rehearsal.spec.snapshot.get(..12).unwrap_or_default();
    lines.push(("snapshot", format!("{id}, {}, {}", Count(plan.listing.files.len(), "file"), Size(plan.listing.size()))));
    for file in plan.listing.biggest(3) {
        lines.push(("", format!("{:>10}  {}", Size(file.size).to_string(), file.path)));
    }
    lines.push(("environment", environment(plan)));
    lines.extend(plan.push.as_ref().map(|push| ("push", pushed(push))));
    let command = match &rehearsal.spec.command {
        sendoff::job::Command::Program(words) => sendoff::support::shell::join(words),
        sendoff::job::Command::Shell(line) => line.clone(),
    };
    lines.push(("command", command));
    let asked: Vec<String> =
        plan.capabilities.iter().filter_map(|capability| Some(format!("{} {}", capability.key, capability.asked.as_ref()?))).collect();
    if !asked.is_empty() {
        lines.push(("limits", asked.join(", ")));
    }
    for (index, (path, brought)) in plan.ways.inputs.iter().enumerate() {
        let how = match brought {
            Brought::Bound => "is bound, read-only".to_owned(),
            Brought::Copied(why) => format!("is copied: {why}"),
        };
        lines.push((if index == 0 { "inputs" } else { "" }, format!("{} {how}", path.display())));
    }
    if let Some(first) = rehearsal.secrets.first() {
        let names: Vec<&str> = rehearsal.secrets.iter().map(|secret| secret.name.as_str()).collect();
        lines.push(("secrets", format!("{}: {}", names.join(", "), first.travels)));
    }
    lines.push(("more", "--show files|packages|variables|capabilities|request|bootstrap".to_owned()));
    lines.into_iter().map(|(name, value)| format!("{name:<12} {value}\n")).collect()
}

fn tracker(plan: &Plan) -> String {
    let origin = &plan.run.tracking.origin;
    let uri = plan.run.tracking.value.uri.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
    let state = match &plan.tracker {
        Tracker::None => String::new(),
        Tracker::Managed { uri: Some(uri), .. } => format!(", runs at {uri}"),
        Tracker::Managed { installed: true, .. } => ", would be started".to_owned(),
        Tracker::Managed { .. } => ", would be installed and started".to_owned(),
        Tracker::Workspace | Tracker::Remote { .. } => String::new(),
    };
    let version = plan.tracker.version().map(|version| format!(", MLflow {version}")).unwrap_or_default();
    format!("{uri} ({origin}){state}{version}")
}

fn environment(plan: &Plan) -> String {
    let found = &plan.inspection;
    let python =
        found.python.as_ref().map_or_else(|| "Python found at submission".to_owned(), |python| format!("Python {}", python.version));
    let state = match &found.id {
        Some(id) if found.built => format!("hit: {} is built", id.short()),
        Some(id) => format!("miss: {} is resolved and has to be built", id.short()),
        None if found.changed.is_empty() => "miss: not resolved yet".to_owned(),
        None => format!("miss: {} changed", found.changed.join(", ")),
    };
    let packages = found.lock.as_ref().map(|lock| format!(", {}", Count(packages(lock).len(), "package"))).unwrap_or_default();
    format!("{state}; {python}{packages}")
}

fn pushed(push: &Push) -> String {
    if push.is_done {
        return format!("`{}` was sent before", push.image);
    }
    format!("the environment's image would be sent to `{}`, {}", push.image, push.login)
}

fn packages(lock: &str) -> Vec<&str> {
    lock.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

fn show(part: Part, plan: &Plan, rehearsal: &Rehearsal, report: &PlanReport<'_>) -> String {
    let mut text = String::new();
    match part {
        Part::Files => {
            for file in &plan.listing.files {
                let _ = writeln!(text, "{:>10}  {}", Size(file.size).to_string(), file.path);
            }
        }
        Part::Packages => match &plan.inspection.lock {
            Some(lock) => text.clone_from(lock),
            None => text.push_str("not resolved yet\n"),
        },
        Part::Variables => {
            for (name, value) in &rehearsal.spec.variables {
                let _ = writeln!(text, "{name}={value}");
            }
            for secret in &rehearsal.secrets {
                let _ = writeln!(text, "{}=[hidden]", secret.name);
            }
            if let [first, .., last] = rehearsal.nodes.as_slice() {
                for ((name, first), (_, last)) in first.iter().zip(last) {
                    let value = if first == last {
                        first.clone()
                    } else {
                        format!("{first} (node 0) to {last} (node {})", rehearsal.nodes.len() - 1)
                    };
                    let _ = writeln!(text, "{name}={value}");
                }
            }
        }
        Part::Capabilities => {
            for capability in &plan.capabilities {
                let asked = capability.asked.as_deref().unwrap_or("not asked");
                let _ = writeln!(text, "{:<24} {asked}; the target {}", capability.key, capability.can);
            }
        }
        Part::Request => text = serde_json::to_string_pretty(&report.request).expect("report types are plain data"),
        Part::Bootstrap => text.clone_from(&rehearsal.bootstrap),
    }
    text
}
