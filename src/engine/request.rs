//! What requests of the client need, beyond what it makes of them.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use hyper::{Request, Version};

/// Adapts a request on its way to the engine.
pub(super) fn adapted<B>(request: Request<B>) -> Request<B> {
    unchunked_log(spelled_credentials(request))
}

/// Writes the header of credentials in the alphabet that engines read. The client uses the other one, and an engine takes what it
/// cannot read for no credentials at all.
fn spelled_credentials<B>(mut request: Request<B>) -> Request<B> {
    if let Some(value) = request.headers_mut().get_mut("x-registry-auth")
        && let Ok(bytes) = BASE64_STANDARD.decode(value.as_bytes())
        && let Ok(spelled) = BASE64_URL_SAFE.encode(bytes).parse()
    {
        *value = spelled;
        value.set_sensitive(true);
    }
    request
}

/// Asks for a log in the old way of HTTP, whose answers are not cut into chunks. An engine makes a chunk of each line, which costs
/// more than the line itself.
fn unchunked_log<B>(mut request: Request<B>) -> Request<B> {
    if request.uri().path().ends_with("/logs") {
        *request.version_mut() = Version::HTTP_10;
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_spelled_as_engines_read_them() {
        let sent = BASE64_STANDARD.encode(r#"{"password":"a?>~"}"#);
        assert!(sent.contains(['+', '/']), "{sent} shows the difference");
        let request = Request::builder().header("X-Registry-Auth", sent).body(()).expect("a request");
        let spelled = adapted(request).headers()["x-registry-auth"].clone();
        assert_eq!(BASE64_URL_SAFE.decode(spelled.as_bytes()).expect("the other alphabet"), br#"{"password":"a?>~"}"#);
    }

    #[test]
    fn only_logs_are_asked_for_in_the_old_way() {
        for (path, version) in [("/containers/x/logs?follow=true", Version::HTTP_10), ("/containers/logs/json", Version::HTTP_11)] {
            let request = Request::builder().uri(path).body(()).expect("a request");
            assert_eq!(adapted(request).version(), version, "{path}");
        }
    }
}
