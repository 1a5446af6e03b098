//! Is this line something that a list of packages may hold?

use std::str::FromStr;

use pep508_rs::{Requirement, VerbatimUrl};

/// Why a line cannot stand in `pip_packages`, where in it, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The reason.
    pub(super) reason: String,
    /// The fix.
    pub(super) fix: Option<String>,
}

/// Returns whether an entry names a wheel or a folder on this machine.
pub(super) fn is_path(line: &str) -> bool {
    let is_wheel = line.ends_with(".whl") && !line.contains("://");
    is_wheel || line.starts_with("./") || line.starts_with("../") || line.starts_with('/')
}

/// Checks a PEP 508 string, a git or URL form, a wheel or a folder of the snapshot.
pub(super) fn check(text: &str) -> Result<(), Refusal> {
    let refuse = |reason: &str, fix: &str| Err(Refusal { reason: reason.to_owned(), fix: Some(fix.to_owned()) });
    let line = text.trim();
    if line.is_empty() {
        return refuse("nothing here", "remove it");
    }
    if line.starts_with('-') {
        let word = line.split([' ', '=']).next().unwrap_or(line);
        return match word {
            "-r" | "--requirement" => refuse("an option of pip, not a package", "name the file with `requirements_file:` instead"),
            "-i" | "--index-url" => refuse("an option of pip, not a package", "write `index_url:` beside `pip_packages:`"),
            "--extra-index-url" => refuse("an option of pip, not a package", "write `extra_index_urls:` beside `pip_packages:`"),
            "-f" | "--find-links" => refuse("an option of pip, not a package", "write `find_links:` beside `pip_packages:`"),
            "-e" | "--editable" => refuse(
                "an option of pip, not a package",
                "write the folder alone (`./package`); `install_project: true` installs the project itself",
            ),
            _ => refuse("an option of pip, not a package", "options cannot stand in a list of packages"),
        };
    }
    let is_url = ["git+", "http://", "https://", "file://"].iter().any(|prefix| line.starts_with(prefix));
    if is_url || is_path(line) {
        return Ok(());
    }
    match Requirement::<VerbatimUrl>::from_str(line) {
        Ok(_) => Ok(()),
        Err(error) => {
            let reason = error.message.to_string();
            let fix = line.contains('=').then(|| "versions are compared with `==`, `>=`, `<`, `~=`: `name==1.2`".to_owned());
            Err(Refusal { reason, fix })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_list_of_packages_may_hold() {
        for good in [
            "numpy",
            "scikit-learn==1.5.2",
            "a[b]>=1; python_version<'3.12'",
            "x @ https://e.org/x.whl",
            "git+https://e.org/r.git@v1",
            "./w/x-1-py3-none-any.whl",
            "./pkg",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "numpy=1.0", "numpy ==", "-r x.txt", "two words", "--index-url https://e.org"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
