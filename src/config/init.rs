//! A run config for a folder that has none.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Error, pep723};
use crate::support::fs::{self, Context as _};
use crate::support::template;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initialized {
    /// The run config.
    pub file: PathBuf,
    /// The script that it names.
    pub script: String,
    /// Whether that script is there.
    pub found: bool,
}

#[derive(Serialize)]
struct Context {
    script: String,
    python: Option<String>,
    packages: String,
}

/// Writes `run.yaml` for a folder; a run config that is there already is an error.
pub fn init(folder: &Path) -> Result<Initialized, Error> {
    for name in ["run.yaml", "run.yml"] {
        if folder.join(name).exists() {
            return Err(Error::Exists(name.into()));
        }
    }
    let script = script(folder)?;
    let found = script.is_some();
    let script = script.unwrap_or_else(|| "train.py".to_owned());
    let block = std::fs::read_to_string(folder.join(&script)).ok().and_then(|text| pep723::read(&text).ok().flatten());
    let python = block.as_ref().and_then(|block| block.python.as_deref()).map(quoted);
    let packages = match packages_file(folder) {
        Some((key, name)) => format!("{key}: {name}"),
        None => {
            let names: Vec<String> = block.iter().flat_map(|block| &block.dependencies).map(|name| quoted(name)).collect();
            format!("pip_packages: [{}]", names.join(", "))
        }
    };
    let context = Context { script: quoted(&script), python, packages };
    let text = template::render("run.yaml", include_str!("../../templates/run.yaml"), &context)?;
    let path = folder.join("run.yaml");
    let mut file = fs::create_new(&path)?;
    std::io::Write::write_all(&mut file, text.as_bytes()).context("write", &path)?;
    Ok(Initialized { file: path, script, found })
}

/// Returns the Python file or notebook that is probably meant: one of a usual name, else the first, here or in `src`.
fn script(folder: &Path) -> Result<Option<String>, Error> {
    let mut scripts = Vec::new();
    for place in ["", "src/"] {
        if !folder.join(place).is_dir() {
            continue;
        }
        let entries = std::fs::read_dir(folder.join(place)).context("read", folder)?.flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let is_one = |name: &String| {
            (name.ends_with(".py") && !matches!(name.as_str(), "setup.py" | "__init__.py" | "conftest.py")) || name.ends_with(".ipynb")
        };
        let mut found: Vec<String> = names.filter(is_one).map(|name| format!("{place}{name}")).collect();
        found.sort_by_key(|name| (name.ends_with(".ipynb"), name.clone()));
        scripts.extend(found);
    }
    let usual = ["train.py", "src/train.py", "main.py", "run.py", "src/main.py"];
    let usual = usual.into_iter().find(|usual| scripts.iter().any(|script| script == usual));
    Ok(usual.map(str::to_owned).or_else(|| scripts.into_iter().next()))
}

/// Returns the file that lists the folder's packages, with the key that reads it.
fn packages_file(folder: &Path) -> Option<(&'static str, &'static str)> {
    [
        ("pyproject", "pyproject.toml"),
        ("requirements_file", "requirements.txt"),
        ("conda_file", "environment.yaml"),
        ("conda_file", "environment.yml"),
        ("conda_file", "conda.yaml"),
        ("conda_file", "conda.yml"),
    ]
    .into_iter()
    .find(|(_, name)| folder.join(name).is_file())
}

/// Returns a text as YAML reads it back, quoted where it has to be.
fn quoted(text: &str) -> String {
    let is_plain = !text.is_empty()
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./=<>~".contains(c));
    if is_plain { text.to_owned() } else { serde_json::to_string(text).expect("a text is JSON") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_where_yaml_would_read_something_else() {
        for text in ["train.py", "src/a-b.py", "numpy==1.26", "scikit-learn>=1.5"] {
            assert_eq!(quoted(text), text);
        }
        for text in ["", "a b.py", "a: b", "#x.py", ">=3.10", "it's.py", "x[y]>1", "é.py"] {
            assert_eq!(serde_yaml::from_str::<String>(&quoted(text)).expect("it is YAML"), text);
            assert_ne!(quoted(text), text);
        }
    }
}
