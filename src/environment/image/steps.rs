//! Makes the steps of a build readable.

use super::super::{Progress, Step};
use crate::engine::build::Watch;
use crate::support::secret::without_credentials;

/// Hands the steps of a build on, those that tell nothing left out.
pub(super) struct Steps<'a>(pub(super) &'a dyn Progress);

impl Watch for Steps<'_> {
    fn step(&self, name: &str, cached: bool) {
        if let Some(text) = readable(name)
            && !cached
        {
            self.0.step(Step::ImageStep(text));
        }
    }

    fn line(&self, text: &str) {
        self.0.step(Step::ImageOutput(without_credentials(text)));
    }
}

/// Returns what people read; nothing for a step that is the builder's own business.
pub(super) fn readable(name: &str) -> Option<String> {
    if name.contains("/run/sendoff/uv.sh") {
        return Some("installing uv".to_owned());
    }
    if name.contains("/run/sendoff/system.sh") {
        return Some("installing Debian packages".to_owned());
    }
    if name.contains("/run/sendoff/packages.sh") {
        return Some("installing packages".to_owned());
    }
    if name.starts_with("exporting") {
        return Some("writing the image".to_owned());
    }
    let is_own =
        name.starts_with("[internal]") || name.starts_with("copy /context") || name.starts_with("resolve image") || name.contains("FROM ");
    (!is_own).then(|| without_credentials(name))
}
