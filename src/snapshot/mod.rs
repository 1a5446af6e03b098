//! A source tree becomes one reproducible archive.
//!
//! ```text
//! list (which files, by one matcher for every target) -> scan (hashes, through the stat cache) -> pack (one zip, named by the id)
//! ```

mod archive;
mod cache;
mod error;
pub mod git;
mod manifest;
mod secrets;
mod select;
mod spec;
mod store;

pub use error::{Error, Problem};
pub use manifest::{Change, Manifest, Mode};
pub use select::{File, Listing, Why, list, why};
pub use spec::{SnapshotId, Spec};
pub use store::{Packed, Store};
