//! Where sendoff keeps its files.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

/// The three folders of sendoff. `SENDOFF_HOME` moves all of them below one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirs {
    /// The user's own settings: `$XDG_CONFIG_HOME/sendoff`, or `$SENDOFF_HOME/config`.
    pub config: PathBuf,
    /// What cannot be made again: jobs, the managed MLflow server's data. `$XDG_DATA_HOME/sendoff`, or `$SENDOFF_HOME/data`.
    pub data: PathBuf,
    /// What can be made again: snapshots, environments, locks of requirements. `$XDG_CACHE_HOME/sendoff`, or `$SENDOFF_HOME/cache`.
    pub cache: PathBuf,
}

/// What to do about folders that cannot be used.
pub const ELSEWHERE: &str = "set `SENDOFF_HOME` to a folder that you can write to";

/// No folder could be named.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither `SENDOFF_HOME` nor a home folder is known.
    #[error("could not find your home folder")]
    NoHome,
    /// `SENDOFF_HOME` is a relative path, which would mean another folder in each working directory.
    #[error("`SENDOFF_HOME` is `{}`, which is not an absolute path", .0.display())]
    Relative(PathBuf),
}

impl super::hints::Hints for Error {
    fn hints(&self) -> Vec<String> {
        vec!["set `SENDOFF_HOME` to the absolute path of a folder that you can write to".to_owned()]
    }
}

impl Dirs {
    /// Finds the folders from the process environment; creates nothing.
    pub fn from_environment() -> Result<Self, Error> {
        if let Some(home) = std::env::var_os("SENDOFF_HOME").filter(|home| !home.is_empty()) {
            let home = PathBuf::from(home);
            return if home.is_absolute() { Ok(Self::below(&home)) } else { Err(Error::Relative(home)) };
        }
        let strategy = etcetera::choose_base_strategy().map_err(|_| Error::NoHome)?;
        Ok(Self {
            config: strategy.config_dir().join("sendoff"),
            data: strategy.data_dir().join("sendoff"),
            cache: strategy.cache_dir().join("sendoff"),
        })
    }

    /// Puts all three folders below one.
    pub fn below(home: &Path) -> Self {
        Self { config: home.join("config"), data: home.join("data"), cache: home.join("cache") }
    }
}
