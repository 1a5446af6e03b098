//! `sendoff metrics`.

use clap::Args;
use sendoff::submit::{Error, Jobs};
use sendoff::tracking::{Client, Requirement, Series, sparkline};

use super::World;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::printer::Printer;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A job id, a unique prefix of one, `@last`, or a handle
    job: String,
    /// End with 1 unless a metric's last value meets this, like `accuracy>=0.9` (can be repeated)
    #[arg(long, value_name = "CONDITION")]
    require: Vec<Requirement>,
}

pub(crate) async fn run(arguments: &Arguments, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let mut jobs = Jobs::open(&world.dirs, &world.variables)?;
    let record = jobs.find(&arguments.job)?;
    let Some(tracking) = &record.tracking else { return Err(Error::NotTracked(record.id.to_string()).into()) };
    let Some(connection) = jobs.connection(&record) else {
        return Err(Failure::Usage("the managed MLflow server does not run; `sendoff tracking start` starts it".to_owned()));
    };
    let client = Client::new(&connection)?;
    let metrics = client.metrics(&client.run(&tracking.run_id).await?).await?;
    let unmet: Vec<String> = arguments.require.iter().filter_map(|requirement| requirement.failure(&metrics)).collect();
    if printer.is_json() {
        printer.json(&json::report("metrics", json::Metrics { job: record.id.to_string(), metrics, unmet: unmet.clone() }));
    } else {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(["METRIC", "LAST", "MIN", "MAX", "COUNT", ""]);
        for (name, points) in &metrics {
            let Some(series) = Series::of(points) else { continue };
            let short = |value: f64| format!("{value:.6}").trim_end_matches('0').trim_end_matches('.').to_owned();
            table.add_row([
                name.clone(),
                short(series.last),
                short(series.min),
                short(series.max),
                series.count.to_string(),
                sparkline(points, 30),
            ]);
        }
        printer.answer(&table.trim_fmt());
    }
    for text in &unmet {
        printer.complain(text);
    }
    Ok(if unmet.is_empty() { Exit::Success } else { Exit::GateFailed })
}
