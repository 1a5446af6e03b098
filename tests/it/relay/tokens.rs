//! Tokens that end in the middle of a job.

use std::time::{Duration, Instant};

use sendoff::auth::{Credentials, DatabricksOAuth};
use sendoff::support::secret::Secret;

use super::strict::Strict;
use super::{Relayed, same};

#[test]
fn a_job_of_thirty_seconds_logs_all_the_way_with_tokens_of_five() {
    let strict = Strict::start().with_tokens_of(Duration::from_secs(5));
    let relayed = Relayed::with(&strict, Some(&strict.uri()), |task| {
        task.credentials =
            Credentials::DatabricksOauth(DatabricksOAuth { host: strict.uri(), client_id: "c".into(), client_secret: Secret::new("s") });
    });
    let (begun, mut logged) = (Instant::now(), Vec::new());
    let mut step = 0;
    while begun.elapsed() < Duration::from_secs(30) {
        logged.push(relayed.log("a", step));
        // A read goes to the tracker with the token of the moment.
        assert_eq!(relayed.read().0, 200);
        step += 1;
        std::thread::sleep(Duration::from_millis(200));
    }
    let run = relayed.run_id.clone();
    relayed.finish();
    same(&strict.runs()[&run].history, &logged);
    // One every four seconds, and not one a request.
    assert!((6..=12).contains(&strict.tokens()), "{} tokens", strict.tokens());
}
