//! Makes the steps of a build readable.

use super::super::{Progress, Step};
use crate::engine::build::{self, Watch};
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

/// Returns the error with the step as people read it.
pub(super) fn named(error: build::Error) -> build::Error {
    match error {
        build::Error::Failed { step, reason, lines } => {
            let lines = lines.iter().map(|line| without_credentials(line)).collect();
            build::Error::Failed { step: readable(&step).unwrap_or(step), reason: reason_of(&reason), lines }
        }
        build::Error::DiskFull { step } => build::Error::DiskFull { step: readable(&step).unwrap_or(step) },
        error => error,
    }
}

/// Shortens `process "/bin/sh -c ..." did not complete successfully: exit code: 2`: the step is named already.
fn reason_of(reason: &str) -> String {
    reason.rsplit_once("exit code: ").map_or_else(|| without_credentials(reason), |(_, code)| format!("exit code {code}"))
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
