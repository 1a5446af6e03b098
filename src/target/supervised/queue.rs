//! The queue of a machine: who may run now, kept by the supervisors themselves, so that it works with no client alive.
//!
//! A ticket is a locked file whose name is its number; the lock ends with its supervisor. A job may run when fewer than `max_jobs`
//! tickets with smaller numbers live, and when enough GPUs are free of leases.

use std::path::{Path, PathBuf};

use crate::support::fs::{self, Context};
use crate::support::lock::{self, Lock};

/// A place in the queue, kept until dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    folder: PathBuf,
    number: u64,
    _lock: Lock,
}

impl Ticket {
    /// Takes the next number.
    pub(super) fn take(folder: &Path) -> Result<Self, fs::Error> {
        fs::create_private_dir_all(folder)?;
        let _gate = Lock::exclusive(&folder.join("gate"))?;
        let number = living(folder)?.last().map_or(1, |last| last + 1);
        let lock = Lock::exclusive(&ticket(folder, number))?;
        Ok(Self { folder: folder.to_owned(), number, _lock: lock })
    }

    /// Returns how many living tickets are before this one.
    pub(super) fn ahead(&self) -> Result<usize, fs::Error> {
        let _gate = Lock::exclusive(&self.folder.join("gate"))?;
        Ok(living(&self.folder)?.into_iter().filter(|number| *number < self.number).count())
    }

    /// Leases `count` of the devices until this ticket is dropped, if that many are free and nobody before it still waits for some.
    pub(super) fn lease(&self, devices: &[u32], count: usize) -> Result<Option<Vec<u32>>, fs::Error> {
        let _gate = Lock::exclusive(&self.folder.join("gate"))?;
        let mut taken = Vec::new();
        for number in living(&self.folder)?.into_iter().filter(|number| *number != self.number) {
            let path = ticket(&self.folder, number);
            let text = std::fs::read_to_string(&path).context("read", &path)?;
            if text.is_empty() && number < self.number {
                return Ok(None);
            }
            taken.extend(text.split(',').filter_map(|device| device.trim().parse::<u32>().ok()));
        }
        let free: Vec<u32> = devices.iter().copied().filter(|device| !taken.contains(device)).take(count).collect();
        if free.len() < count {
            return Ok(None);
        }
        let text = free.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        fs::write_in_place(ticket(&self.folder, self.number), text.as_bytes())?;
        Ok(Some(free))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let _ = fs::remove_file(ticket(&self.folder, self.number));
    }
}

fn ticket(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("ticket-{number:012}"))
}

/// Returns the numbers of living tickets, in order, and clears away those of the dead. The gate must be held.
fn living(folder: &Path) -> Result<Vec<u64>, fs::Error> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder).context("read", folder)?.flatten() {
        let name = entry.file_name();
        let Some(number) = name.to_str().and_then(|name| name.strip_prefix("ticket-")?.parse().ok()) else { continue };
        if lock::is_held(&entry.path())? {
            numbers.push(number);
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_are_served_in_order_and_the_dead_do_not_hold_the_queue() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let first = Ticket::take(folder.path()).expect("writable");
        let second = Ticket::take(folder.path()).expect("writable");
        assert_eq!((first.ahead().expect("readable"), second.ahead().expect("readable")), (0, 1));
        drop(first);
        assert_eq!(second.ahead().expect("readable"), 0);
        std::fs::write(ticket(folder.path(), 1), "").expect("writable");
        assert_eq!(second.ahead().expect("readable"), 0);
    }

    #[test]
    fn a_device_is_leased_to_one_job_at_a_time() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let first = Ticket::take(folder.path()).expect("writable");
        let second = Ticket::take(folder.path()).expect("writable");
        assert_eq!(first.lease(&[0, 1, 2], 2).expect("writable"), Some(vec![0, 1]));
        assert_eq!(second.lease(&[0, 1, 2], 2).expect("writable"), None);
        drop(first);
        assert_eq!(second.lease(&[0, 1, 2], 2).expect("writable"), Some(vec![0, 1]));
    }

    #[test]
    fn who_asks_for_few_devices_does_not_pass_who_waits_for_many() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [first, second, third] = [(); 3].map(|()| Ticket::take(folder.path()).expect("writable"));
        assert_eq!(first.lease(&[0, 1], 1).expect("writable"), Some(vec![0]));
        assert_eq!(second.lease(&[0, 1], 2).expect("writable"), None);
        assert_eq!(third.lease(&[0, 1], 1).expect("writable"), None);
        drop(first);
        assert_eq!(second.lease(&[0, 1], 2).expect("writable"), Some(vec![0, 1]));
    }
}
