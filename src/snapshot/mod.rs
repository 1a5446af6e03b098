//! A source tree becomes one reproducible archive.
//!
//! ```text
//! list (which files, by one matcher for every target) -> scan (hashes, through the stat cache) -> pack (one zip, named by the id)
//! ```

mod archive;
mod cache;
mod entry;
mod error;
pub mod git;
mod listing;
mod manifest;
mod rules;
mod secrets;
mod spec;
mod store;
mod walk;
mod why;

pub use error::{Error, Problem};
pub use listing::{File, Listing, list};
pub use manifest::{Change, Manifest, Mode};
pub use rules::keep_out;
pub use spec::{SnapshotId, Spec};
pub use store::{Packed, Store};
pub use why::{Why, why};
