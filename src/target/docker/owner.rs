//! Whose a thing on an engine is. Homes share engines, also with homes of other machines that are at the same path.

use std::path::Path;

use crate::support::fs;

const FILE: &str = "store.id";

/// Returns the name of the store in a data folder, which no other store has; gives it one if it has none.
pub fn store(data: &Path) -> Result<String, fs::Error> {
    if let Some(name) = known(data) {
        return Ok(name);
    }
    let mut random = [0; 16];
    getrandom::fill(&mut random).expect("the system has random numbers");
    let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::create_private_dir_all(data)?;
    // Whole from the first moment, and the first one stays.
    let own = data.join(format!(".{FILE}-{name}"));
    fs::write_private(&own, name.as_bytes())?;
    let linked = std::fs::hard_link(&own, data.join(FILE));
    fs::remove_file(&own)?;
    match (linked, known(data)) {
        (_, Some(name)) => Ok(name),
        (Err(source), None) => Err(fs::Error { act: "create", path: data.join(FILE), source }),
        (Ok(()), None) => fs::read_to_string(data.join(FILE)),
    }
}

/// Returns the name of the store in a data folder, if it has one.
pub fn known(data: &Path) -> Option<String> {
    std::fs::read_to_string(data.join(FILE)).ok().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_has_one_name_whoever_asks_first() {
        let data = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(known(data.path()), None);
        let names: Vec<String> = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..8).map(|_| scope.spawn(|| store(data.path()).expect("writable"))).collect();
            asking.into_iter().map(|asking| asking.join().expect("no panic")).collect()
        });
        assert!(names.iter().all(|name| *name == names[0] && name.len() == 32), "{names:?}");
        assert_eq!(known(data.path()).as_deref(), Some(names[0].as_str()));
        assert_eq!(std::fs::read_dir(data.path()).expect("a folder").count(), 1);
    }
}
