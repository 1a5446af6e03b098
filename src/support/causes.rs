//! An error with what caused it, from the outside in.

use std::error::Error;

/// Returns the error, then its cause, then the cause's cause, and so on.
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// Returns an error with its causes in one line, for a place that keeps a text and not an error.
pub fn in_one_line(error: &(dyn Error + 'static)) -> String {
    chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not start the job")]
    struct Outer(#[source] std::fmt::Error);

    #[test]
    fn causes_follow_their_error() {
        let cause = std::fmt::Error.to_string();
        assert_eq!(in_one_line(&Outer(std::fmt::Error)), format!("could not start the job: {cause}"));
        assert_eq!(chain(&std::fmt::Error).count(), 1);
    }
}
