//! The body of an error, which the control plane and the data plane share.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `{"error": {...}}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What is wrong.
    pub error: ErrorDetail,
}

/// What is wrong. Everything may be missing, and unknown fields are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ErrorDetail {
    /// A word for programs: `UserError`, `ResourceNotFound`.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// What it is about.
    pub target: Option<String>,
    /// Errors below it.
    #[serde(deserialize_with = "absent_is_empty")]
    pub details: Vec<ErrorDetail>,
    /// Facts for support: component, correlation, location, time.
    #[serde(deserialize_with = "absent_is_empty")]
    pub additional_info: Vec<Value>,
}

impl ErrorBody {
    /// Makes a body of a word and a sentence.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { error: ErrorDetail { code: code.into(), message: message.into(), ..ErrorDetail::default() } }
    }
}

/// Reads `null` as an empty list.
fn absent_is_empty<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_error_is_read_whatever_is_missing() {
        let text = json!({ "error": { "code": "UserError", "message": "The compute 'cpu-x' was not found.", "target": null, "details": null,
            "additionalInfo": [{ "type": "Location", "info": { "value": "westeurope" } }], "innerError": {} } });
        let body: ErrorBody = serde_json::from_value(text).expect("readable");
        assert_eq!((body.error.code.as_str(), body.error.additional_info.len()), ("UserError", 1));
        assert_eq!(serde_json::from_value::<ErrorBody>(json!({ "error": {} })).expect("readable"), ErrorBody::new("", ""));
    }
}
