//! Kill points: places where a test can make this process die as if by SIGKILL.
//!
//! A debug build reads `SENDOFF_FAULT=<point>` and kills itself there; a release build has no trace of it.

/// Names a place where the process may be told to die.
#[inline]
pub fn point(name: &str) {
    #[cfg(debug_assertions)]
    if std::env::var_os("SENDOFF_FAULT").is_some_and(|armed| armed == name) {
        crate::support::platform::kill_self();
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
