//! A token and how long it is good for.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};

use crate::support::secret::Secret;

/// How a token is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `Authorization: Bearer <value>`.
    Bearer,
    /// `Authorization: Basic <value>`, the value being encoded already.
    Basic,
}

/// What is presented to a service.
#[derive(Debug, Clone)]
pub struct Token {
    /// How it is presented.
    pub scheme: Scheme,
    /// The value.
    pub value: Secret,
    /// When it ends; `None` when that is not known or never.
    pub expires_at: Option<Timestamp>,
}

impl Token {
    /// Makes a bearer token; its end is read from the token itself when it is a JWT and none is given.
    pub fn bearer(value: Secret, expires_at: Option<Timestamp>) -> Self {
        let expires_at = expires_at.or_else(|| expiry_of_jwt(value.expose()));
        Self { scheme: Scheme::Bearer, value, expires_at }
    }

    /// Makes what HTTP Basic presents for a user and a password; it never ends.
    pub fn basic(user: &str, password: &Secret) -> Self {
        let value = Secret::new(STANDARD.encode(format!("{user}:{}", password.expose())));
        Self { scheme: Scheme::Basic, value, expires_at: None }
    }

    /// Returns the value of the `Authorization` header.
    pub fn header(&self) -> Secret {
        let scheme = match self.scheme {
            Scheme::Bearer => "Bearer",
            Scheme::Basic => "Basic",
        };
        Secret::new(format!("{scheme} {}", self.value.expose()))
    }
}

/// Returns how long before its end a token of this lifetime is renewed: the smaller of 5 minutes and a fifth of the lifetime.
pub(super) fn margin(lifetime: SignedDuration) -> SignedDuration {
    (lifetime / 5).min(SignedDuration::from_mins(5))
}

/// Reads the claim `exp` of a JSON Web Token (RFC 7519, seconds since 1970); nothing is verified.
fn expiry_of_jwt(text: &str) -> Option<Timestamp> {
    let mut parts = text.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    Timestamp::from_second(claims.get("exp")?.as_i64()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_jwt_is_read_and_other_tokens_have_none() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"exp":1700000000}"#);
        let token = Token::bearer(Secret::new(format!("e30.{claims}.x")), None);
        assert_eq!(token.expires_at.map(Timestamp::as_second), Some(1_700_000_000));
        assert_eq!(Token::bearer(Secret::new("opaque"), None).expires_at, None);
        assert_eq!(Token::bearer(Secret::new("a.b.c"), None).expires_at, None);
    }

    #[test]
    fn a_token_is_renewed_a_fifth_of_its_life_before_its_end_and_at_most_five_minutes() {
        assert_eq!(margin(SignedDuration::from_secs(5)), SignedDuration::from_secs(1));
        assert_eq!(margin(SignedDuration::from_hours(1)), SignedDuration::from_mins(5));
    }

    #[test]
    fn basic_presents_user_and_password_encoded() {
        let header = Token::basic("Aladdin", &Secret::new("open sesame")).header();
        assert_eq!(header.expose(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }
}
