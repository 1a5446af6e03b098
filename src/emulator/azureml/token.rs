//! The emulator's tokens: JSON Web Tokens that it signs itself and whose end it checks.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

use crate::support::clock;
use crate::support::secret::Secret;

/// How long an issued token is good for, in seconds: what Azure gives.
pub(super) const LIFETIME: i64 = 3599;

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is no token of this emulator.
    Foreign,
    /// It has ended.
    Expired,
}

/// Signs tokens and knows its own.
pub(super) struct Issuer {
    key: hmac::Key,
}

impl Issuer {
    pub(super) fn new(key: &Secret) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes()) }
    }

    /// Issues a token with these claims, which is good for so many seconds.
    pub(super) fn issue(&self, mut claims: Value, seconds: i64) -> String {
        let now = clock::now().as_second();
        claims["iat"] = now.into();
        claims["nbf"] = now.into();
        claims["exp"] = (now + seconds).into();
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&json!({ "typ": "JWT", "alg": "HS256", "kid": "emulator" })), part(&claims));
        let signature = hmac::sign(&self.key, text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Returns the claims of a token of ours that has not ended.
    pub(super) fn check(&self, token: &str) -> Result<Value, Fault> {
        let (text, signature) = token.rsplit_once('.').ok_or(Fault::Foreign)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Fault::Foreign)?;
        hmac::verify(&self.key, text.as_bytes(), &signature).map_err(|_| Fault::Foreign)?;
        let claims = text.split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok()).ok_or(Fault::Foreign)?;
        let claims: Value = serde_json::from_slice(&claims).map_err(|_| Fault::Foreign)?;
        let end = claims["exp"].as_i64().unwrap_or_default();
        if end > clock::now().as_second() { Ok(claims) } else { Err(Fault::Expired) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tokens_of_ours_that_have_not_ended_pass() {
        let issuer = Issuer::new(&Secret::new("k"));
        let token = issuer.issue(json!({ "aud": "a" }), 60);
        assert_eq!(token.split('.').count(), 3);
        assert_eq!(issuer.check(&token).expect("it is ours")["aud"], "a");
        assert_eq!(issuer.check(&issuer.issue(json!({}), -1)), Err(Fault::Expired));
        assert_eq!(Issuer::new(&Secret::new("other")).check(&token), Err(Fault::Foreign));
        for foreign in ["", "a", "a.b.c", &format!("{token}x"), &token.replacen('.', ".e", 1)] {
            assert_eq!(issuer.check(foreign), Err(Fault::Foreign), "{foreign}");
        }
    }
}
