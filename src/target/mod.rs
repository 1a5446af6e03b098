//! Where a job runs: the boundary that every compute target keeps.

pub mod config;
