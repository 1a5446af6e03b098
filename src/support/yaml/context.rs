//! Where findings and notes go while a document is read.

use std::cell::RefCell;

use super::{Finding, Place};

/// Collects everything that is wrong, and what the user should know.
#[derive(Debug, Default)]
pub struct Context {
    findings: RefCell<Vec<Finding>>,
    notes: RefCell<Vec<String>>,
}

impl Context {
    /// Records that a place is wrong.
    pub fn find(&self, place: &Place, message: impl Into<String>, reason: impl Into<String>, fix: Option<String>) {
        self.findings.borrow_mut().push(Finding { message: message.into(), reason: reason.into(), fix, place: place.clone() });
    }

    /// Takes findings from elsewhere.
    pub fn extend(&self, findings: Vec<Finding>) {
        self.findings.borrow_mut().extend(findings);
    }

    /// Records something that the user should know and that is not wrong.
    pub fn note(&self, note: impl Into<String>) {
        self.notes.borrow_mut().push(note.into());
    }

    /// Returns the findings in the order of their places, and the notes.
    pub fn finish(self) -> (Vec<Finding>, Vec<String>) {
        let mut findings = self.findings.into_inner();
        findings.sort_by_key(|finding| (finding.place.source.name.clone(), finding.place.span.start));
        (findings, self.notes.into_inner())
    }
}
