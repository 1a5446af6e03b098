//! The few protocol buffers that BuildKit and its client exchange; fields that nobody here reads are left out.

/// `moby.buildkit.v1.StatusResponse`: what became of the steps since the last one.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Status {
    /// Steps that are new, or changed.
    #[prost(message, repeated, tag = "1")]
    pub(super) vertexes: Vec<Vertex>,
    /// What steps printed.
    #[prost(message, repeated, tag = "3")]
    pub(super) logs: Vec<Log>,
}

/// `moby.buildkit.v1.Vertex`: a step.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Vertex {
    /// Its key.
    #[prost(string, tag = "1")]
    pub(super) digest: String,
    /// What people read: `[2/3] RUN make`.
    #[prost(string, tag = "3")]
    pub(super) name: String,
    /// Whether its result was there already.
    #[prost(bool, tag = "4")]
    pub(super) cached: bool,
    /// When it began.
    #[prost(message, optional, tag = "5")]
    pub(super) started: Option<Time>,
    /// When it ended.
    #[prost(message, optional, tag = "6")]
    pub(super) completed: Option<Time>,
    /// Why it failed.
    #[prost(string, tag = "7")]
    pub(super) error: String,
}

/// `moby.buildkit.v1.VertexLog`: a piece of what a step printed.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Log {
    /// The step's key.
    #[prost(string, tag = "1")]
    pub(super) vertex: String,
    /// 1 for standard output, 2 for standard error.
    #[prost(int64, tag = "3")]
    pub(super) stream: i64,
    /// The bytes.
    #[prost(bytes = "vec", tag = "4")]
    pub(super) bytes: Vec<u8>,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Time {
    /// Since 1970.
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
}

/// A request with one name in it: of a secret, or of a registry.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Named {
    /// The name.
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

/// `moby.buildkit.secrets.v1.GetSecretResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SecretAnswer {
    /// The secret.
    #[prost(bytes = "vec", tag = "1")]
    pub(super) data: Vec<u8>,
}

/// `moby.filesync.v1.CredentialsResponse`; empty for nobody.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CredentialsAnswer {
    /// The user.
    #[prost(string, tag = "1")]
    pub(super) user: String,
    /// The password or token.
    #[prost(string, tag = "2")]
    pub(super) secret: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Health {
    /// 1 is "serving".
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
}
