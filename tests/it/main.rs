//! The real binary, in a world of its own.

mod bad_input;
mod check;
mod commands;
mod conformance;
mod environment;
mod exactly_once;
mod examples;
mod faults;
mod gc;
mod init;
mod interrupt;
mod kill_points;
mod limits;
mod local;
mod odd_text;
mod plan;
mod preflight;
mod relay;
mod remote_tracker;
mod rerun;
mod schema;
mod supervisor;
mod support;
mod terminal;
mod tracked;
mod tracker;
