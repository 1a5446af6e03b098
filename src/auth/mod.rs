//! Who we are to a service: credentials as they are configured, and tokens that renew themselves.
//!
//! The user's settings say which host gets which ([`Keyring`]). [`Credentials`] is plain data that says where a token comes from. A [`Session`] turns it into the value of the `Authorization` header,
//! asks its [`Provider`] for a new token before the old one ends, and does so once for however many requests wait.

mod azure;
mod azure_identity;
mod azure_order;
mod credentials;
mod databricks;
mod error;
mod keyring;
mod local;
mod section;
mod session;
mod token;

use async_trait::async_trait;

pub use azure::{AzureCli, AzureClient, AzureManagedIdentity, MANAGEMENT};
pub use azure_identity::{Assertion, AzureFederation, AzureIdentityEndpoint, EndpointForm};
pub use azure_order::{Audience, AzureAuth, azure};
pub use credentials::Credentials;
pub use databricks::DatabricksOAuth;
pub use error::Error;
pub use keyring::{Entry, Keyring, Source};
pub use section::{Section, Sections, check};
pub use session::Session;
pub use token::{Scheme, Token};

/// Variables of the user's environment that hold credentials for trackers: processes of ours that stay are started without them.
pub const VARIABLES: [&str; 9] = [
    "MLFLOW_TRACKING_URI",
    "AZURE_PASSWORD",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "DATABRICKS_CLIENT_SECRET",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "AZURE_CLIENT_SECRET",
    "DATABRICKS_TOKEN",
];

/// A source of tokens.
///
/// [`Provider::fetch`] asks the source anew each time; keeping and renewing tokens is the [`Session`]'s business. It changes nothing, may be
/// called at any time, and takes at most about 30 seconds.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Returns a token that is valid now.
    async fn fetch(&self) -> Result<Token, Error>;
}
