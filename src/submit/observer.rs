//! What the layer above hears while a submission goes on.

/// Listens to a submission.
pub trait Observer: Send + Sync {
    /// Something that the user should know.
    fn note(&self, text: &str);

    /// Something that may be wrong and does not stop the submission.
    fn warn(&self, text: &str);

    /// A step that takes a while begins.
    fn step(&self, text: &str);

    /// A line of what a step says of itself.
    fn output(&self, line: &str);
}
