//! The pipeline: load, check, plan, snapshot and environment and tracking, submit, watch, collect.
