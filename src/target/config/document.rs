//! A compute target as it is written: the keys that all have, and those of its kind.

use std::borrow::Cow;
use std::num::NonZeroU32;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::kinds::{AzureMl, Databricks, Docker, Kubernetes, Local, Ray, Slurm, Ssh};
use super::{Kind, Resources};
use crate::document;
use crate::support::yaml::{Context, Document, Fields, Node, Parsed, Place, Read};

document! {
    /// What every compute target may say.
    pub struct Common {
        /// The kind of target.
        r#type: Parsed<Kind>,
        /// How many jobs of this target may run at once on its machine; more are queued. Absent means no limit.
        max_jobs: Parsed<NonZeroU32>,
        /// Replaces the same keys of the run config's `resources:`.
        resources: Resources,
    }
}

/// A compute target.
#[derive(Debug, Clone)]
pub struct Target {
    /// The kind.
    pub kind: Kind,
    /// Where the kind stands.
    pub place: Place,
    /// `max_jobs`.
    pub max_jobs: Option<Parsed<NonZeroU32>>,
    /// `resources`.
    pub resources: Resources,
    /// The kind's own keys.
    pub keys: Keys,
}

/// The keys of a kind.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each variant is its kind")]
pub enum Keys {
    Local(Local),
    Docker(Docker),
    Ssh(Ssh),
    Slurm(Slurm),
    AzureMl(AzureMl),
    Databricks(Databricks),
    Ray(Ray),
    Kubernetes(Kubernetes),
}

impl Keys {
    fn take(kind: Kind, fields: &mut Fields<'_>) -> Self {
        match kind {
            Kind::Local => Self::Local(Local::take(fields)),
            Kind::Docker => Self::Docker(Docker::take(fields)),
            Kind::Ssh => Self::Ssh(Ssh::take(fields)),
            Kind::Slurm => Self::Slurm(Slurm::take(fields)),
            Kind::AzureMl => Self::AzureMl(AzureMl::take(fields)),
            Kind::Databricks => Self::Databricks(Databricks::take(fields)),
            Kind::Ray => Self::Ray(Ray::take(fields)),
            Kind::Kubernetes => Self::Kubernetes(Kubernetes::take(fields)),
        }
    }

    fn schema(kind: Kind, generator: &mut SchemaGenerator) -> Schema {
        match kind {
            Kind::Local => Local::json_schema(generator),
            Kind::Docker => Docker::json_schema(generator),
            Kind::Ssh => Ssh::json_schema(generator),
            Kind::Slurm => Slurm::json_schema(generator),
            Kind::AzureMl => AzureMl::json_schema(generator),
            Kind::Databricks => Databricks::json_schema(generator),
            Kind::Ray => Ray::json_schema(generator),
            Kind::Kubernetes => Kubernetes::json_schema(generator),
        }
    }

    /// Returns the key that names a credential, if one is written, and where.
    pub fn credential(&self) -> Option<(&'static str, &Place)> {
        match self {
            Self::Ssh(ssh) => ssh.identity_file.as_ref().map(|text| ("identity_file", &text.place)),
            Self::AzureMl(azure) => azure.auth.as_ref().map(|text| ("auth", &text.place)),
            Self::Local(_) | Self::Docker(_) | Self::Slurm(_) | Self::Databricks(_) | Self::Ray(_) | Self::Kubernetes(_) => None,
        }
    }
}

impl Read for Target {
    fn read(node: &Node, name: &str, context: &Context) -> Option<Self> {
        let mut fields = Fields::of(node, name, context)?;
        let common = Common::take(&mut fields);
        let Some(kind) = common.r#type else {
            if node.get("type").is_none_or(Node::is_null) {
                let fix = "write `type: local`".to_owned();
                context.find(&node.place, format!("`{name}` has no `type`"), "a compute target needs one", Some(fix));
            }
            return None;
        };
        let keys = Keys::take(kind.value, &mut fields);
        fields.finish();
        Some(Self { kind: kind.value, place: kind.place, max_jobs: common.max_jobs, resources: common.resources.unwrap_or_default(), keys })
    }
}

impl JsonSchema for Target {
    fn schema_name() -> Cow<'static, str> {
        "Target".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let common = Common::json_schema(generator);
        let kinds: Vec<Schema> = Kind::ALL
            .into_iter()
            .map(|kind| {
                let mut schema = Keys::schema(kind, generator);
                let mut properties = common.get("properties").cloned().unwrap_or_default();
                properties["type"] = json!({ "const": kind.word() });
                if let (Value::Object(all), Some(Value::Object(own))) = (&mut properties, schema.remove("properties")) {
                    all.extend(own);
                }
                schema.insert("properties".to_owned(), properties);
                schema.insert("required".to_owned(), json!(["type"]));
                schema
            })
            .collect();
        json_schema!({ "description": "Where a job runs.", "oneOf": kinds })
    }
}
