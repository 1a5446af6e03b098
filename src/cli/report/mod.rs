//! The larger report types behind `--output json`, one file each.

pub(crate) mod plan;
