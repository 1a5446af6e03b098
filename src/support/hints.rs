//! What a user can do about an error.

/// An error that can say what the user can try next.
pub trait Hints {
    /// Returns things to do now, most useful first; empty when there is nothing better than the message.
    fn hints(&self) -> Vec<String> {
        Vec::new()
    }
}
