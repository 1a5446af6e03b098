//! What both sides of Azure Machine Learning's protocol agree on: the scope of a workspace and the ids below it, the hash of a code asset,
//! and the body of an error.
//!
//! The target's client writes them and the emulator reads them. Neither side's routes, states or requests are here.

mod error_body;
mod hash;
mod scope;

pub use error_body::{ErrorBody, ErrorDetail};
pub use hash::{HASH_VERSION, code_hash};
pub use scope::{AssetId, Scope};

/// The version of the control plane's interface that our own requests name.
pub const API_VERSION: &str = "2024-04-01";
