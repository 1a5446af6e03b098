//! Reads a conda environment file: its pip part and its Python version.

use std::path::Path;

use super::Error;

/// What of a conda file a venv can hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Conda {
    /// The pip part.
    pub(super) pip: Vec<String>,
    /// The Python version.
    pub(super) python: Option<String>,
}

/// Reads the text; packages that only conda has are an error that names each.
pub(super) fn read(path: &Path, text: &str) -> Result<Conda, Error> {
    let broken = |reason: &str| Error::Conda { path: path.to_owned(), reason: reason.to_owned() };
    let document: serde_yaml::Value = serde_yaml::from_str(text).map_err(|error| broken(&error.to_string()))?;
    let dependencies = document.get("dependencies").and_then(serde_yaml::Value::as_sequence);
    let dependencies = dependencies.ok_or_else(|| broken("it has no list `dependencies`"))?;
    let mut conda = Conda::default();
    let mut foreign = Vec::new();
    for entry in dependencies {
        if let Some(text) = entry.as_str() {
            let name = text.split(['=', '<', '>', '!', '~', ' ', '[']).next().unwrap_or(text);
            match name.rsplit("::").next().unwrap_or(name) {
                "python" => {
                    let version = text[name.len()..].trim().trim_start_matches('=').split('=').next().unwrap_or("").trim();
                    conda.python = (!version.is_empty()).then(|| version.trim_end_matches(".*").to_owned());
                }
                "pip" => {}
                _ => foreign.push(text.to_owned()),
            }
        } else if let Some(list) = entry.get("pip").and_then(serde_yaml::Value::as_sequence) {
            conda.pip.extend(list.iter().filter_map(|line| line.as_str().map(str::to_owned)));
        } else {
            return Err(broken("`dependencies` holds something that is neither a package nor a `pip:` list"));
        }
    }
    if foreign.is_empty() { Ok(conda) } else { Err(Error::CondaOnly { path: path.to_owned(), packages: foreign }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pip_part_and_the_python_version_are_taken() {
        let text = "dependencies:\n- python=3.11\n- pip\n- pip: [numpy==2.0, 'x>1']\n";
        let conda = read(Path::new("c.yaml"), text).expect("readable");
        assert_eq!(conda, Conda { pip: vec!["numpy==2.0".into(), "x>1".into()], python: Some("3.11".into()) });
    }

    #[test]
    fn packages_that_only_conda_has_are_all_named() {
        let text = "dependencies: [python, cudatoolkit=11, conda-forge::gdal]\n";
        let error = read(Path::new("c.yaml"), text).expect_err("two are foreign").to_string();
        assert_eq!(error, "the conda packages `cudatoolkit=11` and `conda-forge::gdal` cannot be installed on this target");
    }
}
