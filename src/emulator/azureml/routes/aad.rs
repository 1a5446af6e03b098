//! Tokens: Microsoft Entra ID for clients with a secret, and the managed identity of a node.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde_json::json;

use super::super::call::Call;
use super::super::reply::{self, Refusal, Reply};
use super::super::route::{Access, Plane, Route, at_once};
use super::super::service::Service;
use super::super::token::{Fault, LIFETIME};
use crate::support::clock;

/// The audience of tokens that are exchanged for others.
const EXCHANGE: &str = "api://AzureADTokenExchange";
/// The audience of the control plane.
const MANAGEMENT: &str = "https://management.azure.com";

pub(super) fn routes() -> Vec<Route> {
    let open = |method, pattern, handler| Route::new(Plane::Aad, method, pattern, handler).access(Access::Open);
    vec![
        open(Method::POST, "{tenant}/oauth2/v2.0/token", |service, call| Box::pin(token(service, call))).approximated(
            "client credentials with a secret, or with a token that this emulator issued for `api://AzureADTokenExchange`; other grants are refused; tokens are signed with HS256 and have fewer claims",
        ),
        open(Method::POST, "{tenant}/oauth2/token", |service, call| Box::pin(token_v1(service, call)))
            .approximated("as the newer one"),
        open(Method::GET, "{tenant}/v2.0/.well-known/openid-configuration", |service, call| at_once(configuration(&service, &call)))
            .approximated("only what clients look for"),
        open(Method::GET, "msi/token", |service, call| at_once(managed(&service, &call)))
            .approximated("the node's identity is the emulator's application"),
    ]
}

/// Checks the application's credentials.
async fn client(service: &Service, call: &mut Call) -> Result<std::collections::BTreeMap<String, String>, Refusal> {
    let form = call.form().await?;
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    let own = &service.identity;
    let refuse = |status, code: &str, text: String| Err(Refusal::new(status, code, text));
    if call.part("tenant") != own.tenant_id {
        let text = format!("AADSTS90002: Tenant '{}' not found.", call.part("tenant"));
        return refuse(StatusCode::BAD_REQUEST, "invalid_request", text);
    }
    if field("grant_type") != "client_credentials" {
        let text = format!("AADSTS70003: The app requested an unsupported grant type '{}'.", field("grant_type"));
        return refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type", text);
    }
    if field("client_id") != own.client_id {
        let text = format!("AADSTS700016: Application with identifier '{}' was not found in the directory.", field("client_id"));
        return refuse(StatusCode::BAD_REQUEST, "unauthorized_client", text);
    }
    if !field("client_assertion").is_empty() {
        return check_assertion(service, field("client_assertion_type"), field("client_assertion")).map(|()| form);
    }
    if field("client_secret") != own.client_secret.expose() {
        return refuse(StatusCode::UNAUTHORIZED, "invalid_client", "AADSTS7000215: Invalid client secret provided.".to_owned());
    }
    Ok(form)
}

/// Checks the token of a federated identity: the emulator trusts one issuer, which is itself.
fn check_assertion(service: &Service, kind: &str, assertion: &str) -> Result<(), Refusal> {
    let refuse = |code: &str, text: &str| Err(Refusal::new(StatusCode::UNAUTHORIZED, code, text));
    if kind != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
        return refuse("invalid_request", "AADSTS50027: The client_assertion_type is not supported.");
    }
    match service.issuer.check(assertion) {
        Ok(claims) if claims["aud"] == EXCHANGE => Ok(()),
        Ok(_) => refuse("invalid_client", "AADSTS700212: No matching federated identity record found for presented assertion audience."),
        Err(Fault::Expired) => refuse("invalid_client", "AADSTS700024: Client assertion is not within its valid time range."),
        Err(Fault::Foreign) => {
            refuse("invalid_client", "AADSTS700211: No matching federated identity record found for presented assertion issuer.")
        }
    }
}

async fn token(service: Arc<Service>, mut call: Call) -> Result<Reply, Refusal> {
    let form = client(&service, &mut call).await?;
    let scope = form.get("scope").map_or("", String::as_str);
    let Some(audience) = scope.split(' ').find_map(|word| word.strip_suffix("/.default")) else {
        let text = format!("AADSTS1002012: The provided value for scope {scope} is not valid.");
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_scope", text));
    };
    let token = service.token_for(audience);
    let answer = json!({ "token_type": "Bearer", "expires_in": LIFETIME, "ext_expires_in": LIFETIME, "access_token": token });
    Ok(reply::json(StatusCode::OK, &answer))
}

async fn token_v1(service: Arc<Service>, mut call: Call) -> Result<Reply, Refusal> {
    let form = client(&service, &mut call).await?;
    let resource = form.get("resource").map_or(MANAGEMENT, String::as_str);
    Ok(reply::json(StatusCode::OK, &old_form(&service, resource)))
}

/// Returns a token in the older form, in which numbers are texts.
fn old_form(service: &Service, resource: &str) -> serde_json::Value {
    let now = clock::now().as_second();
    json!({
        "token_type": "Bearer", "expires_in": LIFETIME.to_string(), "ext_expires_in": LIFETIME.to_string(),
        "expires_on": (now + LIFETIME).to_string(), "not_before": now.to_string(), "resource": resource,
        "access_token": service.token_for(resource.trim_end_matches('/')),
    })
}

fn configuration(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let place = format!("{}/{}", call.origin, call.part("tenant"));
    let answer = json!({
        "issuer": format!("{place}/v2.0"), "authorization_endpoint": format!("{place}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{place}/oauth2/v2.0/token"), "device_authorization_endpoint": format!("{place}/oauth2/v2.0/devicecode"),
        "jwks_uri": format!("{place}/discovery/v2.0/keys"), "tenant_region_scope": null, "cloud_instance_name": call.authority(),
        "token_endpoint_auth_methods_supported": ["client_secret_post"], "response_types_supported": ["code"],
        "subject_types_supported": ["pairwise"], "id_token_signing_alg_values_supported": ["HS256"],
    });
    if call.part("tenant") != service.identity.tenant_id {
        let text = format!("AADSTS90002: Tenant '{}' not found.", call.part("tenant"));
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_tenant", text));
    }
    Ok(reply::json(StatusCode::OK, &answer))
}

/// Gives a node's programs a token: they present the secret that their job got.
fn managed(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let secret = call.header("secret").or(call.header("x-identity-header")).unwrap_or_default();
    if service.issuer.check(secret).is_err() {
        return Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized_client",
            "the secret of this job's identity is missing or has ended",
        ));
    }
    let resource = call.asked("resource").unwrap_or(MANAGEMENT).to_owned();
    Ok(reply::json(StatusCode::OK, &old_form(service, &resource)))
}
