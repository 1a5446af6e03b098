//! What a container can be tried with that never runs.

use crate::engine::{Engine, Error};

/// Returns an image for containers that are never started: any will do. `None` on an engine that has none yet.
pub(super) async fn image(engine: &Engine) -> Result<Option<String>, Error> {
    Ok(engine.images(&[]).await?.into_iter().next().map(|image| image.id.to_string()))
}
