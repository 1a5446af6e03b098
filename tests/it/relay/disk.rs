//! A disk without room.

use std::process::Command;
use std::time::Duration;

use super::proxy::{Fault, Proxy};
use super::strict::Strict;
use super::{Relayed, same};
use crate::support::wait_until;

/// The variable that names a folder on a small file system, set for the test inside its own mounts.
pub(super) const SMALL: &str = "SENDOFF_TEST_SMALL_DISK";

#[test]
#[ignore = "needs mounts of its own: root, or user namespaces"]
fn own_mounts_a_full_disk_neither_loses_a_value_nor_stops_the_job_for_good() {
    if std::env::var_os(SMALL).is_none() {
        // Once more, with a file system of 256 kibibytes.
        let folder = tempfile::tempdir().expect("a temporary folder");
        let script = "mount -t tmpfs -o size=256k tmpfs \"$1\" && exec \"$0\" --ignored --exact relay::disk::own_mounts_a_full_disk_neither_loses_a_value_nor_stops_the_job_for_good";
        let status = Command::new("unshare")
            .args(["--mount", "--map-root-user", "sh", "-c", script])
            .arg(std::env::current_exe().expect("it runs"))
            .arg(folder.path())
            .env(SMALL, folder.path())
            .status()
            .expect("unshare is here");
        assert!(status.success());
        return;
    }
    let strict = Strict::start();
    let proxy = Proxy::start(strict.port());
    let relayed = Relayed::new(&strict, &proxy.uri());
    proxy.set(Fault::Refuse);
    let logged = std::sync::Mutex::new(Vec::new());
    let count = || logged.lock().expect("no panic").len();
    std::thread::scope(|scope| {
        let caller = scope.spawn(|| {
            for step in 0..3000 {
                let point = relayed.log("a", step);
                logged.lock().expect("no panic").push(point);
            }
        });
        wait_until(|| {
            let before = count();
            std::thread::sleep(Duration::from_secs(2));
            if before == count() && before > 100 { Ok(()) } else { Err(format!("{before} and then {}", count())) }
        });
        assert!(count() < 3000, "the disk took everything");
        // The tracker is back, the disk stays full: the job goes on all the same.
        proxy.set(Fault::None);
        caller.join().expect("no panic");
    });
    let (run, logged) = (relayed.run_id.clone(), logged.into_inner().expect("no panic"));
    relayed.finish();
    same(&strict.runs()[&run].history, &logged);
    assert_eq!(strict.runs()[&run].statuses, ["FINISHED"]);
}
