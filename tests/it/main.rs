//! The real binary, in a world of its own.

mod bad_input;
mod exactly_once;
mod interrupt;
mod local;
mod preflight;
mod schema;
mod support;
mod tracked;
