//! What stands in the spool: the client's own calls, and notes of the relay to itself.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A number that says where in the order of everything a record stands, from 1.
pub(super) type Seq = u64;

/// One record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Its place in the order.
    #[serde(rename = "n")]
    pub(super) seq: Seq,
    /// The client's connection; on one connection, whoever sends the next request has read the answer to the last.
    #[serde(rename = "c", default)]
    pub(super) connection: u64,
    /// When it was written, in milliseconds since 1970.
    #[serde(rename = "t")]
    pub(super) at: i64,
    /// What it says.
    #[serde(rename = "e")]
    pub(super) entry: Entry,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    /// A call of the client that was acknowledged and has to be delivered.
    Call(Call),
    /// An artifact upload that was acknowledged; its bytes are in a file of their own.
    Upload(Upload),
    /// Nothing to deliver: a call of the client that is answered from here for good (the injected run's final status).
    Kept(Call),
    /// Nothing to deliver: an MLflow run as the server last showed it.
    Seen(Seen),
    /// Nothing to deliver: a run is about to be created, under this request's mark.
    Creating(Creating),
    /// Nothing to deliver: the record before it is the supervisor's own end of the injected run.
    Ended,
    /// Nothing to deliver: everything that is known, so that older files can go.
    View(Box<Value>),
}

impl Entry {
    /// Returns whether the server has to hear of it.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self, Self::Call(_) | Self::Upload(_))
    }
}

/// A call of MLflow's REST API as the client made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Call {
    /// The path, from the server's root: `/api/2.0/mlflow/runs/log-metric`.
    pub(super) path: String,
    /// The body, with all of its fields.
    pub(super) body: Map<String, Value>,
}

impl Call {
    /// Returns the name of the act: `runs/log-metric`.
    pub(super) fn act(&self) -> &str {
        super::call::act(&self.path).unwrap_or_default()
    }

    /// Returns the MLflow run that it is about.
    pub(super) fn run_id(&self) -> &str {
        run_id(&self.body)
    }
}

/// Returns the MLflow run that a body names: clients send `run_id`, and `run_uuid` for servers of long ago.
pub(super) fn run_id(body: &Map<String, Value>) -> &str {
    let text = |key: &str| body.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    text("run_id").or_else(|| text("run_uuid")).unwrap_or_default()
}

/// An artifact upload through the server's proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Upload {
    /// The path with its query, from the server's root.
    pub(super) target: String,
    /// The file beside the spool that holds the bytes.
    pub(super) blob: String,
    /// How many bytes.
    pub(super) size: u64,
    /// `Content-Type`, if the client said it.
    pub(super) content_type: Option<String>,
    /// SHA-256 of the bytes, in hexadecimal digits.
    pub(super) digest: String,
}

/// An MLflow run as the server last showed it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// `run` of the answer.
    pub(super) run: Value,
    /// The mark of the request that created it here, if one did.
    pub(super) mark: Option<String>,
}

/// A run that is about to be created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Creating {
    /// The request's mark, which stands on the run as a tag until it is known to be there.
    pub(super) mark: String,
    /// The client's call.
    pub(super) call: Call,
}
