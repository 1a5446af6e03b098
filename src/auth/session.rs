//! Keeps a token and renews it in time, once for however many wait.

use jiff::Timestamp;
use tokio::sync::Mutex;

use super::credentials::{Credentials, Source};
use super::token::margin;
use super::{Error, Token};
use crate::support::clock;
use crate::support::secret::Secret;

/// Who we are to one service, for as long as this process lives.
///
/// A token is renewed before its end by the smaller of 5 minutes and a fifth of its lifetime. Whoever asks meanwhile waits for the same
/// answer. When the renewal fails and the old token is still good, the old one is used.
pub struct Session {
    source: Source,
    held: Mutex<Option<Held>>,
}

struct Held {
    token: Token,
    renew_at: Option<Timestamp>,
}

impl Held {
    fn new(token: Token, now: Timestamp) -> Self {
        let renew_at = token.expires_at.map(|end| end - margin(end.duration_since(now)));
        Self { token, renew_at }
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        self.renew_at.is_none_or(|at| now < at)
    }

    fn is_good(&self, now: Timestamp) -> bool {
        self.token.expires_at.is_none_or(|end| now < end)
    }
}

impl Session {
    /// Makes a session; nothing is asked yet.
    pub fn new(credentials: &Credentials, http: &reqwest::Client) -> Self {
        Self { source: credentials.source(http), held: Mutex::new(None) }
    }

    /// Returns the value of the `Authorization` header; `None` when nothing is presented.
    pub async fn authorization(&self) -> Result<Option<Secret>, Error> {
        let provider = match &self.source {
            Source::Nothing => return Ok(None),
            Source::Fixed(token) => return Ok(Some(token.header())),
            Source::Renewed(provider) => provider,
        };
        // Held while the provider is asked: the others wait for its answer instead of asking too.
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref().filter(|held| held.is_fresh(clock::now())) {
            return Ok(Some(held.token.header()));
        }
        match provider.fetch().await {
            Ok(token) => Ok(Some(held.insert(Held::new(token, clock::now())).token.header())),
            Err(error) => match held.as_ref().filter(|held| held.is_good(clock::now())) {
                Some(held) => Ok(Some(held.token.header())),
                None => Err(error),
            },
        }
    }

    /// Returns whether another token can be had than the one that is held.
    pub fn is_renewable(&self) -> bool {
        matches!(self.source, Source::Renewed(_))
    }

    /// Forgets a token that was refused, unless a newer one is held already; returns whether asking again can give another.
    pub async fn refused(&self, header: &Secret) -> bool {
        if !matches!(self.source, Source::Renewed(_)) {
            return false;
        }
        let mut held = self.held.lock().await;
        if held.as_ref().is_some_and(|held| held.token.header().expose() == header.expose()) {
            *held = None;
        }
        true
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::auth::Provider;

    struct Counting {
        asked: Arc<AtomicUsize>,
        lifetime: Duration,
    }

    #[async_trait::async_trait]
    impl Provider for Counting {
        async fn fetch(&self) -> Result<Token, Error> {
            let number = self.asked.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            if number > 2 {
                return Err(Error::Empty("the test".into()));
            }
            Ok(Token::bearer(Secret::new(format!("t{number}")), Some(clock::now() + self.lifetime)))
        }
    }

    fn session(lifetime: Duration) -> (Session, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let source = Source::Renewed(Box::new(Counting { asked: asked.clone(), lifetime }));
        (Session { source, held: Mutex::new(None) }, asked)
    }

    #[tokio::test]
    async fn many_waiters_cost_one_question() {
        let (session, asked) = session(Duration::from_hours(1));
        let all = futures_util::future::join_all((0..20).map(|_| session.authorization())).await;
        assert!(all.into_iter().all(|header| header.expect("a token").expect("one is presented").expose() == "Bearer t0"));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_refused_token_is_replaced_once() {
        let (session, asked) = session(Duration::from_hours(1));
        let first = session.authorization().await.expect("a token").expect("one is presented");
        assert!(session.refused(&first).await);
        let second = session.authorization().await.expect("a token").expect("one is presented");
        assert_eq!(second.expose(), "Bearer t1");
        // Somebody else is late with the same complaint.
        session.refused(&first).await;
        assert_eq!(session.authorization().await.expect("a token").expect("one is presented").expose(), "Bearer t1");
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_token_is_fresh_until_its_margin_and_good_until_its_end() {
        let start = Timestamp::UNIX_EPOCH;
        let at = |seconds| start + jiff::SignedDuration::from_secs(seconds);
        let held = Held::new(Token::bearer(Secret::new("t"), Some(at(100))), start);
        assert!(held.is_fresh(at(79)) && !held.is_fresh(at(80)));
        assert!(held.is_good(at(99)) && !held.is_good(at(100)));
    }
}
