//! The parity report: what is as the service does it, what is nearly so, and what is not there.

use super::route::Route;
use super::routes;

/// How near a part of the emulator is to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Faith {
    /// As far as its clients can see, it is the same.
    Faithful,
    /// It differs in this.
    Approximated(&'static str),
    /// It is not there; this happens instead.
    Absent(&'static str),
}

/// A line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The part of the service: `control plane`, `storage`, `jobs`.
    pub area: &'static str,
    /// What it is about: a route, or a behaviour.
    pub what: String,
    /// How near it is.
    pub faith: Faith,
}

/// What no single route shows.
const BEHAVIOURS: &[(&str, &str, Faith)] = &[];

/// Returns the report: routes first, each as it is in the table that serves requests, then behaviours.
pub fn parity() -> Vec<Row> {
    let row = |route: &Route| {
        let query = route.query.map(|query| format!("?{query}")).unwrap_or_default();
        Row { area: route.plane.word(), what: format!("{} /{}{query}", route.method, route.pattern), faith: route.faith }
    };
    let mut table = routes::table();
    table.sort_by_key(|route| route.plane);
    let behaviours = BEHAVIOURS.iter().map(|(area, what, faith)| Row { area, what: (*what).to_owned(), faith: *faith });
    table.iter().map(row).chain(behaviours).collect()
}
