//! The `sendoff` command.

fn main() {}
