//! A run config for a folder that has none.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Error;
use crate::support::fs::{self, Context as _};
use crate::support::template;

#[derive(Serialize)]
struct Context {
    script: String,
    packages: String,
}

/// Writes `run.yaml` for a folder and returns its path; a file that is there already is an error.
pub fn init(folder: &Path) -> Result<PathBuf, Error> {
    let has = |name: &str| folder.join(name).is_file();
    let mut scripts: Vec<String> = std::fs::read_dir(folder)
        .context("read", folder)?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(".py"))
        .collect();
    scripts.sort();
    let usual = ["train.py", "main.py", "run.py"].into_iter().find(|name| has(name)).map(str::to_owned);
    let script = usual.or_else(|| scripts.into_iter().next()).unwrap_or_else(|| "train.py".to_owned());
    let packages = if has("pyproject.toml") {
        "pyproject: pyproject.toml"
    } else if has("requirements.txt") {
        "requirements_file: requirements.txt"
    } else {
        "pip_packages: []"
    };
    let text = template::render("run.yaml", include_str!("../../templates/run.yaml"), &Context { script, packages: packages.to_owned() })?;
    let path = folder.join("run.yaml");
    let mut file = fs::create_new(&path)?;
    std::io::Write::write_all(&mut file, text.as_bytes()).context("write", &path)?;
    Ok(path)
}
