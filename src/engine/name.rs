//! What may stand in the engine's addresses: a name with a slash or a question mark would ask for something else.

use super::error::{Error, Object};

/// Lets a name of a container, network or volume pass that the engine itself would accept.
pub(super) fn plain(object: Object, name: &str) -> Result<&str, Error> {
    let mut bytes = name.bytes();
    let fits = bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    if fits { Ok(name) } else { Err(Error::Name { object, name: name.to_owned() }) }
}

/// Lets a reference of an image pass: `python:3.11-slim`, `registry:5000/team/image@sha256:...`, or an id.
pub(super) fn image(reference: &str) -> Result<&str, Error> {
    let mut bytes = reference.bytes();
    let fits = bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'/' | b':' | b'@'))
        && !reference.split('/').any(|part| matches!(part, "" | "." | ".."));
    if fits { Ok(reference) } else { Err(Error::Name { object: Object::Image, name: reference.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_pass_and_names_that_do_not() {
        for name in ["job-1", "3f2a", "a.b_c"] {
            assert!(plain(Object::Container, name).is_ok(), "{name}");
        }
        for name in ["", "-x", "a/b", "a?b", "a b", "../x", "a\nb", "é"] {
            assert!(plain(Object::Container, name).is_err(), "{name}");
        }
        for reference in ["python:3.11-slim", "localhost:5000/team/job:1", "sha256:0123", "a@sha256:0123"] {
            assert!(image(reference).is_ok(), "{reference}");
        }
        for reference in ["", "a b", "a//b", "../json", "a?b", "https://host/x", "a\tb"] {
            assert!(image(reference).is_err(), "{reference}");
        }
    }
}
